"""A container, the file that it was made from and what was written there: who differs from whom."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.drift.document import SETTING, carried, facts, sealed
from orchestrator.drift.reader import Unreadable
from orchestrator.drift.values import EDITED, Drift, Side, compare
from orchestrator.observation import Container, Setup


@dataclass(frozen=True, slots=True)
class File:
    """A Compose file as it is now."""

    path: str
    text: str


def from_file(container: Container, own: File | None, originals: Sequence[File] = ()) -> tuple[Drift, ...]:
    """Where a container differs from its own file, and where that file is not as orchestrator wrote it.

    ``originals``: files that may be what was written; only one with the digest that the container carries counts. A
    container that never started is replaced anyway.
    """
    if not container.setup.has or container.state == "created":
        return ()
    written = next((f for f in (own, *originals) if f and sealed(f.text) == container.digest), None)
    own = own or written
    if own is None:
        return ()
    edited = () if sealed(own.text) else _edited(container, own, written, "original")
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
    told = {w: v for w, v in _facts(text, container, own).items() if not w.startswith(SETTING)}
    return compare(container.service, told, container.setup, by=by)


def _edited(container: Container, own: File, written: File | None, by: Side) -> tuple[Drift, ...]:
    """What was edited in a file; only where it is, if what was written there is not known or is another version."""
    bare = (Drift(container.service, EDITED, "", own.path, by, "file"),)
    if written is None or carried(written.text) != carried(own.text):
        return bare
    try:
        now = _facts(own.text, container, own)
    except Unreadable as error:
        return (Drift(container.service, EDITED, "", f"{own.path}, {error}", by, "file"),)
    known = {what: value for what, value in now.items() if value is not None}
    found = Setup(tuple(sorted(known.items())))
    wanted = {w: v for w, v in _facts(written.text, container, own).items() if w not in now or w in known}
    return compare(container.service, wanted, found, by=by, at="file") or bare


def _facts(text: str, container: Container, own: File | None) -> Mapping[str, str | None]:
    """Relative folders of a file are those beside it, when Compose used it."""
    place = container.applied or (own.path if own else "")
    return facts(text, container.service, posixpath.dirname(place))
