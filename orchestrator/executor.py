"""Runs the steps of a plan through the ports and yields what happens. It decides nothing.

After a kill -9 at any point the next plan sees the truth: images and volumes are marked only when done, documents are
written before Compose is called, and a container that was created but never started is replaced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from orchestrator.compose import OWNER, ComposeDocument
from orchestrator.errors import OrchestratorError
from orchestrator.observation import Container, Previous
from orchestrator.plan.images import Image
from orchestrator.plan.returning import Return
from orchestrator.plan.steps import Plan, Step
from orchestrator.ports import Endpoint, Event, World

#: seconds that an engine gets to stop before it is killed; a little more than the gate gives it
GRACE = 30
#: Seconds between two looks at a start; or so many times as long as a look takes, so that many containers cost no more
_PAUSE, _REST = 0.1, 4
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


def apply(work: Work, world: World) -> Iterator[Event]:
    """Images, volumes, files, what wakes, then one Compose call for everything new, and restarts.

    What wakes comes before what starts, because an engine that starts on the same GPU measures the memory there.
    Nothing that serves is touched before its successor's image is there and what brings it back is on the disk. Raises
    what a step raises.
    """
    images = {d.image.reference: d.image for d in work.documents.values()}
    for step in work.plan.of("build", "pull"):
        yield from _image(step, images, world)
    yield from _volumes(work, world)
    world.workspace.write(work.plan.project, work.files)
    yield from _together(work.plan.of("remove"), world)
    yield from _together(work.plan.of("wake"), world)
    yield from _compose(work, world)
    yield from _together(work.plan.of("start", "restart"), world)


def remove(plan: Plan, world: World) -> Iterator[Event]:
    """Remove containers by id, forget their documents, and the project's network once it is empty."""
    yield from _together(plan.of("remove"), world)
    gone = {step.subject for step in plan.of("remove")}
    world.workspace.forget(plan.project, [f"{service}.yaml" for service in sorted(gone)])
    for kept in world.workspace.kept(plan.project):
        if kept.service in gone:
            world.workspace.let_go(plan.project, kept)
    world.actor.remove_network(plan.project)


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
    begun = world.clock.now()
    yield Event("start", step.subject, f"{step.kind}: {step.cause}")
    lines = world.builder.build(images[step.subject]) if step.kind == "build" else world.actor.pull(step.subject)
    for line in lines:
        yield Event("output", step.subject, line, world.clock.now() - begun)
    yield Event("done", step.subject, step.kind, world.clock.now() - begun)


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
    start comes back (``restore``).
    """
    kinds = {step.subject: step.kind for step in new}
    for container in world.docker.observe().project(work.plan.project):
        if kinds.get(container.service) == "create" or (container.service in kinds and container.state == "created"):
            world.actor.remove(container.id, grace=0)


def _together(steps: Sequence[Step], world: World) -> Iterator[Event]:
    """Steps of single containers, at the same time: each waits for its own engine to stop."""
    if not steps:
        return
    begun = world.clock.now()
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        for step in steps:
            yield Event("start", step.subject, f"{step.kind}: {step.cause}")
        running = {pool.submit(_lifecycle, step, world): step for step in steps}
        for done in as_completed(running):
            done.result()
            yield Event("done", running[done].subject, running[done].kind, world.clock.now() - begun)


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


def follow(project: str, services: Sequence[str], world: World, timeout: float | None) -> Iterator[Event]:
    """Yield every change of phase until each service is ready or has failed, or ``timeout`` seconds are over."""
    begun = world.clock.now()
    seen: dict[str, tuple[str, str]] = {}
    waiting = set(services)
    while waiting:
        looked = world.clock.now()
        now = {c.service: c for c in world.docker.observe().project(project)}
        elapsed = world.clock.now() - begun
        for service in sorted(waiting):
            yield from _change(service, now.get(service), seen, elapsed)
        waiting = {s for s in waiting if (c := now.get(s)) is not None and not (c.ready or c.asleep or c.failed)}
        if waiting and timeout is not None and elapsed >= timeout:
            for service in sorted(waiting):
                yield Event("late", service, f"not ready after {timeout:g} s; it goes on starting", elapsed)
            return
        if waiting:
            world.clock.sleep(max(_PAUSE, _REST * (begun + elapsed - looked)))


def _change(
    service: str, container: Container | None, seen: dict[str, tuple[str, str]], elapsed: float
) -> Iterator[Event]:
    if container is None:
        yield Event("failed", service, "its container is gone", elapsed)
        return
    gate = container.gate
    words = (container.phase, gate.detail or gate.reason if gate else container.error)
    if container.ready:
        yield Event("ready", service, "", elapsed)
    elif container.failed:
        reason = (gate.reason if gate else "") or container.error or f"exit code {container.exit_code}"
        yield Event("failed", service, f"{container.phase}: {reason}", elapsed)
    elif container.asleep:
        yield Event("failed", service, "asleep: somebody put it to sleep meanwhile", elapsed)
    elif seen.get(service, ("", ""))[0] != words[0]:
        yield Event("phase", service, f"{words[0]}{f' ({words[1]})' if words[1] else ''}", elapsed)
    seen[service] = words
