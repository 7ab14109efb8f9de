"""What crashes, and hands, leave behind: found from what is there, never from what was remembered."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.observation import Container, Helper, Observation, Remains

Kind = Literal["container", "helper", "network", "document", "mark", "lock", "draft", "volume"]
#: seconds in which a container may be created and not yet started, because somebody is at it
_STARTING = 10.0


@dataclass(frozen=True, slots=True)
class Leftover:
    """One thing that may go. ``id`` is Docker's for a container, helper or network, else the thing's name.

    A "volume" is given to its owner instead.
    """

    kind: Kind
    name: str
    why: str
    id: str
    running: bool = False
    project: str = ""


def of_project(
    project: str, seen: Observation, remains: Remains, documents: Sequence[str], now: float
) -> tuple[Leftover, ...]:
    """What ``down --all`` removes beside the project's models, under the host's lock.

    A helper that prepares volumes is a leftover even while it runs: they work only under the lock, which we hold.
    """
    services = {c.service for c in seen.project(project)}
    return (
        *(
            _helper(h)
            for h in remains.helpers
            if (h.kind == "schema" and h.project == project)
            or h.kind == "helper"
            or (_plain(h) and not _at_work(h, now))
        ),
        *(
            Leftover("document", name, "no container", name, project=project)
            for name in documents
            if name.removesuffix(".yaml") not in services
        ),
    )


def networks(projects: Collection[str], remains: Remains) -> tuple[Leftover, ...]:
    """Compose's networks of these projects on which nobody is."""
    return tuple(
        Leftover("network", n.name, "no container uses it", n.id, project=n.project)
        for n in remains.networks
        if n.project in projects and not n.users
    )


def containers(seen: Observation, present: Mapping[str, bool | None], now: float) -> tuple[Leftover, ...]:
    """Containers of ours, of any project, that never started, are half removed, or that no document describes.

    ``present``: whether the document of each container is there, by id; None where this user can't look.
    """
    return tuple(
        Leftover("container", c.name, why, c.id, c.running, c.project)
        for c in seen.containers
        if (why := _why(c, now) or ("no document describes it" if present.get(c.id) is False else ""))
    )


def helpers(remains: Remains, now: float) -> tuple[Leftover, ...]:
    """Helper containers that no longer run, and containers of other versions of orchestrator."""
    return tuple(_helper(h) for h in remains.helpers if not (_plain(h) and _at_work(h, now)))


def _at_work(helper: Helper, now: float) -> bool:
    return helper.running or (helper.created > 0 and now - helper.created < _STARTING)


def _why(container: Container, now: float) -> str:
    if container.state in {"dead", "removing"}:
        return "its removal was cut off"
    if container.state == "created" and now - container.created >= _STARTING:
        return f"it was created and never started{f': {container.error}' if container.error else ''}"
    return ""


def _plain(helper: Helper) -> bool:
    return helper.kind != "schema"


def _helper(helper: Helper) -> Leftover:
    if helper.kind == "schema":
        why = "another version of orchestrator made it"
        return Leftover("container", helper.name, why, helper.id, helper.running, helper.project)
    return Leftover("helper", helper.name, "it was cut off", helper.id, helper.running)


def document_of(container: Container, fleet_file: str) -> Iterator[str]:
    """The files that have to be there for a container to be described: what Compose was given, and its own beside."""
    if container.applied:
        yield container.applied
        folder, _, name = container.applied.rpartition("/")
        if name == fleet_file:
            yield f"{folder}/{container.service}.yaml"
