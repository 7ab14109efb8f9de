"""Finds where containers and files no longer agree. ``status`` stands on it and has to be quick."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence

from orchestrator.drift.document import names
from orchestrator.drift.judging import File, from_file, from_plan
from orchestrator.drift.values import EDITED, Drift, Drifted, words
from orchestrator.observation import Container
from orchestrator.ports import World

_UP = "'up' writes it anew"
_RENDER = "'orchestrator render' writes it anew"


def drifted(world: World, found: Sequence[Container]) -> dict[str, Drifted]:
    """The drift of each container that has any, from its file, by its id."""
    each: dict[str, Drifted] = {}
    for c in found:
        own = _own(world, c)
        drifts = from_file(c, own, _applied(world, c))
        if drifts:
            each[c.id] = Drifted(drifts, _remedy(world, c, own, drifts))
    return each


def _remedy(world: World, c: Container, own: File | None, drifts: Sequence[Drift]) -> str:
    edited = any(d.at == "file" for d in drifts)
    if any(d.at == "container" and not d.harmless for d in drifts) or (edited and _ours(world, c, own)):
        return f"'orchestrator up {c.model}' puts it right"
    return _RENDER if edited else "the model is well, and 'up' leaves it so"


def from_wanted(
    world: World, wanted: Mapping[str, str], found: Sequence[Container]
) -> tuple[dict[str, tuple[Drift, ...]], list[str]]:
    """The drift of each container from the text that is wanted of its service, and warnings of edited files."""
    drifts: dict[str, tuple[Drift, ...]] = {}
    warnings: list[str] = []
    for c in found:
        if c.service in wanted:
            own = _own(world, c)
            every = from_plan(c, wanted[c.service], own)
            drifts[c.service] = tuple(d for d in every if d.at == "container")
            warnings += _warnings(world, c, own, [d for d in every if d.at == "file"])
    return drifts, warnings


def _warnings(world: World, c: Container, own: File | None, edited: Sequence[Drift]) -> Iterator[str]:
    if own is not None and edited:
        told = f" ({own.path})" if edited[0].what != EDITED else ""
        yield f"{c.service}: {words(edited)}{told}; {_UP if _ours(world, c, own) else _RENDER}"


def _own(world: World, c: Container) -> File | None:
    """The file that a container was made from: Compose's label names it, or the one that includes it."""
    if not c.applied:
        return _file(world, _document(world, c))
    named = _file(world, c.applied)
    if named is None or names(named.text, c.service):
        return named
    return _file(world, posixpath.join(posixpath.dirname(c.applied), f"{c.service}.yaml"))


def _applied(world: World, c: Container) -> list[File]:
    """What was applied last by us, if it is still there."""
    found = _file(world, _document(world, c))
    return [found] if found else []


def _ours(world: World, c: Container, own: File | None) -> bool:
    """Whether a file is the one that ``up`` writes."""
    return own is not None and own.path == _document(world, c)


def _document(world: World, c: Container) -> str:
    return str(world.workspace.folder(c.project) / f"{c.service}.yaml")


def _file(world: World, path: str) -> File | None:
    text = world.workspace.text(path)
    return None if text is None else File(path, text)
