"""``up``: plan, apply under the host's lock, then follow each start until the model has answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from orchestrator.app.asking import asked
from orchestrator.app.measuring import measure
from orchestrator.app.planning import BUILT_IN, Decided, Source, choose, decide, this_host, versions
from orchestrator.app.returning import Begun, Outcome, answered, begun, failed
from orchestrator.errors import DockerAway, EnvironmentProblem, FitError, Interrupted, OrchestratorError
from orchestrator.executor import apply
from orchestrator.following import follow
from orchestrator.inventory import Host, as_named
from orchestrator.plan.assignment import Improve
from orchestrator.plan.packing import Bin, Item, Packing, Strategy
from orchestrator.plan.placement import Known
from orchestrator.plan.request import Request
from orchestrator.plan.steps import DESTRUCTIVE, Step
from orchestrator.ports import LOCK_PATIENCE, Event, World
from orchestrator.secretfile import API_KEY, check


@dataclass(frozen=True, slots=True)
class Options:
    """How to go about it. ``timeout``: seconds for all of it, None for no limit; ``optimal``: with CP-SAT."""

    source: Source = BUILT_IN
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


def plan(
    world: World, request: Request, options: Options, *, everything: bool = False, elsewhere: bool = False
) -> Decided:
    """The plan, and nothing is done. For another host's inventory Docker is looked at only if there is one.

    ``elsewhere``: this may be another machine than the fleet's, which then counts as empty.
    """
    chosen = choose(world, request, options.source, everything=everything)
    known = Known(improve=_solver() if options.optimal else None, catalogue=chosen.catalogue)
    host, note = _host(world, options, elsewhere=elsewhere)
    decided = decide(world, chosen.request, chosen.specs, host, known, observe=not note)
    return replace(decided, plan=replace(decided.plan, warnings=(note, *decided.plan.warnings))) if note else decided


def _host(world: World, options: Options, *, elsewhere: bool) -> tuple[Host, str]:
    """The host to plan for, and where what runs here is not looked at, the reason."""
    fleet = options.source.fleet
    if options.inventory is not None:
        return world.library.inventory(options.inventory), "" if _has_docker(world) else "no Docker here"
    if fleet is None or fleet.host is None:
        return this_host(world), ""
    named = world.library.inventory(fleet.host)
    try:
        return as_named(named, this_host(world)), ""
    except (EnvironmentProblem, FitError) as error:
        if not elsewhere:
            raise
        return named, f"{error.what}; so this is the plan for an empty {named.name}"


def _has_docker(world: World) -> bool:
    try:
        versions(world)
    except EnvironmentProblem:
        return False
    return True


def _solver() -> Improve:
    from orchestrator.plan import optimal

    if not optimal.available():
        raise EnvironmentProblem("--optimal needs OR-tools", hint="pip install 'orchestrator[optimal]'")

    def improve(items: Sequence[Item], bins: Sequence[Bin], start: Packing, strategy: Strategy) -> Packing:
        return optimal.improve(items, bins, start, strategy=strategy)

    return improve


def up(world: World, request: Request, options: Options, screen: Screen) -> tuple[Outcome, ...]:
    """Bring the models up; returns those that are not ready. A plan that was refused or declined starts nothing."""
    if options.dry_run:
        screen.plan(plan(world, request, options))
        return ()
    versions(world)  # before the lock, so that a machine without Docker is left untouched
    with world.workspace.lock(" ".join(["orchestrator up", *request.models]), LOCK_PATIENCE):
        decided = plan(world, request, options)
        screen.plan(decided)
        _check(world, decided)
        _consent(decided, screen)
        with _interruptible(decided):
            spent = -world.clock.now()
            start = begun(world, decided, _apply(world, decided, options, screen), screen.event)
            spent += world.clock.now()
    with _interruptible(decided):
        if start.error is not None:
            raise _retold(start.error, _returned(world, decided, start.undone, options, screen))
        return _until_answered(world, decided, start, options, screen, spent) if options.wait else ()


def _apply(world: World, decided: Decided, options: Options, screen: Screen) -> OrchestratorError | None:
    try:
        for event in apply(decided.work, world, options.timeout):
            screen.event(event)
    except OrchestratorError as error:
        return error
    return None


def _retold(error: OrchestratorError, outcomes: Sequence[Outcome]) -> OrchestratorError:
    """The error, with what came back after it."""
    what = "; ".join([error.what, *(f"{outcome.service}: {outcome.words}" for outcome in outcomes)])
    return type(error)(what, where=error.where, hint=error.hint) if outcomes else error


@contextmanager
def _interruptible(decided: Decided) -> Iterator[None]:
    """Ctrl-C says what goes on running, and how to stop it; and when Docker went away, how to go on."""
    names = " ".join(p.model for p in decided.placements.items)
    try:
        yield
    except DockerAway as error:
        raise DockerAway(
            f"Docker went away meanwhile: {error.what}",
            where=error.where,
            hint=f"when it is back, 'orchestrator up {names}' goes on with what was begun",
        ) from error
    except KeyboardInterrupt:
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
    wanted = {document.placement.service for document in decided.documents}
    lost = [s for s in decided.plan.of(*DESTRUCTIVE) if s.target in serving or s.subject not in wanted]
    if lost and not screen.agree(lost):
        raise OrchestratorError("declined; nothing was changed", hint="--yes agrees beforehand")


def _until_answered(
    world: World, decided: Decided, start: Begun, options: Options, screen: Screen, spent: float
) -> tuple[Outcome, ...]:
    awake = [step.subject for step in decided.plan.of("wake")]
    services = [d.placement.service for d in decided.documents if d.placement.service not in awake]
    outcomes: dict[str, Outcome] = {}
    for event in _answers(world, decided, services, options, awake, spent):
        screen.event(event)
        if event.kind == "ready":
            answered(world, decided, start, event.subject)
        elif event.kind == "late":
            outcomes[event.subject] = Outcome(event.subject)
        elif event.kind == "failed":
            outcomes[event.subject] = failed(world, decided, start, event, screen.event)
    started = {step.subject for step in decided.plan.of("create", "replace", "start", "restart")}
    measure(world, sorted(started - set(outcomes)), decided.plan.project, {spec.name: spec for spec in decided.specs})
    return _returned(world, decided, tuple(outcomes.values()), options, screen)


def _returned(
    world: World, decided: Decided, outcomes: tuple[Outcome, ...], options: Options, screen: Screen
) -> tuple[Outcome, ...]:
    """The outcomes, with whether what came back answers."""
    told = {outcome.service: outcome for outcome in outcomes}
    services = [outcome.service for outcome in outcomes if outcome.returned and options.wait]
    for event in _answers(world, decided, services, options):
        screen.event(event)
        ends = {"ready": "answers", "late": f"is {event.text}", "failed": f"failed too: {event.text}"}
        if event.kind in ends:
            outcome = told[event.subject]
            told[event.subject] = replace(outcome, words=f"{outcome.words}, which {ends[event.kind]}")
    return tuple(told.values())


def _answers(
    world: World,
    decided: Decided,
    services: Sequence[str],
    options: Options,
    awake: Sequence[str] = (),
    spent: float = 0.0,
) -> Iterator[Event]:
    """What ``follow`` yields of these services, and of those awake already, where ready means answered."""
    models = {d.placement.service: d.placement.model for d in decided.documents}
    specs = {spec.name: spec for spec in decided.specs}
    client = world.models  # imported while they start, so that nobody waits for it once they are ready
    following = follow(decided.plan.project, services, world, options.timeout, spent=spent)
    for event in chain((Event("ready", service) for service in awake), following):
        ready = event.kind == "ready"
        yield asked(world, client, decided.plan.project, event, specs[models[event.subject]]) if ready else event
