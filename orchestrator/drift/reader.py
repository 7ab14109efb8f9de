"""Reads Compose files that are written as ours are, and nothing more: ``status`` has no time for all of YAML.

Whatever a file holds beyond that (anchors, folded text, flow mappings) makes it unreadable, and is never guessed at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_QUOTED = r'"(?:[^"\\]|\\.)*"' + r"|'(?:[^']|'')*'"
_KEY = re.compile(rf"({_QUOTED}|[^\s\"'#\[{{&*!|>%@`-][^:\"']*?|-[^\s:][^:]*?)\s*:(?:\s+(.*))?")
_TOKEN = re.compile(rf"({_QUOTED})(?:\s+#.*)?")
_ITEM = re.compile(rf"\s*({_QUOTED}|[^,\s\"'\[\]{{}}][^,\"'\[\]{{}}]*?)\s*(?:,|$)")
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", '"': '"', "\\": "\\", "/": "/"}
_SPECIAL = ("- ", "? ", *"[]{}&*!|>%@`,\"'")
_NULL = frozenset({"", "~", "null"})


class Unreadable(Exception):
    """The file is not written as ours are; the text says where."""


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    indent: int
    text: str


def read(text: str) -> Any:
    """The file as dicts, lists and strings; "" for nothing. Variables stay as they are written, and ``$$`` too."""
    lines = [
        _Line(number, len(line) - len(line.lstrip(" ")), line.strip(" \r"))
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip(" \r") and not line.lstrip(" ").startswith("#")
    ]
    return _Reader(lines).whole()


class _Reader:
    def __init__(self, lines: list[_Line]) -> None:
        self._lines = lines
        self._at = 0

    def whole(self) -> Any:
        found = self._block(0) if self._lines else {}
        if self._at < len(self._lines):
            raise self._odd()
        return found

    def _block(self, indent: int) -> Any:
        return self._list(indent) if _is_item(self._lines[self._at]) else self._map(indent)

    def _next(self, indent: int) -> _Line | None:
        """The next line, if it belongs to the block of this indent."""
        line = self._lines[self._at] if self._at < len(self._lines) else None
        if line is not None and line.indent > indent:
            raise self._odd()
        return line if line is not None and line.indent == indent else None

    def _map(self, indent: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while (line := self._next(indent)) is not None and not _is_item(line):
            match = _KEY.fullmatch(line.text)
            if match is None or (key := self._scalar(match[1])) in found:
                raise self._odd()
            found[key] = self._value(match[2] or "", indent)
        return found

    def _list(self, indent: int) -> list[Any]:
        found: list[Any] = []
        while (line := self._next(indent)) is not None and _is_item(line):
            rest = line.text[1:].lstrip(" ")
            if _KEY.fullmatch(rest) and not _TOKEN.fullmatch(rest):
                inner = indent + len(line.text) - len(rest)
                self._lines[self._at] = _Line(line.number, inner, rest)
                found.append(self._map(inner))
            else:
                found.append(self._value(rest, indent))
        return found

    def _value(self, text: str, indent: int) -> Any:
        """What stands behind a key or a dash, or in the lines below it."""
        value = self._flow(text) if text.startswith("[") else self._scalar(text)
        self._at += 1
        below = self._lines[self._at] if self._at < len(self._lines) else None
        if (text and not text.startswith("#")) or below is None:
            return value
        if below.indent > indent or (below.indent == indent and _is_item(below)):
            return self._block(below.indent)
        return value

    def _flow(self, text: str) -> list[str]:
        if text == "[]":
            return []
        if not text.endswith("]"):
            raise self._odd()
        inner, at, found = text[1:-1], 0, []
        while at < len(inner):
            match = _ITEM.match(inner, at)
            if match is None:
                raise self._odd()
            found.append(self._scalar(match[1]))
            at = match.end()
        return found

    def _scalar(self, text: str) -> str:
        if match := _TOKEN.fullmatch(text):
            quoted = match[1][1:-1]
            return quoted.replace("''", "'") if match[1][0] == "'" else _ESCAPE.sub(self._character, quoted)
        plain = re.split(r"\s+#|^#", text, maxsplit=1)[0].strip()
        if plain.startswith(_SPECIAL) or ": " in plain or plain.endswith(":") or "\t" in plain:
            raise self._odd()
        return "" if plain in _NULL else plain

    def _character(self, match: re.Match[str]) -> str:
        code = match[1]
        if len(code) > 1:
            return chr(int(code[1:], 16))
        if code not in _ESCAPED:
            raise self._odd()
        return _ESCAPED[code]

    def _odd(self) -> Unreadable:
        at = min(self._at, len(self._lines) - 1)
        return Unreadable(f"line {self._lines[at].number} is not as orchestrator writes it")


def _is_item(line: _Line) -> bool:
    return line.text.startswith("- ") or line.text == "-"
