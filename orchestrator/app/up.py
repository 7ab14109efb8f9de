"""``up``: plan, apply under the host's lock, then follow each start until the model has answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from orchestrator.app.asking import asked
from orchestrator.app.measuring import measure
from orchestrator.app.planning import Decided, decide, select, this_host, versions
from orchestrator.errors import EnvironmentProblem, Interrupted, OrchestratorError
from orchestrator.executor import apply, follow
from orchestrator.plan.assignment import Improve
from orchestrator.plan.packing import Bin, Item, Packing, Strategy
from orchestrator.plan.placement import Known
from orchestrator.plan.request import Request
from orchestrator.plan.steps import DESTRUCTIVE, Step
from orchestrator.ports import LOCK_PATIENCE, Event, World
from orchestrator.secretfile import API_KEY, check


@dataclass(frozen=True, slots=True)
class Options:
    """How to go about it. ``timeout``: seconds until all have answered, None for no limit; ``optimal``: with CP-SAT."""

    registries: tuple[Path, ...] = ()
    inventory: Path | None = None
    dry_run: bool = False
    wait: bool = True
    timeout: float | None = None
    optimal: bool = False


@dataclass(frozen=True, slots=True)
class Screen:
    """What the caller shows, and what it asks. ``agree``: whether these containers in use may be replaced."""

    plan: Callable[[Decided], None]
    event: Callable[[Event], None]
    agree: Callable[[Sequence[Step]], bool]


def plan(world: World, request: Request, options: Options, *, everything: bool = False) -> Decided:
    """The plan, and nothing is done. For another host's inventory Docker is looked at only if there is one."""
    registry = world.library.registry(options.registries)
    specs = select(registry, request.models, everything=everything)
    known = Known(improve=_solver() if options.optimal else None, catalogue=tuple(registry.models.values()))
    if options.inventory is None:
        return decide(world, request, specs, this_host(world), known)
    host = world.library.inventory(options.inventory)
    try:
        versions(world)
    except EnvironmentProblem:
        return decide(world, request, specs, host, known, observe=False)
    return decide(world, request, specs, host, known)


def _solver() -> Improve:
    from orchestrator.plan import optimal

    if not optimal.available():
        raise EnvironmentProblem("--optimal needs OR-tools", hint="pip install 'orchestrator[optimal]'")

    def improve(items: Sequence[Item], bins: Sequence[Bin], start: Packing, strategy: Strategy) -> Packing:
        return optimal.improve(items, bins, start, strategy=strategy)

    return improve


def up(world: World, request: Request, options: Options, screen: Screen) -> tuple[str, ...]:
    """Bring the models up; returns the services that failed. A plan that was refused or declined starts nothing."""
    if options.dry_run:
        screen.plan(plan(world, request, options))
        return ()
    versions(world)  # before the lock, so that a machine without Docker is left untouched
    with world.workspace.lock(f"orchestrator up {' '.join(request.models)}", LOCK_PATIENCE):
        decided = plan(world, request, options)
        screen.plan(decided)
        _check(world, decided)
        _consent(decided, screen)
        with _interruptible(decided):
            for event in apply(decided.work, world):
                screen.event(event)
    if not options.wait:
        return ()
    with _interruptible(decided):
        return _until_answered(world, decided, options, screen)


@contextmanager
def _interruptible(decided: Decided) -> Iterator[None]:
    """Ctrl-C says what goes on running, and how to stop it."""
    try:
        yield
    except KeyboardInterrupt:
        names = " ".join(p.model for p in decided.placements.items)
        raise Interrupted(
            f"interrupted; what was begun for {names} goes on starting",
            hint=f"'orchestrator up {names}' follows it again, 'orchestrator down {names}' takes it down",
        ) from None


def _check(world: World, decided: Decided) -> None:
    """What would fail after something was started already."""
    images = {d.image.reference: d.image for d in decided.documents}
    for step in decided.plan.of("build"):
        if not world.builder.source(images[step.subject]):
            known = ", ".join(sorted(i.name for i in world.builder.buildable()))
            raise EnvironmentProblem(
                f"the image {step.subject} is missing, and this version can't build it",
                hint=f"buildable here: {known}; or name an image of your own in the registry entry",
            )
    _check_secrets(world, decided)


def _check_secrets(world: World, decided: Decided) -> None:
    """The files that new containers will be given, and the key that a container which stays was given."""
    staying = {step.target for step in decided.plan.of("keep", "start", "restart")}
    keys = {c.service: c.key_file for c in decided.observation.project(decided.plan.project) if c.id in staying}
    for document in decided.documents:
        for secret in document.secrets:
            given = keys.get(document.placement.service, "") if secret == API_KEY else ""
            file = given or world.workspace.secret_file(decided.plan.project, secret)
            check(secret, document.placement.model, file, world.workspace.stored(file))


def _consent(decided: Decided, screen: Screen) -> None:
    serving = {c.id for c in decided.observation.containers if c.ready}
    lost = [step for step in decided.plan.of(*DESTRUCTIVE) if step.target in serving]
    if lost and not screen.agree(lost):
        raise OrchestratorError("declined; nothing was changed", hint="--yes agrees beforehand")


def _until_answered(world: World, decided: Decided, options: Options, screen: Screen) -> tuple[str, ...]:
    models = {d.placement.service: d.placement.model for d in decided.documents}
    specs = {spec.name: spec for spec in decided.specs}
    failed: list[str] = []
    client = world.models  # imported while they start, so that nobody waits for it once they are ready
    awake = [step.subject for step in decided.plan.of("wake")]
    following = follow(decided.plan.project, tuple(s for s in models if s not in awake), world, options.timeout)
    for event in chain((Event("ready", service) for service in awake), following):
        final = event
        if event.kind == "ready":
            final = asked(world, client, decided.plan.project, event, specs[models[event.subject]])
        screen.event(final)
        if final.kind == "failed":
            failed.append(final.subject)
    started = {step.subject for step in decided.plan.of("create", "replace", "start", "restart")}
    measure(world, sorted(started - set(failed)), decided.plan.project, specs)
    return tuple(failed)
