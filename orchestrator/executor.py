"""Runs the steps of a plan through the ports and yields what happens. It decides nothing.

After a kill -9 at any point the next plan sees the truth: images and volumes are marked only when done, documents are
written before Compose is called, and a container that was created but never started is replaced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread

from orchestrator.compose import OWNER, ComposeDocument
from orchestrator.errors import OrchestratorError
from orchestrator.observation import Container, Previous
from orchestrator.pace import Pace
from orchestrator.plan.images import Image
from orchestrator.plan.leftovers import Leftover, networks
from orchestrator.plan.returning import Return
from orchestrator.plan.steps import Plan, Step
from orchestrator.ports import Advance, Endpoint, Event, World

#: seconds that an engine gets to stop before it is killed; a little more than the gate gives it
GRACE = 30
#: containers that are stopped or started at the same time
_AT_ONCE = 8
#: lines of the log that are told of a container before it is removed because it failed
_LAST_WORDS = 30


@dataclass(frozen=True, slots=True)
class Work:
    """A plan with what its steps need: the documents by service, and all files of the project's folder."""

    plan: Plan
    documents: Mapping[str, ComposeDocument]
    files: Mapping[str, bytes]
    keep: tuple[Container, ...] = ()
    """Containers to be replaced that come back if their successors fail."""
    strange: frozenset[str] = frozenset()
    """Ids of containers of ours that Compose did not make, so that it can't replace them."""


def apply(work: Work, world: World, timeout: float | None = None) -> Iterator[Event]:
    """Images, volumes, files, what wakes, then one Compose call for everything new, and restarts.

    What wakes comes before what starts, because an engine that starts on the same GPU measures the memory there.
    Nothing that serves is touched before its successor's image is there and what brings it back is on the disk. Raises
    what a step raises. ``timeout``: seconds for the images, after which nothing was started and nothing will be.
    """
    yield from prepare(work, world, timeout)
    world.workspace.write(work.plan.project, work.files)
    yield from _cleared(work, world)
    yield from _together(work.plan.of("wake"), world)
    yield from _compose(work, world)
    yield from _together(work.plan.of("start", "restart"), world)


def _cleared(work: Work, world: World) -> Iterator[Event]:
    """Remove what goes; of a service that goes altogether its document and its way back as well."""
    yield from _together(work.plan.of("remove"), world)
    gone = {step.subject for step in work.plan.of("remove")} - set(work.documents)
    world.workspace.forget(work.plan.project, sorted(f"{service}.yaml" for service in gone))
    for kept in world.workspace.kept(work.plan.project) if gone else ():
        if kept.service in gone:
            world.workspace.let_go(work.plan.project, kept)


def prepare(work: Work, world: World, timeout: float | None = None) -> Iterator[Event]:
    """Images and volumes alone."""
    images = {d.image.reference: d.image for d in work.documents.values()}
    begun = world.clock.now()
    for step in work.plan.of("build", "pull"):
        for event in _image(step, images, world):
            yield event
            if timeout is not None and world.clock.now() - begun >= timeout and event.kind == "progress":
                raise OrchestratorError(
                    f"{step.subject} is not there after {timeout:g} s; nothing was started",
                    hint="run it again: what was done is kept, and 'orchestrator pull' does it ahead of time",
                )
    yield from _volumes(work, world)


def remove(plan: Plan, world: World) -> Iterator[Event]:
    """Remove containers by id, and forget the documents of those that are gone."""
    for event in _together(plan.of("remove"), world):
        if event.kind == "done":
            world.workspace.forget(plan.project, [f"{event.subject}.yaml"])
        yield event


def discard(leftovers: Sequence[Leftover], world: World) -> Iterator[Event]:
    """Remove what was left behind, one thing after the other."""
    for left in leftovers:
        match left.kind:
            case "container":
                world.actor.remove(left.id, GRACE if left.running else 0)
            case "helper":
                world.actor.remove(left.id, 0)
            case "network":
                world.actor.remove_network(left.id)
            case "document":
                world.workspace.forget(left.project, [left.id])
            case "mark":
                world.workspace.prepared([left.id])
            case "draft":
                world.workspace.drafts(remove=True)
            case "volume":
                raise ValueError("volumes are prepared, not discarded")
            case "lock":
                pass  # taking the lock, as everybody who discards something has, replaced the note of who died
        yield Event("gone", f"{left.kind} {left.name}", left.why)


def restore(project: str, back: Return, world: World) -> Iterator[Event]:
    """Remove what failed, with its last words, then make anew and start what served before.

    The failed one goes first, because both want the same name, port and memory. Until the old one has been started
    all that it takes stays on the disk.
    """
    begun = world.clock.now()
    service, failed = back.step.subject, back.step.target
    yield Event("start", service, f"{back.step.kind}: {back.step.cause}")
    if failed:
        words = b"".join(world.actor.logs(failed, follow=False, tail=_LAST_WORDS)).decode(errors="replace")
        yield from (Event("said", service, line) for line in words.splitlines())
        world.actor.remove(failed, GRACE)
    world.actor.recreate(back.previous.recipe)
    world.workspace.let_go(project, back.previous)
    yield Event("done", service, back.step.kind, world.clock.now() - begun)


def control(plan: Plan, world: World) -> Iterator[Event]:
    """Stop, start and restart containers by id, and put their engines to sleep or wake them."""
    yield from _together(plan.of("stop", "start", "restart", "sleep", "wake"), world)


def _image(step: Step, images: Mapping[str, Image], world: World) -> Iterator[Event]:
    begun, pace = world.clock.now(), Pace()
    yield Event("start", step.subject, f"{step.kind}: {step.cause}")
    told = world.builder.build(images[step.subject]) if step.kind == "build" else world.actor.pull(step.subject)
    for advance in told:
        now = world.clock.now()
        yield advanced(step.subject, "image", advance, now - begun, pace.rate(now, advance.done))
    yield Event("done", step.subject, step.kind, world.clock.now() - begun)


def advanced(subject: str, phase: str, advance: Advance, seconds: float, rate: float | None) -> Event:
    """The event of a sign that something goes on."""
    done, total = advance.done, advance.total
    share = min(done / total, 1.0) if done is not None and total else None
    return Event("progress", subject, advance.text, seconds, phase, share, done, total, rate)


def _volumes(work: Work, world: World) -> Iterator[Event]:
    names = [step.subject for step in work.plan.of("volume")]
    if not names:
        return
    begun = world.clock.now()
    helper = next(iter(work.documents.values())).image.reference
    with world.workspace.preparing(names):
        world.actor.prepare_volumes(names, helper, OWNER)
    for name in names:
        yield Event("done", name, "volume", world.clock.now() - begun)


def _compose(work: Work, world: World) -> Iterator[Event]:
    new = work.plan.of("create", "replace")
    if not new:
        return
    for old in work.keep:
        kept = Previous(old.id, old.service, old.model, old.image, world.actor.recipe(old.id))
        world.workspace.keep(work.plan.project, kept)
    for step in new:
        yield Event("start", step.subject, f"{step.kind}: {step.cause}")
        if step.target in work.strange:
            world.actor.remove(step.target, GRACE)
    begun = world.clock.now()
    folder = world.workspace.folder(work.plan.project)
    try:
        world.compose.up(folder, work.plan.project, [step.subject for step in new])
    except OrchestratorError:
        _discard(work, new, world)
        raise
    for step in new:
        yield Event("done", step.subject, step.kind, world.clock.now() - begun)


def _discard(work: Work, new: Sequence[Step], world: World) -> None:
    """Remove every container that is new, and a replacement that could not start: all or nothing.

    A replacement that runs stays, because what it replaced is gone. What served in the place of one that could not
    start comes back (``restore``), and needs the network.
    """
    kinds = {step.subject: step.kind for step in new}
    for container in world.docker.observe().project(work.plan.project):
        if kinds.get(container.service) == "create" or (container.service in kinds and container.state == "created"):
            world.actor.remove(container.id, grace=0)
    if not work.keep:
        for network in networks([work.plan.project], world.docker.remains(())):
            world.actor.remove_network(network.id)


def _together(steps: Sequence[Step], world: World) -> Iterator[Event]:
    """Steps of single containers, at the same time: each waits for its own engine to stop.

    All are tried, then the first error is raised. The threads end with the program: whoever interrupts it does not
    wait for an engine that takes its time.
    """
    begun = world.clock.now()
    todo: SimpleQueue[Step | None] = SimpleQueue()
    done: SimpleQueue[tuple[Step, BaseException | None]] = SimpleQueue()
    for step in steps:
        yield Event("start", step.subject, f"{step.kind}: {step.cause}")
        todo.put(step)
    for _ in range(min(_AT_ONCE, len(steps))):
        todo.put(None)
        Thread(target=_work, args=(todo, done, world), daemon=True).start()
    errors = []
    for _ in steps:
        step, error = done.get()
        if error is None:
            yield Event("done", step.subject, step.kind, world.clock.now() - begun)
        else:
            errors.append(error)
    if errors:
        raise errors[0]


def _work(todo: SimpleQueue[Step | None], done: SimpleQueue[tuple[Step, BaseException | None]], world: World) -> None:
    while (step := todo.get()) is not None:
        try:
            _lifecycle(step, world)
        except BaseException as error:  # noqa: BLE001 (it is raised where the others are waited for)
            done.put((step, error))
        else:
            done.put((step, None))


def _lifecycle(step: Step, world: World) -> None:
    match step.kind:
        case "remove":
            world.actor.remove(step.target, GRACE)
        case "stop":
            world.actor.stop(step.target, GRACE)
        case "start":
            world.actor.start(step.target)
        case "restart":
            world.actor.restart(step.target, GRACE)
        case "sleep":
            world.models.sleep(_engine(step, world))
        case "wake":
            world.models.wake(_engine(step, world))
        case _:
            raise ValueError(f"{step.kind} is not a step of one container")


def _engine(step: Step, world: World) -> Endpoint:
    """Where a container's engine takes orders, which needs no API key; only a port that is the container's is used."""
    found = next((c for c in world.docker.observe().containers if c.id == step.target and c.published), None)
    if found is None:
        raise OrchestratorError(
            f"{step.subject} is gone, or Docker no longer publishes its port",
            hint="'orchestrator status' shows what runs",
        )
    return Endpoint(found.model, found.url)
