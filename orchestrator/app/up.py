"""``up``: plan, apply under the host's lock, then follow each start until the model has answered."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.app.measuring import measure
from orchestrator.app.planning import Decided, decide, select, this_host, versions
from orchestrator.compose import TOKEN_DEFAULT, TOKEN_VARIABLE, ComposeDocument
from orchestrator.errors import EnvironmentProblem, Interrupted, OrchestratorError
from orchestrator.executor import apply, follow
from orchestrator.plan.assignment import Improve
from orchestrator.plan.packing import Bin, Item, Packing, Strategy
from orchestrator.plan.placement import Known
from orchestrator.plan.request import Request
from orchestrator.plan.steps import DESTRUCTIVE, Step
from orchestrator.ports import LOCK_PATIENCE, Event, ModelClient, World
from orchestrator.registry.spec import ModelSpec


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
            known = ", ".join(sorted({f"{i.family}-{i.variant}" for i in world.builder.buildable()}))
            raise EnvironmentProblem(
                f"the image {step.subject} is missing, and this version can't build it",
                hint=f"buildable here: {known}; or name an image of your own in the registry entry",
            )
    project = decided.plan.project
    for document in decided.documents:
        if document.needs_token and not world.workspace.token_file(project, TOKEN_VARIABLE, TOKEN_DEFAULT):
            raise EnvironmentProblem(
                f"{document.placement.model} is gated, and there is no file with a Hugging Face token",
                where=f"{world.workspace.folder(project)}/{TOKEN_DEFAULT.removeprefix('./')}",
                hint=f"put the token there, readable for uid 2000 or gid 0, or name its file in {TOKEN_VARIABLE}",
            )


def _consent(decided: Decided, screen: Screen) -> None:
    serving = {c.id for c in decided.observation.containers if c.ready}
    lost = [step for step in decided.plan.of(*DESTRUCTIVE) if step.target in serving]
    if lost and not screen.agree(lost):
        raise OrchestratorError("declined; nothing was changed", hint="--yes agrees beforehand")


def _until_answered(world: World, decided: Decided, options: Options, screen: Screen) -> tuple[str, ...]:
    documents = {d.placement.service: d for d in decided.documents}
    specs = {spec.name: spec for spec in decided.specs}
    failed: list[str] = []
    models = world.models  # imported while they start, so that nobody waits for it once they are ready
    for event in follow(decided.plan.project, tuple(documents), world, options.timeout):
        final = event
        if event.kind == "ready":
            document = documents[event.subject]
            final = _asked(world, models, document, specs[document.placement.model], event.seconds)
        screen.event(final)
        if final.kind == "failed":
            failed.append(final.subject)
    started = {step.subject for step in decided.plan.of("create", "replace", "start", "restart")}
    measure(world, sorted(started - set(failed)), decided.plan.project, specs)
    return tuple(failed)


def _asked(world: World, models: ModelClient, document: ComposeDocument, spec: ModelSpec, seconds: float) -> Event:
    """Ready means answered: the served name is right, and a known image is asked about."""
    service = document.placement.service
    base = f"http://{document.placement.address}:{document.placement.port}"
    served = models.served(base)
    if spec.name not in served:
        return Event("failed", service, f"it serves {', '.join(served) or 'nothing'} instead of {spec.name}", seconds)
    begun = world.clock.now()
    try:
        answer = models.ask(base, spec.name, spec.probe.prompt, world.library.probe_image(), spec.probe.max_tokens)
    except OrchestratorError as error:
        return Event("failed", service, f"it does not answer: {error.what}", seconds)
    seconds += world.clock.now() - begun
    if spec.probe.expect is not None and not re.search(spec.probe.expect, answer):
        return Event("failed", service, f"it answers {answer!r}, expected {spec.probe.expect!r}", seconds)
    return Event("ready", service, "answered", seconds)
