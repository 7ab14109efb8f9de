"""Ctrl-C, SIGTERM: what is left now, and how to go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from orchestrator.errors import Interrupted, OrchestratorError
from orchestrator.observation import Container
from orchestrator.plan.request import DEFAULT_PROJECT
from orchestrator.ports import World


@contextmanager
def interruptible(world: World, verb: str, project: str, chosen: Sequence[Container]) -> Iterator[None]:
    """Turn an interruption of a verb on these containers into words. Docker goes on with what it was told already."""
    try:
        yield
    except KeyboardInterrupt:
        raise _interrupted(world, verb, project, chosen) from None


def _interrupted(world: World, verb: str, project: str, chosen: Sequence[Container]) -> Interrupted:
    command = "orchestrator" if project == DEFAULT_PROJECT else f"orchestrator --project {project}"
    try:
        now = {c.id: c for c in world.docker.observe().containers}
    except (OrchestratorError, KeyboardInterrupt):
        return Interrupted("interrupted; what is left could not be seen", hint=f"'{command} status' shows it")
    gone = [c.service for c in chosen if c.id not in now]
    left = [now[c.id] for c in chosen if c.id in now]
    waiting = [c for c in left if verb != "stop" or c.running]
    parts = [
        f"removed: {', '.join(gone)}" if gone else "",
        f"still there: {', '.join(f'{c.service} ({c.phase})' for c in left)}" if left else "",
    ]
    said = "; ".join(filter(None, ("interrupted", *parts)))
    if waiting:
        names = " ".join(c.service for c in waiting)
        return Interrupted(said, hint=f"'{command} {verb} {names}' goes on; '{command} status' shows what runs")
    if verb == "down":
        return Interrupted(
            f"{said}; whether all that they held came back was not seen to the end",
            hint=f"'{command} down --all' clears what is left",
        )
    return Interrupted(said, hint=f"'{command} status' shows what runs")
