"""Compares what a model answered with what is in the picture, as tolerantly as the task allows. Pure.

Each function gives "" for an answer that passes, else why it does not. What stands around the expected part ("The text
reads: ...") does no harm: the nearest part of the answer counts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

#: what models write around what they read: Markdown's marks, quotes
_MARKS = re.compile(r"[*#`\"“”„«»|>_]+")
_TAGS = re.compile(r"<[^<>]{1,80}>")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_CELL = re.compile(r"\w+(?:[.,]\w+)*")
_LATEX = re.compile(r"\\[A-Za-z]+|\\.|\S")
#: as LaTeX writes it; NFKC would make a plain 2 of a raised one
_SIGNS = {"²": "^2", "³": "^3", "√": r"\sqrt ", "±": r"\pm ", "+/-": r"\pm ", "−": "-", "–": "-", "×": r"\times "}  # noqa: RUF001
#: grouping and layout, which plain text and LaTeX do differently; what is left are the symbols in their order
_LAYOUT = frozenset(
    (
        *"{}()[]$&/",
        *(rf"\{name}" for name in ("left", "right", "frac", "dfrac", "tfrac", "over", "displaystyle", "quad", "cdot")),
        *(rf"\{sign}" for sign in ",;:! ()[]\\"),
    )
)


def text_fault(expected: str, answer: str, limit: float) -> str:
    """By the share of characters that are wrong, without regard to case, blanks, line breaks and Markdown."""
    wanted, given = _plain(expected), _plain(answer)
    return _rated(distance(wanted, given), len(wanted), "characters", limit)


def table_fault(expected: str, answer: str, limit: float) -> str:
    """By the share of cells that are wrong, read row by row, whatever the format: Markdown, HTML, LaTeX or blanks."""
    wanted, given = cells(expected), cells(answer)
    return _rated(distance(wanted, given), len(wanted), "cells", limit)


def formula_fault(expected: str, answer: str, limit: float) -> str:
    """By the share of symbols that are wrong, in LaTeX or plain text."""
    wanted, given = symbols(expected), symbols(answer)
    return _rated(distance(wanted, given), len(wanted), "symbols", limit)


def words_fault(groups: Sequence[Sequence[str]], answer: str) -> str:
    """By words: one of each group has to be there, in the singular or plural."""
    found = set(re.findall(r"[a-z]+", answer.casefold()))
    found |= {word.removesuffix("s") for word in found}
    lacking = [group[0] for group in groups if not found & set(group)]
    return f"does not say {', '.join(lacking)}" if lacking else ""


def cells(text: str) -> list[str]:
    """The words and numbers of a table, row by row. ``expected`` has one word in each cell."""
    bare = _COMMAND.sub(" ", _TAGS.sub(" ", unicodedata.normalize("NFKC", text)))
    return _CELL.findall(bare.casefold())


def symbols(text: str) -> list[str]:
    """The symbols of a formula, without what is there for layout alone."""
    for sign, latex in _SIGNS.items():
        text = text.replace(sign, latex)
    text = re.sub(r"(?<![\\A-Za-z])sqrt\b", r"\\sqrt ", unicodedata.normalize("NFKC", text))
    return [found for found in _LATEX.findall(text) if found not in _LAYOUT]


def distance(wanted: Sequence[str], given: Sequence[str]) -> int:
    """The fewest insertions, deletions and changes that turn ``wanted`` into some part of ``given``."""
    row = [0] * (len(given) + 1)
    for count, one in enumerate(wanted, 1):
        diagonal, row[0] = row[0], count
        for at, other in enumerate(given, 1):
            diagonal, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, diagonal + (one != other))
    return min(row)


def _plain(text: str) -> str:
    bare = _MARKS.sub(" ", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(bare.replace("’", "'").split())  # noqa: RUF001 (models write both)


def _rated(wrong: int, of: int, what: str, limit: float) -> str:
    return f"{wrong} of {of} {what} are wrong" if wrong > limit * of else ""
