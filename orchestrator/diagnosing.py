"""Gathers what only the host sees of a model that does not run, for ``diagnosis``. It changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.diagnosis import Diagnosis, concerns_gpu_memory, diagnose, last_error
from orchestrator.errors import OrchestratorError
from orchestrator.observation import Container
from orchestrator.ports import World

#: lines of the log of a container that ended without a word of its gate's
_LAST = 60


def diagnosed(world: World, containers: Sequence[Container]) -> dict[str, Diagnosis]:
    """Why they failed, by id, of those that did. The log and the GPUs are looked at only where that could tell more."""
    found = {}
    for container in containers:
        others = _others(world, container) if concerns_gpu_memory(container) else ()
        said = _said(world, container) if container.phase == "dead" and not container.error else ""
        diagnosis = diagnose(container, others, said)
        if diagnosis is not None:
            found[container.id] = diagnosis
    return found


def _others(world: World, container: Container) -> tuple[str, ...]:
    """Processes on its GPUs that are in no container of ours, in words."""
    from orchestrator.plan.proof import person  # noqa: PLC0415 (status has to be quick)

    gpus, _, _ = world.gpus.read()
    ours = {c.id for c in world.docker.observe().containers}
    holders = world.gpus.holders([gpu for gpu in gpus if gpu.id in container.gpus], ours)
    return tuple(person(holder, {}) for holder in holders if holder.container_id not in ours)


def _said(world: World, container: Container) -> str:
    """The last error in its log; a log that can't be read is no reason to say nothing."""
    if container.gate is not None and container.gate.reason:
        return ""
    try:
        words = b"".join(world.actor.logs(container.id, follow=False, tail=_LAST))
    except OrchestratorError:
        return ""
    return last_error(words.decode(errors="replace").splitlines())
