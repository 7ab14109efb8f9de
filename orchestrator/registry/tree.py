"""YAML text to plain values, with the line of every key. Pure.

Built on the parser's events, so that every repeated key, alias, tag and doubtful number of a file is reported at once,
and so that no input can make it recurse or grow. Scalars follow YAML 1.2: ``yes`` and ``2024-01-24`` are text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    ScalarEvent,
    SequenceStartEvent,
)

from orchestrator.errors import Problem

Path = tuple[str | int, ...]

#: far above any registry entry, and low enough that reading it takes no noticeable time
MAX_CHARACTERS = 200_000
_MAX_DEPTH = 10
_LARGEST = 2**63 - 1

_SPECIAL: Mapping[str, object] = MappingProxyType(
    dict.fromkeys(("", "~", "null", "Null", "NULL"))
    | dict.fromkeys(("true", "True", "TRUE"), True)
    | dict.fromkeys(("false", "False", "FALSE"), False)
)
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
#: what the parser says, and what to do about it
_ADVICE = {
    r"found character '\t' that cannot start any token": "a tab can't indent; use spaces",
    "mapping values are not allowed here": "text with ': ' in it needs quotes, and keys of one level the same indent",
    "could not find expected ':'": "a key and its value are written 'key: value'",
}


@dataclass(frozen=True, slots=True)
class Tree:
    """A file's values and the lines they stand in. ``data`` is None where ``broken``: the text can't be read."""

    file: str
    data: object
    lines: Mapping[Path, int]
    problems: tuple[Problem, ...]
    unread: frozenset[Path]
    """Where a value has a problem of its own and ``data`` holds None in its place."""
    broken: bool

    def line(self, path: Path) -> int:
        """The line of the key at this path, or of the nearest key above it that is there."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def get(self, *path: str) -> object:
        """The value at this path; None where there is none."""
        value = self.data
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value


class _StopReadingError(Exception):
    """The rest of the text can't be read."""


class _DoubtfulError(Exception):
    """A scalar that people and programs read in different ways."""


@dataclass(slots=True)
class _Frame:
    """A list or mapping that is being filled. ``path`` None: it is thrown away, its problems with it."""

    items: list[object] | dict[str, object]
    path: Path | None
    key: str | None = None
    discard: bool = False
    """The key of the value that comes next was refused."""
    is_key: bool = False
    """It stands where a key should."""

    @property
    def wants_key(self) -> bool:
        return isinstance(self.items, dict) and self.key is None and not self.discard

    @property
    def place(self) -> Path | None:
        """The path of the value that comes next."""
        if self.path is None or self.discard:
            return None
        return (*self.path, len(self.items) if isinstance(self.items, list) else self.key or "")

    def put(self, value: object) -> None:
        if isinstance(self.items, list):
            self.items.append(value)
        elif self.key is not None:
            self.items[self.key] = value
        self.key, self.discard = None, False


@dataclass(slots=True)
class _Builder:
    file: str
    data: object = None
    documents: int = 0
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unread: set[Path] = field(default_factory=set)
    stack: list[_Frame] = field(default_factory=list)

    def add(self, event: Event) -> None:
        line = event.start_mark.line + 1
        if isinstance(event, DocumentStartEvent):
            self._document(line)
        elif isinstance(event, CollectionEndEvent):
            self._end()
        elif self.stack and self.stack[-1].wants_key:
            self._key(event, line)
        elif isinstance(event, MappingStartEvent | SequenceStartEvent | ScalarEvent | AliasEvent):
            self._value(event, line)

    def problem(self, path: Path | None, line: int, message: str) -> None:
        if path is not None:
            self.problems.append(Problem(self.file, line, dotted(path), message))

    def _document(self, line: int) -> None:
        self.documents += 1
        if self.documents > 1:
            self.problem((), line, "a second document begins here, and a file may hold only one")
            raise _StopReadingError

    def _key(self, event: Event, line: int) -> None:
        frame = self.stack[-1]
        if not isinstance(event, ScalarEvent):
            self.problem(frame.path, line, "a key must be text")
            frame.discard = True
            if isinstance(event, MappingStartEvent | SequenceStartEvent):
                self._start(event, line, None, is_key=True)
            return
        wrong = self._wrong_key(event, frame)
        if wrong:
            self.problem(None if frame.path is None else (*frame.path, event.value), line, wrong)
            frame.discard = True
            return
        frame.key = event.value
        if frame.place is not None:
            self.lines[frame.place] = line

    def _wrong_key(self, event: Any, frame: _Frame) -> str:
        if _UNPRINTABLE.search(event.value):
            return f"the key holds the control character {_code(event.value)}"
        try:
            if not isinstance(_resolve(event), str):
                return "a key must be text; put it in quotes"
        except _DoubtfulError:
            return "a key must be text; put it in quotes"
        if isinstance(frame.items, dict) and event.value in frame.items:
            first = self.lines.get((*(frame.path or ()), event.value), 0)
            return f"is given twice; the first is in line {first}"
        return ""

    def _value(self, event: Any, line: int) -> None:
        place = self.stack[-1].place if self.stack else ()
        if place is not None:
            self.lines.setdefault(place, line)
        if isinstance(event, AliasEvent):
            self._unread(place, line, "aliases (*name) are not supported; write the value out")
        elif isinstance(event, ScalarEvent):
            self._scalar(event, place, line)
        else:
            self._start(event, line, place)

    def _scalar(self, event: Any, place: Path | None, line: int) -> None:
        try:
            self._put(_resolve(event))
        except _DoubtfulError as error:
            self._unread(place, line, str(error))

    def _unread(self, place: Path | None, line: int, message: str) -> None:
        """Put nothing there, and say why."""
        self.problem(place, line, message)
        if place is not None:
            self.unread.add(place)
        self._put(None)

    def _start(self, event: Any, line: int, place: Path | None, *, is_key: bool = False) -> None:
        if event.ctag is not None:
            self.problem(place, line, "tags (!name) are not supported")
        if len(self.stack) >= _MAX_DEPTH:
            self.problem((), line, f"is nested more than {_MAX_DEPTH} levels deep")
            raise _StopReadingError
        self.stack.append(_Frame({} if isinstance(event, MappingStartEvent) else [], place, is_key=is_key))

    def _end(self) -> None:
        done = self.stack.pop()
        if not done.is_key:
            self._put(done.items)

    def _put(self, value: object) -> None:
        if self.stack:
            self.stack[-1].put(value)
        else:
            self.data = value


def _resolve(event: Any) -> object:
    """The value of a scalar by YAML 1.2's core rules."""
    text = event.value
    if event.ctag is not None:
        raise _DoubtfulError("tags (!name) are not supported")
    if _UNPRINTABLE.search(text):
        raise _DoubtfulError(f"holds the control character {_code(text)}")
    if event.style is not None:
        return text
    return _SPECIAL[text] if text in _SPECIAL else _number(text)


def _number(text: str) -> object:
    if _LEADING_ZERO.fullmatch(text):
        raise _DoubtfulError(
            f"{_short(text)} begins with a zero, which some readers take as octal; drop it, or quote it as text"
        )
    if _NOT_FINITE.fullmatch(text):
        raise _DoubtfulError(f"must be a finite number, got {text}")
    if _INTEGER.fullmatch(text):
        value = int(text, 0) if len(text) <= 20 else _LARGEST + 1
        if abs(value) > _LARGEST:
            raise _DoubtfulError(f"the number {_short(text)} is too large; put it in quotes if it is text")
        return value
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise _DoubtfulError(f"the number {_short(text)} is too large; put it in quotes if it is text")
        return number
    return text


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"


def _code(text: str) -> str:
    found = _UNPRINTABLE.search(text)
    return f"U+{ord(found[0]):04X}" if found else ""


def dotted(path: Path) -> str:
    """The path as people write it: ``engines.vllm.known.0.text``."""
    return ".".join(_short(str(part)) for part in path)


def read(file: str, text: str) -> Tree:
    """The values of one file, with every problem that the text itself has. Never raises."""
    builder = _Builder(file)
    text = text.removeprefix("\ufeff")
    broken = _broken_text(builder, text) or not _parse(builder, text)
    if not broken and builder.data is None and not builder.problems:
        builder.problem((), 0, "is empty")
        broken = True
    return Tree(
        file=file,
        data=None if broken else builder.data,
        lines=builder.lines,
        problems=tuple(builder.problems),
        unread=frozenset(builder.unread),
        broken=broken,
    )


def _broken_text(builder: _Builder, text: str) -> bool:
    if len(text) > MAX_CHARACTERS:
        builder.problem((), 0, f"has more than {MAX_CHARACTERS} characters")
    elif bad := _UNPRINTABLE.search(text):
        line = text.count("\n", 0, bad.start()) + 1
        builder.problem((), line, f"holds the control character {_code(text)}")
    return bool(builder.problems)


def _parse(builder: _Builder, text: str) -> bool:
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            builder.add(event)
    except _StopReadingError:
        return False
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        cause = str(error.problem or error.context or "it can't be read")
        builder.problem((), mark.line + 1 if mark else 0, f"is not YAML: {_ADVICE.get(cause, cause)}")
        return False
    except (YAMLError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError, AssertionError) as error:
        # ruamel.yaml lets errors of its own code through, such as OverflowError for "\UFFFFFFFF"
        builder.problem((), 0, f"is not YAML: {error}")
        return False
    return True
