"""``stop``, ``start``, ``restart``, ``logs``, ``ask``: verbs on containers that exist, always by id."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from orchestrator.app.interrupt import interruptible
from orchestrator.app.status import containers, endpoint, refuse_nameless, serving
from orchestrator.errors import OrchestratorError
from orchestrator.executor import control
from orchestrator.plan.steps import Kind, Plan, Step
from orchestrator.ports import LOCK_PATIENCE, Event, World


def change(
    world: World,
    project: str,
    names: Sequence[str],
    kind: Kind,
    tell: Callable[[Event], None],
    *,
    everything: bool = False,
) -> None:
    """Stop, start or restart the models named, without names only where ``everything`` of the project is meant."""
    if not everything:
        refuse_nameless(names, kind)
    with world.workspace.lock(" ".join([f"orchestrator {kind}", *names]), LOCK_PATIENCE):
        chosen = containers(world, project, names)
        plan = Plan(project, "", tuple(Step(kind, c.service, "asked for", c.id) for c in chosen))
        with interruptible(world, kind, project, chosen):
            for event in control(plan, world):
                tell(event)


def logs(world: World, project: str, name: str, *, follow: bool, tail: int | None) -> Iterator[bytes]:
    """What a model's container printed."""
    return world.actor.logs(containers(world, project, [name])[0].id, follow=follow, tail=tail)


def ask(world: World, project: str, name: str, prompt: str, image: bytes | None, max_tokens: int) -> str:
    """The answer of a running model."""
    chosen = serving(world, containers(world, project, [name]))
    container = next((c for c in chosen if c.ready), None)
    if container is None and any(c.asleep for c in chosen):
        raise OrchestratorError(f"{name} is asleep", hint=f"'orchestrator wake {name}' wakes it in seconds")
    if container is None:
        raise OrchestratorError(
            f"{name} is not ready: {chosen[0].phase}",
            hint=f"'orchestrator status {name}' shows why, 'orchestrator up {name}' starts it",
        )
    return world.models.ask(endpoint(world, container), prompt, image, max_tokens)
