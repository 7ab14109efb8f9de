"""``stop``, ``start``, ``restart``, ``down``, ``logs``, ``ask``: verbs on containers that exist, always by id."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from orchestrator.app.status import containers, endpoint
from orchestrator.errors import OrchestratorError, RequestError
from orchestrator.executor import control, remove
from orchestrator.observation import Container
from orchestrator.plan.steps import Kind, Plan, Step, removal
from orchestrator.ports import LOCK_PATIENCE, Event, World


def change(world: World, project: str, names: Sequence[str], kind: Kind, tell: Callable[[Event], None]) -> None:
    """Stop, start or restart the models named."""
    if not names:
        raise RequestError(
            "no model named", hint=f"'orchestrator {kind} NAME...'; 'orchestrator status' shows the names"
        )
    with world.workspace.lock(f"orchestrator {kind} {' '.join(names)}", LOCK_PATIENCE):
        chosen = containers(world, project, names)
        plan = Plan(project, "", tuple(Step(kind, c.service, "asked for", c.id) for c in chosen))
        for event in control(plan, world):
            tell(event)


def down(
    world: World,
    project: str,
    names: Sequence[str],
    agree: Callable[[Sequence[Container]], bool],
    tell: Callable[[Event], None],
) -> int:
    """Remove the containers of the models named, or all of the project; returns how many. Volumes stay."""
    with world.workspace.lock(f"orchestrator down {' '.join(names)}".strip(), LOCK_PATIENCE):
        _let_go_absent(world, project, names)
        chosen = containers(world, project, names)
        if chosen and not agree(chosen):
            raise OrchestratorError("declined; nothing was changed", hint="--yes agrees beforehand")
        for event in remove(removal(project, "", chosen, "asked for"), world):
            tell(event)
        left = {c.id: c.name for c in world.docker.observe().containers}
        still = [left[c.id] for c in chosen if c.id in left]
        if still:
            raise OrchestratorError(
                f"still there: {', '.join(still)}", hint="run it again; 'docker ps -a' shows their state"
            )
    return len(chosen)


def _let_go_absent(world: World, project: str, names: Sequence[str]) -> None:
    """What was to come back, and was cut off while its successor was gone already, is not to come back any more."""
    there = {c.service for c in world.docker.observe().project(project)}
    for kept in world.workspace.kept(project):
        if kept.service not in there and (not names or kept.model in names or kept.service in names):
            world.workspace.let_go(project, kept)


def logs(world: World, project: str, name: str, *, follow: bool, tail: int | None) -> Iterator[bytes]:
    """What a model's container printed."""
    return world.actor.logs(containers(world, project, [name])[0].id, follow=follow, tail=tail)


def ask(world: World, project: str, name: str, prompt: str, image: bytes | None, max_tokens: int) -> str:
    """The answer of a running model."""
    chosen = containers(world, project, [name])
    container = next((c for c in chosen if c.ready), None)
    if container is None and any(c.asleep for c in chosen):
        raise OrchestratorError(f"{name} is asleep", hint=f"'orchestrator wake {name}' wakes it in seconds")
    if container is None:
        raise OrchestratorError(
            f"{name} is not ready: {chosen[0].phase}",
            hint=f"'orchestrator status {name}' shows why, 'orchestrator up {name}' starts it",
        )
    return world.models.ask(endpoint(world, container), prompt, image, max_tokens)
