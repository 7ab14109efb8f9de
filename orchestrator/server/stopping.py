"""Where an answer ends."""

from __future__ import annotations

from collections.abc import Iterable


def cut(text: str, stops: Iterable[str]) -> tuple[str, bool]:
    """The text before the first of the stop strings, and whether there was one."""
    found = [place for stop in stops if (place := text.find(stop)) >= 0]
    return (text[: min(found)], True) if found else (text, False)


def tail_tokens(stops: Iterable[str]) -> int:
    """How many of the last tokens can hold the end of a stop string: each token carries at least one byte.

    Three more, since a token may begin in the middle of a character.
    """
    return max((len(stop.encode()) for stop in stops), default=0) + 3
