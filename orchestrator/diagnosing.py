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
    squeezed = {c.id for c in containers if concerns_gpu_memory(c)}
    foreign = _foreign(world) if squeezed else ()
    for container in containers:
        others = tuple(words for gpu, words in foreign if container.id in squeezed and gpu in container.gpus)
        said = _said(world, container) if container.phase == "dead" and not container.error else ""
        diagnosis = diagnose(container, others, said)
        if diagnosis is not None:
            found[container.id] = diagnosis
    return found


def _foreign(world: World) -> tuple[tuple[str, str], ...]:
    """GPU, and in words, of every process that is in no container of ours."""
    from orchestrator.plan.proof import person  # noqa: PLC0415 (status has to be quick)

    gpus, _, _ = world.gpus.read()
    ours = {c.id for c in world.docker.observe().containers}
    return tuple(
        (holder.gpu, person(holder, {})) for holder in world.gpus.holders(gpus, ours) if holder.container_id not in ours
    )


def _said(world: World, container: Container) -> str:
    """The last error in its log; a log that can't be read is no reason to say nothing."""
    if container.gate is not None and container.gate.reason:
        return ""
    try:
        words = b"".join(world.actor.logs(container.id, follow=False, tail=_LAST))
    except OrchestratorError:
        return ""
    return last_error(words.decode(errors="replace").splitlines())
