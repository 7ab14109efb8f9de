"""A container, the file that it was made from and what was written there: who differs from whom.

Words are found only for what differs, because ``status`` has to be quick.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.drift.document import SETTING, carried, facts, sealed
from orchestrator.drift.reader import Unreadable
from orchestrator.observation import Container, Setup

if TYPE_CHECKING:
    from orchestrator.drift.values import Difference, Drift, Side


@dataclass(frozen=True, slots=True)
class File:
    """A Compose file as it is now."""

    path: str
    text: str


def from_file(
    container: Container, own: File | None, another: Callable[[], File | None] = lambda: None
) -> tuple[Drift, ...]:
    """Where a container differs from its own file, and where that file is not as orchestrator wrote it.

    ``another``: a file that may be what was written; it counts only with the digest that the container carries. A
    container that never started is replaced anyway.
    """
    if not container.setup.has or container.state == "created":
        return ()
    whole = own is not None and sealed(own.text)
    other = None if whole else another()
    written = other if other and sealed(other.text) == container.digest else None
    own = own or written
    if own is None:
        return ()
    edited = () if whole or own is written else _edited(container, own, written, "original")
    try:
        return *edited, *_made(container, own.text, own, "file")
    except Unreadable:
        return edited


def from_plan(container: Container, text: str, own: File | None) -> tuple[Drift, ...]:
    """The same of the document that is wanted now. Its changes are no drift, so a container of another one has none."""
    edited = () if own is None or sealed(own.text) else _edited(container, own, File(own.path, text), "plan")
    if not container.setup.has or container.state == "created" or container.digest != carried(text):
        return edited
    return *_made(container, text, own, "plan"), *edited


def _made(container: Container, text: str, own: File | None, by: Side) -> tuple[Drift, ...]:
    """Where the container is not what the text makes of it."""
    told = {what: value for what, value in _facts(text, container, own).items() if not what.startswith(SETTING)}
    return _told(container.service, [*differences(told, container.setup)], by, "container")


def _edited(container: Container, own: File, written: File | None, by: Side) -> tuple[Drift, ...]:
    """What was edited in a file; only where it is, if what was written there is not known or is another version."""
    from orchestrator.drift.values import EDITED, Drift  # noqa: PLC0415 (as above)

    bare = (Drift(container.service, EDITED, "", own.path, by, "file"),)
    if written is None or carried(written.text) != carried(own.text):
        return bare
    try:
        now = _facts(own.text, container, own)
    except Unreadable as error:
        return (Drift(container.service, EDITED, "", f"{own.path}, {error}", by, "file"),)
    known = {what: value for what, value in now.items() if value is not None}
    wanted = {w: v for w, v in _facts(written.text, container, own).items() if w not in now or w in known}
    found = Setup(tuple(sorted(known.items())))
    return _told(container.service, [*differences(wanted, found)], by, "file") or bare


def _facts(text: str, container: Container, own: File | None) -> Mapping[str, str | None]:
    """Relative folders of a file are those beside it, when Compose used it."""
    place = container.applied or (own.path if own else "")
    return facts(text, container.service, posixpath.dirname(place))


def _told(service: str, found: list[Difference], by: Side, at: Side) -> tuple[Drift, ...]:
    if not found:
        return ()
    from orchestrator.drift.values import drifts  # noqa: PLC0415 (as above)

    return drifts(service, found, by, at)


def differences(wanted: Mapping[str, str | None], found: Setup) -> Iterator[Difference]:
    """Everything in which they differ, sorted. A value of None in ``wanted`` is not known, and equals any."""
    has, usual = dict(found.has), dict(found.usual)
    for what in sorted({*wanted, *has}):
        old, new = wanted.get(what), has.get(what)
        if what in wanted and old is None and new is not None:
            continue  # a variable of that day decided
        if old != new and (what in wanted or usual.get(what) != new):
            yield what, old, new
