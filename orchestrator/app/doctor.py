"""``doctor``: what this machine has and lacks, and for each lack what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from orchestrator.compose import VOLUMES
from orchestrator.errors import OrchestratorError
from orchestrator.inventory import gib
from orchestrator.observation import Observation
from orchestrator.ports import World
from orchestrator.registry.spec import FIRST_EPHEMERAL

Verdict = Literal["ok", "note", "problem"]
#: an image with PyTorch takes a few GB, weights of the largest model 16
_ROOM = 30 * 10**9


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: str
    verdict: Verdict
    detail: str
    hint: str = ""


def doctor(world: World) -> tuple[Finding, ...]:
    """Every check, whatever the others find."""
    checks: tuple[tuple[str, Callable[[World], Iterator[Finding]]], ...] = (
        ("Docker Engine", _docker),
        ("Compose", _compose),
        ("GPU", _gpus),
        ("GPU runtime", _runtime),
        ("disk", _disk),
        ("ports", _ports),
        ("containers", _containers),
    )
    found: list[Finding] = []
    for name, check in checks:
        try:
            found.extend(check(world))
        except OrchestratorError as error:
            detail = f"{error.what} ({error.where})" if error.where else error.what
            found.append(Finding(name, "problem", detail, error.hint))
    return tuple(found)


def _docker(world: World) -> Iterator[Finding]:
    engine = world.docker.version()
    if engine.podman:
        yield Finding(
            "Docker Engine",
            "problem",
            f"Podman {engine.version} answers, and it ignores GPU requests",
            "point DOCKER_HOST at Docker",
        )
    else:
        yield Finding("Docker Engine", "ok", engine.version)


def _compose(world: World) -> Iterator[Finding]:
    yield Finding("Compose", "ok", world.compose.version())


def _gpus(world: World) -> Iterator[Finding]:
    gpus, driver, note = world.gpus.read()
    if not gpus:
        yield Finding("GPU", "note", f"none ({note})", "models that need a GPU can't run here; those for the CPU can")
    elif note:
        yield Finding("GPU", "note", note)
    for gpu in gpus:
        verdict: Verdict = "problem" if not gpu.usable else "note" if gpu.note else "ok"
        words = f"{gpu.name} {gpu.id}, {gib(gpu.free)} of {gib(gpu.total)} free, driver {driver} {gpu.note}"
        yield Finding("GPU", verdict, words.rstrip())
    if any(gpu.persistence is False for gpu in gpus):
        hint = "'nvidia-smi -pm 1', or the service nvidia-persistenced, keeps it loaded"
        yield Finding("GPU", "note", "the driver is unloaded whenever no process uses a GPU", hint)


def _runtime(world: World) -> Iterator[Finding]:
    if not world.gpus.read()[0]:
        return
    if world.docker.gpu_runtime():
        yield Finding("GPU runtime", "ok", "Docker knows an NVIDIA runtime or CDI devices")
    else:
        yield Finding(
            "GPU runtime",
            "problem",
            "Docker does not know the NVIDIA runtime",
            "install the NVIDIA Container Toolkit and restart Docker",
        )


def _disk(world: World) -> Iterator[Finding]:
    folder, free = world.docker.disk()
    if free is None:
        yield Finding("disk", "note", f"{folder} can't be looked at by this user")
    elif free < _ROOM:
        yield Finding(
            "disk",
            "problem",
            f"{free / 10**9:.1f} GB free in {folder}",
            "images and weights need about 30 GB: make room, or move Docker's data-root",
        )
    else:
        yield Finding("disk", "ok", f"{free / 10**9:.1f} GB free in {folder}")


def _ports(world: World) -> Iterator[Finding]:
    observation = world.docker.observe(listeners=True)
    preferred = {
        engine.port: f"{spec.name} on {name}"
        for spec in world.library.registry(()).models.values()
        for name in ("vllm", "transformers")
        if (engine := spec.engine(name)) is not None
    }
    ours = {c.id for c in observation.containers}
    taken = [p for p in observation.ports if p.port in preferred and p.container_id not in ours]
    for held in taken:
        yield Finding(
            "ports",
            "note",
            f"{held.port}, preferred by {preferred[held.port]}, is taken by {held.holder}",
            "'up' moves to the next free port",
        )
    if not taken:
        yield Finding(
            "ports",
            "ok",
            f"all preferred ports are free or ours ({min(preferred)}-{max(preferred)}, below {FIRST_EPHEMERAL})",
        )


def _containers(world: World) -> Iterator[Finding]:
    observation: Observation = world.docker.observe(volumes=[name for name, _ in VOLUMES])
    failed = [c for c in observation.containers if c.failed]
    for container in failed:
        reason = container.gate.reason if container.gate else container.error
        yield Finding(
            "containers",
            "problem",
            f"{container.name} is {container.phase}: {reason}",
            f"'orchestrator logs {container.model}'",
        )
    if not failed:
        yield Finding("containers", "ok", f"{len(observation.containers)} of ours, none failed")
