"""Reads Compose files that are written as ours are, and nothing more: ``status`` has no time for all of YAML.

Whatever a file holds beyond that (anchors, folded text, flow mappings) makes it unreadable, and is never guessed at.
Regular expressions wait until they are needed, because compiling them takes longer than reading a file of ours.
"""

from __future__ import annotations

import json
import re
from typing import Any

_QUOTED = r'"(?:[^"\\]|\\.)*"' + r"|'(?:[^']|'')*'"
_TOKEN = rf"({_QUOTED})(?:\s+#.*)?"
_KEY = rf"({_QUOTED})\s*:(?:\s+(.*))?"
_ITEM = rf"\s*({_QUOTED}|[^,\s\"'\[\]{{}}][^,\"'\[\]{{}}]*?)\s*(?:,|$)"
_ESCAPE = r"\\(x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)"
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", '"': '"', "\\": "\\", "/": "/"}
#: what YAML reads as more than a plain text where it begins with it, or holds it
_BEGINNING = ("- ", "? ", *"[]{}&*!|>%@`,\"'")
_WITHIN = (": ", "\t")
_NULL = frozenset({"", "~", "null"})

#: number, indent and text of a line
_Line = tuple[int, int, str]


class Unreadable(Exception):
    """The file is not written as ours are; the text says where."""


def read(text: str) -> Any:
    """The file as dicts, lists and strings; "" for nothing. Variables stay as they are written, and ``$$`` too."""
    lines: list[_Line] = []
    for number, line in enumerate(text.split("\n"), 1):
        plain = line.strip(" \r")
        if plain and plain[0] != "#":
            lines.append((number, len(line) - len(line.lstrip(" ")), plain))
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
        return self._list(indent) if _is_item(self._lines[self._at][2]) else self._map(indent)

    def _next(self, indent: int) -> str | None:
        """The next line, if it belongs to the block of this indent."""
        if self._at == len(self._lines):
            return None
        _, its, text = self._lines[self._at]
        if its > indent:
            raise self._odd()
        return text if its == indent else None

    def _map(self, indent: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while (line := self._next(indent)) is not None and not _is_item(line):
            entry = self._entry(line)
            if entry is None or entry[0] in found:
                raise self._odd()
            found[entry[0]] = self._value(entry[1], indent)
        return found

    def _list(self, indent: int) -> list[Any]:
        found: list[Any] = []
        while (line := self._next(indent)) is not None and _is_item(line):
            rest = line[1:].lstrip(" ")
            if self._entry(rest) is None:
                found.append(self._value(rest, indent))
            else:
                inner = indent + len(line) - len(rest)
                self._lines[self._at] = (self._lines[self._at][0], inner, rest)
                found.append(self._map(inner))
        return found

    def _entry(self, text: str) -> tuple[str, str] | None:
        """Key and value of a line; None where it has no key."""
        if text.startswith(('"', "'")):
            key, colon, value = text[1:].partition('": ' if text[-2:] != '":' else '":')
            if colon and text[0] == '"' and "\\" not in key and '"' not in key:
                return key, value.lstrip(" ")
            if _is_plainly_quoted(text):
                return None
            match = re.fullmatch(_KEY, text)
            return (self._scalar(match[1]), match[2] or "") if match else None
        key, colon, value = text.partition(": ")
        if not colon and text.endswith(":"):
            key, colon = text[:-1], ":"
        if not colon or key.startswith((*_BEGINNING, "#")) or any(c in key for c in "\"':#"):
            return None
        return key.rstrip(" "), value.lstrip(" ")

    def _value(self, text: str, indent: int) -> Any:
        """What stands behind a key or a dash, or in the lines below it."""
        value = self._flow(text) if text.startswith("[") else self._scalar(text)
        self._at += 1
        if (text and text[0] != "#") or self._at == len(self._lines):
            return value
        _, its, below = self._lines[self._at]
        return self._block(its) if its > indent or (its == indent and _is_item(below)) else value

    def _flow(self, text: str) -> list[str]:
        if not text.endswith("]"):
            raise self._odd()
        if "\\" not in text and (plain := _json(text)) is not None:
            return plain
        inner, at, found = text[1:-1], 0, []
        item = re.compile(_ITEM)
        while at < len(inner):
            match = item.match(inner, at)
            if match is None:
                raise self._odd()
            found.append(self._scalar(match[1]))
            at = match.end()
        return found

    def _scalar(self, text: str) -> str:
        if _is_plainly_quoted(text):
            return text[1:-1]
        if text.startswith(('"', "'")) and (match := re.fullmatch(_TOKEN, text)):
            quoted = match[1][1:-1]
            return quoted.replace("''", "'") if text[0] == "'" else re.sub(_ESCAPE, self._character, quoted)
        plain = text if "#" not in text else re.split(r"\s+#|^#", text, maxsplit=1)[0].rstrip(" ")
        if plain.startswith(_BEGINNING) or plain.endswith(":") or any(mark in plain for mark in _WITHIN):
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
        return Unreadable(f"line {self._lines[at][0]} is not as orchestrator writes it")


def _json(text: str) -> list[str] | None:
    """A list of strings, if it is one in JSON too."""
    try:
        found: list[Any] = json.loads(text)
    except ValueError:
        return None
    return found if all(isinstance(item, str) for item in found) else None


def _is_plainly_quoted(text: str) -> bool:
    return text.startswith('"') and text.find('"', 1) == len(text) - 1 > 0 and "\\" not in text


def _is_item(text: str) -> bool:
    return text[0] == "-" and (len(text) == 1 or text[1] == " ")
