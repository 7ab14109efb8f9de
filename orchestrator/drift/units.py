"""Sizes, durations, lists and command lines in one form, whether Compose or Docker wrote them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

_SIZES = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_LETTERS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_TIMES = ((3600 * 10**9, "h"), (60 * 10**9, "min"), (10**9, "s"), (10**6, "ms"), (10**3, "us"))
_NANOSECONDS = {"h": 3600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6, "us": 10**3, "µs": 10**3, "ns": 1}


def size(count: int) -> str:
    """Bytes, exactly: ``2 GiB``, ``1500 bytes``."""
    return next((f"{count // unit} {name}" for unit, name in _SIZES if count and not count % unit), f"{count} bytes")


def size_of(text: str) -> str | None:
    """The same of Compose's words (``2g``, ``512mb``); None for what is none."""
    if text.isdecimal():
        return size(int(text))
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([bkmgt]?)(?:i?b)?", text.strip().lower())
    return size(int(float(found[1]) * _LETTERS[found[2]])) if found else None


def duration(nanoseconds: int) -> str:
    """Exactly: ``250 ms``, ``1 h``."""
    fitting = (f"{nanoseconds // unit} {name}" for unit, name in _TIMES if nanoseconds and not nanoseconds % unit)
    return next(fitting, f"{nanoseconds} ns")


def duration_of(text: str) -> str | None:
    """The same of Compose's words (``1h30m``); None for what is none."""
    unit = text.lstrip("0123456789")
    if unit in _NANOSECONDS and text != unit:
        return duration(int(text.removesuffix(unit)) * _NANOSECONDS[unit])
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return duration(round(sum(float(number) * _NANOSECONDS[unit] for number, unit in parts)))


def capabilities(names: Iterable[str]) -> str:
    """``ALL``, ``NET_ADMIN``: sorted, and without the prefix that some engines add."""
    return ", ".join(sorted(name.upper().removeprefix("CAP_") for name in names))


def options(texts: Iterable[str]) -> str:
    """Security options and those of a tmpfs: sorted, ``:true`` left out, as it means the same."""
    return ", ".join(sorted(text.removesuffix(":true").replace("=true", "") for text in texts))


def command(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """A command line, option by option, so that a difference can be named; the rest is ``command`` itself.

    Which of two different options comes first is not told: it makes no difference to the programs that we start.
    """
    found: dict[str, list[str]] = {}
    option = ""
    for word in words:
        name, equals, value = word.partition("=")
        if word.startswith("--") and word != "--":
            option = "" if equals else name
            found.setdefault(name, []).extend([value] if equals else [])
        else:
            found.setdefault(option if word != "--" else "", []).append(word)
            option = ""
    yield from ((f"command {name}".strip(), " ".join(map(_word, values)) or "set") for name, values in found.items())


def _word(text: str) -> str:
    return text if text and " " not in text and "'" not in text else repr(text)
