"""What runs, as a table or JSON. Imports nothing heavy: ``status`` has to be quick."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from orchestrator.diagnosis import Diagnosis
from orchestrator.observation import Container
from orchestrator.report.look import PLAIN, Look
from orchestrator.report.table import table

if TYPE_CHECKING:
    from orchestrator.drift.values import Drift, Drifted

_HEADER = ("MODEL", "ENGINE", "STATE", "HEALTH", "GPU", "CLAIM", "USE", "ADDRESS", "UP", "REMARK")
#: positions of STATE, and of the columns that a narrow place does without, in this order
_STATE, _DROP = 2, (8, 3, 1, 6, 5, 4)
_GIB = 1 << 30
_GPU_WIDTH = 12


def status_table(
    containers: Sequence[Container],
    now: float,
    probes: Mapping[str, str],
    uses: Mapping[str, int],
    why: Mapping[str, Diagnosis],
    look: Look = PLAIN,
) -> str:
    """One line per container.

    By container id: ``probes`` answers to a real question, ``uses`` bytes of GPU memory, ``why`` it failed.
    """
    rows = [_row(c, now, probes.get(c.id, ""), uses.get(c.id), why.get(c.id)) for c in containers]
    return table(rows, _HEADER, look, drop=_DROP, prose=True, toned=_STATE)


def _row(c: Container, now: float, probe: str, use: int | None, why: Diagnosis | None) -> tuple[str, ...]:
    gpu = ",".join(name if len(name) <= _GPU_WIDTH else name[:_GPU_WIDTH] for name in c.gpus) or "CPU"
    claim = f"{c.claim / _GIB:.1f} GiB" if c.claim else "-"
    up = uptime(now - c.started) if c.running and c.started else "-"
    used = "" if use is None else f"{use / _GIB:.1f} GiB"
    words = probe or remark(c, why) or outgrown(c, use)
    return (c.model, c.engine, c.phase, c.health or "-", gpu, claim, used, f"{c.address}:{c.port}", up, words)


def outgrown(container: Container, use: int | None) -> str:
    """What to say of a container that holds more than it claimed; "" for all others."""
    if use is None or not container.claim or use <= container.claim:
        return ""
    return f"holds {(use - container.claim) / _GIB:.2f} GiB more than it claimed"


def remark(container: Container, why: Diagnosis | None = None) -> str:
    """Why it is in this state, and what to do, if there is something to say."""
    if container.ready:
        return ""
    if why is not None:
        return why.words
    if container.asleep:
        return f"'orchestrator wake {container.model}' wakes it"
    gate = container.gate
    if container.answers is False and container.phase == "unresponsive":
        return "its engine does not answer GET /health"
    if gate and gate.progress and container.phase == "starting":
        return ", ".join(filter(None, (gate.progress.phase, gate.progress.text, gate.detail.rpartition("; ")[2])))
    return ((gate.reason or gate.detail) if gate else "") or container.error


def landmarks(
    containers: Sequence[Container], probes: Mapping[str, str], uses: Mapping[str, int], why: Mapping[str, Diagnosis]
) -> object:
    """What has to change for the state to be another: not the time, nor how far a phase is, nor bytes in use."""
    return [
        (
            *(c.id, c.state, c.health, c.step, c.ready, c.gpus, c.claim, c.url, c.gate and c.gate.restarts),
            *(bool(outgrown(c, uses.get(c.id))), probes.get(c.id, "").startswith("failed"), why.get(c.id)),
        )
        for c in containers
    ]


def uptime(seconds: float) -> str:
    """3s, 5m, 2h, 4d."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def drift_notes(containers: Sequence[Container], drifted: Mapping[str, Drifted]) -> Iterator[str]:
    """One line for each container that has drifted. ``drifted``: by container id."""
    for c in containers:
        if c.id in drifted:
            yield f"{c.service} drifted: {drifted[c.id].words}"


def status_json(
    containers: Sequence[Container],
    probes: Mapping[str, str],
    uses: Mapping[str, int],
    why: Mapping[str, Diagnosis],
    drifted: Mapping[str, Drifted] = MappingProxyType({}),
) -> dict[str, object]:
    """Stable shape, version 1. Sizes are bytes, times Unix seconds."""
    entries = (_entry(c, probes.get(c.id), uses.get(c.id), why.get(c.id), drifted.get(c.id)) for c in containers)
    return {"schema": 1, "models": list(entries)}


def _entry(
    c: Container, probe: str | None, use: int | None, why: Diagnosis | None, drifted: Drifted | None
) -> dict[str, object]:
    return {
        "model": c.model,
        "engine": c.engine,
        "service": c.service,
        "container": c.name,
        "container_id": c.id,
        "project": c.project,
        "state": c.phase,
        "ready": c.ready,
        "health": c.health,
        "gpus": list(c.gpus),
        "claim_bytes": c.claim,
        "use_bytes": use,
        "outgrown": bool(outgrown(c, use)),
        "profile": c.profile,
        "url": c.url,
        "api_key": bool(c.key_file),
        "image": c.image,
        "started": c.started or None,
        "restarts": c.gate.restarts if c.gate else 0,
        "remark": remark(c, why),
        "cause": why and {"class": why.cause, "what": why.what, "remedy": why.remedy},
        "drift": [_drift(drift) for drift in drifted.drifts] if drifted else [],
        **({"probe": probe} if probe is not None else {}),
    }


def _drift(drift: Drift) -> dict[str, object]:
    return {"what": drift.what, "wanted": drift.wanted, "found": drift.found, "by": drift.by, "at": drift.at}
