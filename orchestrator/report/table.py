"""Aligned columns in plain text, as wide as the place allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from orchestrator.report.look import PLAIN, Look

_GAP = "  "
#: columns that prose needs beside the others; with less it goes below its row
_LEAST_PROSE = 24


def table(
    rows: Sequence[Sequence[str]],
    header: Sequence[str] = (),
    look: Look = PLAIN,
    *,
    drop: Sequence[int] = (),
    prose: bool = False,
    toned: int = -1,
) -> str:
    """Rows as aligned columns, two blanks apart, each line ended; "" without rows. Empty columns are left out.

    Where the place is too narrow, columns go in the order of ``drop``; what stays is never cut or broken. With
    ``prose`` the last column is wrapped, or goes below its row. ``toned``: a column of words that have colours.
    """
    if not rows:
        return ""
    lines = [list(header), *map(list, rows)] if header else [list(row) for row in rows]
    kept = [i for i in range(len(lines[0])) if any(row[i] for row in rows)]
    widths = {i: max(len(line[i]) for line in lines) for i in kept}
    last = kept.pop() if prose and kept and kept[-1] == len(lines[0]) - 1 else -1
    kept = _fitting(kept, widths, look.columns, drop)
    grid = [_GAP.join(_cell(line, i, widths, look, toned) for i in kept) for line in lines]
    if last < 0:
        return "".join(f"{text.rstrip()}\n" for text in grid)
    indent = _width(kept, widths) + len(_GAP) * bool(kept)
    room = look.columns - indent
    if look.columns and room < min(_LEAST_PROSE, widths[last]):
        told = ["" if header and not number else line[last] for number, line in enumerate(lines)]
        return "".join(_below(text, words, look.columns) for text, words in zip(grid, told, strict=True))
    pairs = zip(grid, (line[last] for line in lines), strict=True)
    return "".join(_beside(text + _GAP * bool(kept), words, room, indent) for text, words in pairs)


def _fitting(kept: list[int], widths: Mapping[int, int], columns: int, drop: Sequence[int]) -> list[int]:
    for i in drop:
        if columns and _width(kept, widths) > columns:
            kept = [other for other in kept if other != i]
    return kept


def _width(kept: Sequence[int], widths: Mapping[int, int]) -> int:
    return sum(widths[i] for i in kept) + len(_GAP) * max(0, len(kept) - 1)


def _cell(line: Sequence[str], i: int, widths: Mapping[int, int], look: Look, toned: int) -> str:
    padded = line[i].ljust(widths[i])
    return look.toned(line[i], padded) if i == toned else padded


def _beside(text: str, words: str, room: int, indent: int) -> str:
    first, *more = _wrapped(words, room)
    return "".join(f"{line.rstrip()}\n" for line in (text + first, *(" " * indent + line for line in more)))


def _below(text: str, words: str, columns: int) -> str:
    more = _wrapped(words, max(1, columns - len(_GAP))) if words else ()
    return "".join(f"{line.rstrip()}\n" for line in (text, *(_GAP + line for line in more)) if line.strip())


def _wrapped(words: str, room: int) -> Iterator[str]:
    """Lines of at most so many columns, broken at blanks alone: a longer word has a line of its own."""
    line = ""
    for word in words.split(" ") if 0 < room < len(words) else ():
        if line and len(line) + 1 + len(word) > room:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield line or words
