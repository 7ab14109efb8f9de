"""How a language writes numbers and units, and the translations of the registry's texts. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from orchestrator.errors import FileProblems
from orchestrator.evidence import day
from orchestrator.inventory import GIB
from orchestrator.registry.tree import read

Lang = Literal["en", "ru"]
_NBSP = "\N{NO-BREAK SPACE}"
_MARKDOWN = re.compile(r"[|<*\\]")


def _russian(number: int) -> int:
    if number % 10 == 1 and number % 100 != 11:
        return 0
    return 1 if number % 10 in {2, 3, 4} and number % 100 not in {12, 13, 14} else 2


def _english(number: int) -> int:
    return 0 if number == 1 else 1


@dataclass(frozen=True, slots=True)
class Language:
    """One language. ``texts``: translations by the English text; what has none stays English."""

    code: Lang
    point: str
    group: str
    grouped_from: int
    """The least number whose digits are grouped."""
    space: str
    gigabytes: tuple[str, str]
    """Names of 2^30 and of 10^9 bytes."""
    form: Callable[[int], int]
    """Which of a noun's forms goes with a number."""
    texts: Mapping[str, str] = field(default_factory=dict)

    def number(self, value: float, digits: int = 0) -> str:
        """A number with so many digits behind the point."""
        whole, _, fraction = f"{value:,.{digits}f}".partition(".")
        whole = whole.replace(",", self.group if abs(value) >= self.grouped_from else "")
        return whole + (self.point + fraction if fraction else "")

    def gib(self, size: int) -> str:
        """Bytes as GiB."""
        return f"{self.number(size / GIB, 2)}{self.space}{self.gigabytes[0]}"

    def gb(self, value: float, digits: int = 1) -> str:
        """GB of 10^9 bytes."""
        return f"{self.number(value, digits)}{self.space}{self.gigabytes[1]}"

    def count(self, number: int, *forms: str) -> str:
        """A number with the form of the noun that goes with it."""
        return f"{self.number(number)}{self.space}{forms[self.form(number)]}"

    def translated(self, text: str) -> str:
        """A text of the registry in this language."""
        return self.texts.get(text, text)

    def text(self, text: str) -> str:
        """A text of the registry in this language, as Markdown that also goes into a table."""
        return self.plain(self.translated(text))

    def plain(self, text: str) -> str:
        """Any text as Markdown that shows it as it is, in one line."""
        return _MARKDOWN.sub(r"\\\g<0>", " ".join(text.split()))

    def date(self, when: float) -> str:
        """Unix seconds as a day, in UTC."""
        return day(when)


ENGLISH = Language("en", ".", ",", 1000, " ", ("GiB", "GB"), _english)
RUSSIAN = Language("ru", ",", _NBSP, 10_000, _NBSP, ("ГиБ", "ГБ"), _russian)


def translations(file: str, text: str) -> dict[str, str]:
    """The translations of a file: a list of pairs of ``en`` and ``ru``. FileProblems where it can't be read."""
    tree = read(file, text)
    if tree.problems:
        raise FileProblems(tree.problems)
    pairs = tree.data
    assert isinstance(pairs, Sequence)  # noqa: S101 (the file is ours, and a test reads it)
    return {pair["en"]: pair["ru"] for pair in pairs}
