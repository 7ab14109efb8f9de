"""Follows starts until each model answers, has failed, or stands still. It decides nothing about what runs.

Docker's word about a container's health is some seconds old, so what may answer any moment is asked itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from orchestrator.diagnosing import diagnosed
from orchestrator.observation import Container, Progress
from orchestrator.pace import Pace, stall_limit
from orchestrator.ports import Event, World

#: seconds between two questions whether a model answers: a part of the 0.3 s in which that is to be noticed
_TICK = 0.1
#: seconds for an answer: an engine that is well has one in milliseconds, and one that is hung must not hold up others
_PATIENCE = 1.0
#: seconds between two looks at Docker: a part of the time waited so far, so that a quick failure is noticed quickly
_SOONEST, _LATEST, _PART = 0.1, 0.5, 0.02
#: what the gate's health check adds to what it says
_WAITED = re.compile(r"(; )?for \d+ s$")


@dataclass(slots=True)
class _Watched:
    """One service: what was seen last, and when anything went on."""

    phase: str = ""
    words: str = ""
    progress: Progress | None = None
    moved: float = 0.0
    pace: Pace = field(default_factory=Pace)


def follow(
    project: str, services: Sequence[str], world: World, timeout: float | None, *, spent: float = 0.0
) -> Iterator[Event]:
    """Yield phases and progress until each service answers, has failed, stands still, or ``timeout`` is over.

    ``spent``: seconds of the timeout that are gone already. What is late is left as it is, and goes on starting.
    """
    begun = world.clock.now()
    watched = {service: _Watched(moved=begun) for service in services}
    waiting, look = set(services), begun
    seen: Mapping[str, Container] = {}
    every: Sequence[Container] = ()
    while waiting:
        now = world.clock.now()
        fresh = now >= look
        if fresh:
            every = world.docker.observe().containers
            seen = {c.service: c for c in every if c.project == project}
            look = now + min(max(_SOONEST, _PART * (now - begun)), _LATEST)
        for service in sorted(_answering(waiting, seen, world)):
            waiting.discard(service)
            yield Event("ready", service, "", world.clock.now() - begun)
        if fresh:
            for service in sorted(waiting):
                if (container := seen.get(service)) is not None and container.failed:
                    yield _failed(container, world, now - begun)
                else:
                    yield from _told(service, container, watched[service], every, now - begun, now)
            waiting = {s for s in waiting if (c := seen.get(s)) is not None and not (c.failed or c.asleep)}
        for event in _late(waiting, watched, timeout, spent, begun, world.clock.now()):
            waiting.discard(event.subject)
            yield event
        if waiting:
            world.clock.sleep(_TICK)


def _answering(waiting: set[str], seen: Mapping[str, Container], world: World) -> set[str]:
    there = {s: seen[s] for s in waiting if s in seen}
    beating = world.pulse.beating([c.url for c in there.values() if c.askable], _PATIENCE)
    return {s for s, c in there.items() if (c.askable and c.url in beating) or (c.ready and not c.published)}


def _late(
    waiting: set[str], watched: Mapping[str, _Watched], timeout: float | None, spent: float, begun: float, now: float
) -> Iterator[Event]:
    elapsed = now - begun
    for service in sorted(waiting):
        phase = watched[service].phase
        limit = stall_limit(phase)
        if timeout is not None and elapsed + spent >= timeout:
            yield Event("late", service, f"not ready after {timeout:g} s; it goes on starting", elapsed, phase)
        elif now - watched[service].moved >= limit:
            words = f"no progress for {limit:g} s in phase {phase}; its container is left as it is"
            yield Event("late", service, words, elapsed, phase)


def _failed(container: Container, world: World, elapsed: float) -> Event:
    why = diagnosed(world, [container]).get(container.id)
    words = f"{container.phase}: {why.words}" if why else container.phase
    return Event("failed", container.service, words, elapsed, container.phase, cause=why.cause if why else "")


def _told(
    service: str, container: Container | None, last: _Watched, every: Sequence[Container], elapsed: float, now: float
) -> Iterator[Event]:
    """What is new about a service, and note it."""
    if container is None:
        yield Event("failed", service, "its container is gone", elapsed)
        return
    gate, phase = container.gate, container.step
    if container.asleep:
        yield Event("failed", service, "asleep: somebody put it to sleep meanwhile", elapsed, container.phase)
        return
    progress = gate.progress if gate and container.phase == "starting" else None
    words = progress.text if progress else _WAITED.sub("", gate.detail or gate.reason) if gate else container.error
    event = _with_progress(Event("progress", service, words, elapsed, phase), progress, last.pace, now)
    if phase != last.phase:
        last.moved = max(last.moved, now)
        yield replace(event, kind="phase")
    elif (words, progress) != (last.words, last.progress):
        yield event
    last.moved = max(last.moved, _moved(container, progress, every), now if words != last.words else 0.0)
    last.phase, last.words, last.progress = phase, words, progress


def _with_progress(event: Event, progress: Progress | None, pace: Pace, now: float) -> Event:
    if progress is None:
        return event
    if progress.phase != "weights":
        return replace(event, share=progress.share)
    rate = pace.rate(now, progress.done)
    return replace(event, share=progress.share, done=progress.done, total=progress.total, rate=rate)


def _moved(container: Container, progress: Progress | None, every: Sequence[Container]) -> float:
    """When anything went on: in the start itself, and for one that waits for its turn in those before it."""
    if container.phase != "queued":
        return progress.moved if progress else 0.0
    ahead = [c.gate.progress for c in every if c.gate and set(c.gpus) & set(container.gpus)]
    return max((p.moved for p in ahead if p), default=0.0)
