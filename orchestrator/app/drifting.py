"""Finds where containers and files no longer agree. ``status`` stands on it and has to be quick."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from orchestrator.drift.document import includes
from orchestrator.drift.judging import File, from_file, from_plan
from orchestrator.observation import Container
from orchestrator.ports import World

if TYPE_CHECKING:
    from orchestrator.drift.values import Drift, Drifted

_UP = "'up' writes it anew"
_RENDER = "'orchestrator render' writes it anew"


def drifted(world: World, found: Sequence[Container]) -> dict[str, Drifted]:
    """The drift of each container that has any, from its file, by its id."""
    files = _Files(world)
    each = {c.id: (c, from_file(c, files.own(c), lambda c=c: files.applied(c))) for c in found}  # type: ignore[misc]
    return {id_: _drifted(files, c, drifts) for id_, (c, drifts) in each.items() if drifts}


def from_wanted(
    world: World, wanted: Mapping[str, str], found: Sequence[Container]
) -> tuple[dict[str, tuple[Drift, ...]], list[str]]:
    """The drift of each container from the text that is wanted of its service, and warnings of edited files."""
    files = _Files(world)
    drifts: dict[str, tuple[Drift, ...]] = {}
    warnings: list[str] = []
    for c in found:
        if c.service in wanted:
            every = from_plan(c, wanted[c.service], files.own(c))
            drifts[c.service] = tuple(d for d in every if d.at == "container")
            warnings += _warnings(files, c, [d for d in every if d.at == "file"])
    return drifts, warnings


def _drifted(files: _Files, c: Container, drifts: tuple[Drift, ...]) -> Drifted:
    from orchestrator.drift.values import Drifted

    edited = any(d.at == "file" for d in drifts)
    if any(d.at == "container" and not d.harmless for d in drifts) or (edited and files.ours(c)):
        return Drifted(drifts, f"'orchestrator up {c.model}' puts it right")
    return Drifted(drifts, _RENDER if edited else "the model is well, and 'up' leaves it so")


def _warnings(files: _Files, c: Container, edited: Sequence[Drift]) -> Iterator[str]:
    own = files.own(c)
    if own is not None and edited:
        from orchestrator.drift.values import EDITED, words

        told = f" ({own.path})" if edited[0].what != EDITED else ""
        yield f"{c.service}: {words(edited)}{told}; {_UP if files.ours(c) else _RENDER}"


class _Files:
    """Compose files as they are now, each read once."""

    def __init__(self, world: World) -> None:
        self._folder = world.workspace.folder
        self._text = cache(world.workspace.text)

    def own(self, c: Container) -> File | None:
        """The file that a container was made from: Compose's label names it, or the one that includes it."""
        if not c.applied:
            return self.applied(c)
        named = self._file(c.applied)
        if named is None or not includes(named.text):
            return named
        return self._file(posixpath.join(posixpath.dirname(c.applied), f"{c.service}.yaml"))

    def applied(self, c: Container) -> File | None:
        """What was applied last by us, if it is still there."""
        return self._file(self._place(c))

    def ours(self, c: Container) -> bool:
        """Whether its own file is the one that ``up`` writes."""
        own = self.own(c)
        return own is not None and own.path == self._place(c)

    def _place(self, c: Container) -> str:
        return str(self._folder(c.project) / f"{c.service}.yaml")

    def _file(self, path: str) -> File | None:
        text = self._text(path)
        return None if text is None else File(path, text)
