"""``verify``: each pair brought up, asked, measured and taken down, and its evidence kept at once.

It works in a project of its own, so that nothing of the user's is replaced or stopped. A pair that serves already is
asked where it is, and left there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from orchestrator import __version__
from orchestrator.app.examining import Examined, examine
from orchestrator.app.planning import BUILT_IN, Source, choose, this_host
from orchestrator.app.pulling import fetch
from orchestrator.app.status import alive
from orchestrator.app.teardown import Wanted as Gone
from orchestrator.app.teardown import down
from orchestrator.app.up import Options, Screen, plan, up
from orchestrator.errors import FitError, Interrupted, OrchestratorError
from orchestrator.evidence import Verification
from orchestrator.inventory import Host
from orchestrator.observation import Container
from orchestrator.plan.images import images_of
from orchestrator.plan.options import refuse_unpinned
from orchestrator.plan.proof import person
from orchestrator.plan.request import DEFAULT_PROJECT, Mode, Request, check_project
from orchestrator.plan.verifying import CPU, Candidate, figures, holds, in_order, proved, replaces
from orchestrator.ports import Clock, Event, World

#: of the lock that one ``verify`` at a time holds
_LOCK = "orchestrator-verify"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to verify: the models named, or all."""

    project: str
    names: tuple[str, ...] = ()
    everything: bool = False
    mode: Mode = "auto"
    resume: bool = False
    allow_unpinned: bool = False
    source: Source = BUILT_IN

    @property
    def own(self) -> str:
        """The project that is verified in."""
        return f"{self.project}-verify"

    def request(self, pair: Candidate, project: str) -> Request:
        """For one pair, in a project. That code of an unknown revision may run was asked before."""
        return Request((pair.spec.name,), project, pair.engine, allow_unpinned=True, move_ports=True)


@dataclass(slots=True)
class _Ear:
    """Tells events on, and remembers when the model answered, or why it did not start."""

    tell: Callable[[Event], None]
    clock: Clock
    ready: float = 0.0
    why: Event = field(default_factory=lambda: Event("failed", ""))

    def hear(self, event: Event) -> None:
        self.tell(event)
        if event.kind == "ready":
            self.ready = self.clock.now()
        elif event.kind in {"failed", "late"}:
            self.why = event


def verify(world: World, wanted: Wanted, tell: Callable[[Event], None]) -> tuple[Verification, ...]:
    """Verify pair after pair; returns what was found of each, and what was recorded before where ``resume`` left it."""
    check_project(wanted.own)
    request = Request(wanted.names, wanted.project, wanted.mode, allow_unpinned=wanted.allow_unpinned)
    chosen = choose(world, request, wanted.source, everything=wanted.everything)
    pairs = in_order(chosen.specs, wanted.mode)
    tried = {pair.spec.name: pair.spec for pair in pairs if pair.known.possible}
    refuse_unpinned([spec for name, spec in tried.items() if not chosen.request.of(name).allow_unpinned])
    host = this_host(world)
    found: list[Verification] = []
    with world.workspace.lock(f"orchestrator verify {' '.join(wanted.names) or '--all'}", 0, _LOCK):
        try:
            _clear(world, wanted, tell)  # what a verify that was killed left
            for number, pair in enumerate(pairs, 1):
                tell(Event("start", pair.service, f"verify {number} of {len(pairs)}"))
                found.append(_recorded(world, wanted, pair, host, tell))
        except (KeyboardInterrupt, Interrupted):
            _clear(world, wanted, tell)
            raise _interrupted(wanted, len(found), len(pairs)) from None
    return tuple(found)


def _interrupted(wanted: Wanted, done: int, of: int) -> Interrupted:
    words = (
        "orchestrator",
        *(("--project", wanted.project) if wanted.project != DEFAULT_PROJECT else ()),
        "verify",
        *wanted.names,
        *(("--all",) if wanted.everything else ()),
        *(("--mode", wanted.mode) if wanted.mode != "auto" else ()),
        *(("--allow-unpinned",) if wanted.allow_unpinned else ()),
        "--resume",
    )
    return Interrupted(
        f"interrupted; {done} of {of} pairs are verified, and what was begun is taken down",
        hint=f"'{' '.join(words)}' goes on",
    )


def _clear(world: World, wanted: Wanted, tell: Callable[[Event], None]) -> None:
    """Take down everything of the project that is verified in, with the proof."""
    down(world, Gone(wanted.own), tuple, lambda _: True, tell)


def _recorded(world: World, wanted: Wanted, pair: Candidate, host: Host, tell: Callable[[Event], None]) -> Verification:
    known = world.workspace.verifications().of(pair.spec.name, pair.engine)
    if wanted.resume and known is not None and _holds(world, known, pair, host):
        tell(Event("done", pair.service, f"verified before: {known.outcome}"))
        return known
    found = _verified(world, wanted, pair, tell)
    if replaces(found, known):
        world.workspace.attest(found)
    tell(Event("done", pair.service, f"{found.outcome}{f': {found.cause}' if found.cause else ''}"))
    if world.workspace.documents(wanted.own):
        _clear(world, wanted, tell)
    return found


def _holds(world: World, known: Verification, pair: Candidate, host: Host) -> bool:
    references = [image.reference for device in pair.known.devices for image in images_of(pair.known, device)]
    return holds(known, pair, world.docker.observe(references).images, host)


def _verified(world: World, wanted: Wanted, pair: Candidate, tell: Callable[[Event], None]) -> Verification:
    """What is found of one pair. What it started is still there."""
    blank = Verification(
        pair.spec.name, pair.engine, "failed", "none", world.clock.now(), __version__, revision=pair.revision
    )
    if not pair.known.possible:
        reason = pair.known.problems[0].text if pair.known.problems else "the registry says so"
        return replace(blank, outcome="incompatible", cause=reason)
    try:
        standing = _standing(world, wanted, pair)
        if standing is not None:
            tell(Event("start", pair.service, "it serves already: it is asked where it is, and left there"))
            return _examined(world, pair, blank, standing, None, tell)
        return _brought_up(world, wanted, pair, blank, tell)
    except Interrupted:
        raise
    except FitError as error:
        return replace(blank, outcome="does-not-fit", missing_bytes=error.missing, cause=_lacking(world, error))
    except OrchestratorError as error:
        return replace(blank, cause=error.what)


def _standing(world: World, wanted: Wanted, pair: Candidate) -> Container | None:
    """The user's own container of the pair, where it serves and a plan would keep it as it is."""
    found = [c for c in world.docker.observe().project(wanted.project) if c.service == pair.service and c.running]
    serving = [c for c in alive(world, found) if c.ready]
    if not serving:
        return None
    steps = plan(world, wanted.request(pair, wanted.project), Options(wanted.source)).plan.of("keep")
    return next((c for c in serving if c.id in {step.target for step in steps}), None)


def _brought_up(
    world: World, wanted: Wanted, pair: Candidate, blank: Verification, tell: Callable[[Event], None]
) -> Verification:
    request, ear = wanted.request(pair, wanted.own), _Ear(tell, world.clock)
    # a fleet's settings hold for the test as well; its ports, GPUs and keys are those of the container that serves
    options = Options(Source(wanted.source.registries, given=(pair.spec,)))
    fetch(world, request, plan(world, request, options), tell)  # so that the time to ready is that of the engine
    failed = up(world, request, options, Screen(lambda _: None, ear.hear, lambda _: False))
    container = next((c for c in world.docker.observe().project(wanted.own) if c.service == pair.service), None)
    if container is None:
        return replace(blank, cause=ear.why.text or "its container is gone")
    if failed:
        return replace(_seen(world, blank, container), failure=ear.why.cause, cause=ear.why.text)
    return _examined(world, pair, blank, container, ear.ready - container.started, tell)


def _examined(
    world: World,
    pair: Candidate,
    blank: Verification,
    container: Container,
    ready: float | None,
    tell: Callable[[Event], None],
) -> Verification:
    told: Examined = examine(world, container, pair.spec, tell)
    outcome, level = proved(told.checks, whole=not told.problem)
    wrong = [f"{check.task}: {check.why}" for check in told.checks if check.why]
    return replace(
        _seen(world, blank, container),
        outcome=outcome,
        level=level,
        engine_version=told.engine_version,
        figures=figures(ready, told.answers, told.peak, "gpu" if container.gpus else "container"),
        checks=told.checks,
        failure=told.failure,
        cause=told.problem or "; ".join(wrong),
    )


def _seen(world: World, blank: Verification, container: Container) -> Verification:
    """What is known of where it ran."""
    gpus, driver, _ = world.gpus.read() if container.gpus else ((), "", "")
    kinds = sorted({gpu.kind for gpu in gpus if gpu.id in container.gpus})
    return replace(
        blank,
        image=container.image,
        image_id=container.image_id,
        image_digest=container.image.partition("@")[2],
        gpu=", ".join(kinds) if container.gpus else CPU,
        driver=driver,
        profile=container.profile,
    )


def _lacking(world: World, error: FitError) -> str:
    """Why it does not fit, with everybody who holds memory of a GPU."""
    seen = world.docker.observe()
    gpus, _, _ = world.gpus.read()
    names = {c.id: c.name for c in seen.containers} | {f.id: f.name for f in seen.foreign}
    holders = [person(holder, names) for holder in world.gpus.holders(gpus, {c.id for c in seen.containers})]
    return "; ".join(filter(None, (error.what, error.where, error.hint, *holders)))
