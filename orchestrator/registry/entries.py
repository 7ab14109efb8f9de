"""What entries of the registry must not do to each other. Pure.

Works on the plain values, so that a file with other mistakes takes part too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from orchestrator.errors import Problem
from orchestrator.registry.spec import ENGINES, EngineName, ModelSpec
from orchestrator.registry.tree import Tree

#: service names are MODEL-ENGINE and MODEL-ENGINE-NUMBER
_SERVICE = re.compile(rf"(.+)-({'|'.join(ENGINES)})(-[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file. ``layer`` counts from 0 (built in); ``spec`` is None where the file has problems."""

    layer: int
    tree: Tree
    spec: ModelSpec | None
    problems: tuple[Problem, ...]

    @property
    def name(self) -> str:
        """The model's name as the file gives it; "" where it gives none."""
        name = self.tree.get("name")
        return name if isinstance(name, str) else ""

    def port(self, engine: EngineName) -> int | None:
        """The engine's port, if it is a number."""
        port = self.tree.get("engines", engine, "port")
        return port if type(port) is int else None

    def problem(self, message: str, *path: str) -> Problem:
        """A problem at that path of the file."""
        return Problem(self.tree.file, self.tree.line(path), ".".join(path), message)

    def place(self, *path: str) -> str:
        """File and line of that path."""
        return f"{self.tree.file}:{self.tree.line(path)}"


def between_entries(entries: Sequence[Entry]) -> Iterator[Problem]:
    """Names that differ from the file's or occur twice in a folder, and ports and service names that collide."""
    yield from _file_names(entries)
    yield from _twice(entries)
    final = list({entry.name: entry for entry in entries if entry.name}.values())
    yield from _ports(final)
    yield from _service_names(final)


def _file_names(entries: Iterable[Entry]) -> Iterator[Problem]:
    for entry in entries:
        stem = PurePath(entry.tree.file).stem
        if entry.name and entry.name != stem:
            yield entry.problem(f"must be the name of the file, {stem!r}, got {entry.name!r}", "name")


def _twice(entries: Iterable[Entry]) -> Iterator[Problem]:
    first: dict[tuple[int, str], Entry] = {}
    for entry in entries:
        if entry.name and first.setdefault((entry.layer, entry.name), entry) is not entry:
            other = first[entry.layer, entry.name]
            yield entry.problem(f"{entry.name!r} is also the name in {other.place('name')}", "name")


def _ports(entries: Iterable[Entry]) -> Iterator[Problem]:
    holders: dict[int, tuple[Entry, EngineName]] = {}
    for entry in entries:
        for engine in ENGINES:
            port = entry.port(engine)
            if port is None:
                continue
            other, its_engine = holders.setdefault(port, (entry, engine))
            if (other, its_engine) != (entry, engine):
                where = other.place("engines", its_engine, "port")
                yield entry.problem(
                    f"{port} is also the port of {other.name} on {its_engine} ({where})", "engines", engine, "port"
                )


def _service_names(entries: Sequence[Entry]) -> Iterator[Problem]:
    known = {entry.name: entry for entry in entries}
    for entry in entries:
        match = _SERVICE.fullmatch(entry.name)
        other = known.get(match[1]) if match else None
        if match and other is not None and other.tree.get("engines", match[2]) is not None:
            yield entry.problem(
                f"is also the service name of {other.name} on {match[2]} ({other.place('name')})", "name"
            )
