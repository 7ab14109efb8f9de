"""What runs, as a table or JSON. Imports nothing heavy: ``status`` has to be quick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator.observation import Container
from orchestrator.report.table import table

_HEADER = ("MODEL", "ENGINE", "STATE", "HEALTH", "GPU", "CLAIM", "ADDRESS", "UP", "REMARK")
_GIB = 1 << 30
_GPU_WIDTH = 12


def status_table(containers: Sequence[Container], now: float, probes: Mapping[str, str]) -> str:
    """One line per container. ``probes``: answers to a real question by container id, where one was asked."""
    return table([_row(c, now, probes.get(c.id, "")) for c in containers], _HEADER)


def _row(c: Container, now: float, probe: str) -> tuple[str, ...]:
    gpu = ",".join(name if len(name) <= _GPU_WIDTH else name[:_GPU_WIDTH] for name in c.gpus) or "CPU"
    claim = f"{c.claim / _GIB:.1f} GiB" if c.claim else "-"
    up = uptime(now - c.started) if c.running and c.started else "-"
    return (
        c.model,
        c.engine,
        c.phase,
        c.health or "-",
        gpu,
        claim,
        f"{c.address}:{c.port}",
        up,
        probe or remark(c),
    )


def remark(container: Container) -> str:
    """Why it is in this state, if there is something to say."""
    if container.ready:
        return ""
    gate = container.gate
    said = (gate.reason or gate.detail) if gate else ""
    if container.phase == "dead":
        return said or container.error or f"exit code {container.exit_code}"
    return said or container.error


def uptime(seconds: float) -> str:
    """3s, 5m, 2h, 4d."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def status_json(containers: Sequence[Container], probes: Mapping[str, str]) -> dict[str, object]:
    """Stable shape, version 1. Sizes are bytes, times Unix seconds."""
    return {"schema": 1, "models": [_entry(c, probes.get(c.id)) for c in containers]}


def _entry(c: Container, probe: str | None) -> dict[str, object]:
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
        "url": f"http://{c.address}:{c.port}",
        "image": c.image,
        "started": c.started or None,
        "restarts": c.gate.restarts if c.gate else 0,
        "remark": remark(c),
        **({"probe": probe} if probe is not None else {}),
    }
