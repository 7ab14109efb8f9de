"""``sleep`` and ``wake``: a vLLM gives its GPU's memory back for a while, and takes it again.

Both give orders to the engine that it takes again and again, so that one that was cut off anywhere is finished by the
next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator.app.asking import asked
from orchestrator.app.planning import held_by_others
from orchestrator.app.status import refuse_nameless, select_from
from orchestrator.errors import OrchestratorError, RequestError
from orchestrator.executor import control
from orchestrator.inventory import Host, gib
from orchestrator.observation import Container
from orchestrator.plan.steps import Kind, Plan, Step
from orchestrator.plan.waking import refuse_while_starting, room_to_wake
from orchestrator.ports import LOCK_PATIENCE, Event, World

#: seconds in which an engine that took the order has to say that it sleeps, and between two questions
_PATIENCE, _EVERY = 30.0, 0.1


def sleep(world: World, project: str, names: Sequence[str], tell: Callable[[Event], None]) -> None:
    """Put the models named to sleep, and tell how much of their GPUs came back."""
    refuse_nameless(names, "sleep")
    with world.workspace.lock(f"orchestrator sleep {' '.join(names)}", LOCK_PATIENCE):
        seen = world.docker.observe()
        chosen = _able(select_from(seen, project, names))
        for container in chosen:
            refuse_while_starting(container, seen.containers)
        for container in chosen:
            for event in _asleep(world, container):
                tell(event)


def wake(
    world: World, project: str, names: Sequence[str], registries: Sequence[Path], tell: Callable[[Event], None]
) -> tuple[str, ...]:
    """Wake the models named; returns the services that do not answer. FitError, before anything, where one can't."""
    refuse_nameless(names, "wake")
    with world.workspace.lock(f"orchestrator wake {' '.join(names)}", LOCK_PATIENCE):
        seen = world.docker.observe()
        chosen = _able(select_from(seen, project, names))
        _check_room(world, [c for c in chosen if c.asleep], seen.containers)
        for container in chosen:
            for event in _order("wake", container, "asked for" if container.asleep else "it is awake already", world):
                tell(event)
    failed = []
    for container in chosen:
        event = _answered(world, container, registries)
        tell(event)
        failed += [container.service] if event.kind == "failed" else []
    return tuple(failed)


def _able(chosen: Sequence[Container]) -> Sequence[Container]:
    """The containers, each of which can sleep and is ready or asleep. Errors name the first that isn't."""
    for c in chosen:
        if c.engine != "vllm":
            raise RequestError(
                f"{c.model} runs on {c.engine}, which has no sleep mode",
                where=c.name,
                hint=f"'orchestrator stop {c.model}' frees its memory, 'orchestrator start {c.model}' loads it again",
            )
        if not c.can_sleep:
            raise RequestError(
                f"{c.model} was started without sleep mode",
                where=c.name,
                hint=f"set engines.vllm.sleep_mode to true in its entry (a GPU is needed), then 'orchestrator up "
                f"{c.model}'; 'orchestrator stop {c.model}' frees its memory too",
            )
        if not (c.ready or c.asleep):
            raise OrchestratorError(
                f"{c.model} is not ready: {c.phase}",
                where=c.name,
                hint=f"'orchestrator status {c.model}' shows why",
            )
    return chosen


def _order(kind: Kind, container: Container, cause: str, world: World) -> Iterator[Event]:
    """One container at a time: what comes back of a GPU is told for each."""
    return control(Plan(container.project, "", (Step(kind, container.service, cause, container.id),)), world)


def _asleep(world: World, container: Container) -> Iterator[Event]:
    """The order again also to one that sleeps: another that was cut off may have left it half asleep."""
    before = _free(world, container)
    for event in _order("sleep", container, "it is asleep already" if container.asleep else "asked for", world):
        if event.kind == "done":
            _until_asleep(world, container)
            yield replace(event, text=f"asleep{_came_back(before, _free(world, container))}")
        else:
            yield event


def _until_asleep(world: World, container: Container) -> None:
    until = world.clock.now() + _PATIENCE
    while not any(c.id == container.id and c.asleep for c in world.docker.observe().containers):
        if world.clock.now() > until:
            raise OrchestratorError(
                f"{container.model} took the order, and does not say that it sleeps",
                where=container.url,
                hint=f"'orchestrator logs {container.model}' shows what the engine said",
            )
        world.clock.sleep(_EVERY)


def _free(world: World, container: Container) -> dict[str, int]:
    """Free bytes of each of its GPUs, as far as the driver tells."""
    gpus, _, _ = world.gpus.read() if container.gpus else ((), "", "")
    return {gpu.id: gpu.free for gpu in gpus if gpu.id in container.gpus and gpu.free is not None}


def _came_back(before: dict[str, int], after: dict[str, int]) -> str:
    told = [f"{gib(max(0, after[gpu] - free))} of GPU {gpu}" for gpu, free in before.items() if gpu in after]
    return f", {' and '.join(told)} came back" if told else "; the driver does not tell how much memory came back"


def _check_room(world: World, sleepers: Sequence[Container], everything: Sequence[Container]) -> None:
    gpus, _, note = world.gpus.read() if any(c.gpus for c in sleepers) else ((), "", "")
    _, stuck = room_to_wake(
        sleepers, Host("this host", gpus, note), everything, held_by_others(world, gpus, everything)
    )
    for error in stuck.values():
        raise error


def _answered(world: World, container: Container, registries: Sequence[Path]) -> Event:
    """With the entry's own question, where the registry has the entry."""
    ready = Event("ready", container.service)
    spec = world.library.registry(registries).models.get(container.model)
    return asked(world, world.models, container.project, ready, spec)
