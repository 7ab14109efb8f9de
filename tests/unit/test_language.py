"""How the compatibility report writes numbers and texts in each language."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.errors import FileProblems
from orchestrator.report.language import ENGLISH, RUSSIAN, Language, translations

MODELS = {"en": ("model", "models"), "ru": ("модель", "модели", "моделей")}


@pytest.mark.parametrize(
    ("number", "english", "russian"),
    [
        (0, "0 models", "0 моделей"),
        (1, "1 model", "1 модель"),
        (2, "2 models", "2 модели"),
        (5, "5 models", "5 моделей"),
        (11, "11 models", "11 моделей"),
        (12, "12 models", "12 моделей"),
        (21, "21 models", "21 модель"),
        (104, "104 models", "104 модели"),
        (111, "111 models", "111 моделей"),
        (4096, "4,096 models", "4096 моделей"),
        (21504, "21,504 models", "21 504 модели"),
    ],
)
def test_a_noun_goes_with_its_number(number: int, english: str, russian: str) -> None:
    assert ENGLISH.count(number, *MODELS["en"]) == english
    assert RUSSIAN.count(number, *MODELS["ru"]).replace("\N{NO-BREAK SPACE}", " ") == russian


@pytest.mark.parametrize(
    ("language", "gib", "gb"), [(ENGLISH, "9.64 GiB", "3.51 GB"), (RUSSIAN, "9,64\u00a0ГиБ", "3,51\u00a0ГБ")]
)
def test_units(language: Language, gib: str, gb: str) -> None:
    assert language.gib(10348821094) == gib
    assert language.gb(3.5106, 2) == gb


def test_what_has_no_translation_stays_english() -> None:
    spoken = replace(RUSSIAN, texts={"a fact": "факт"})
    assert [spoken.text(text) for text in ("a fact", "another")] == ["факт", "another"]
    assert ENGLISH.text("a fact") == "a fact"


def test_a_text_can_not_break_a_table() -> None:
    assert ENGLISH.text("a | b\n*c* <d> \\e") == r"a \| b \*c\* \<d> \\e"


def test_a_day() -> None:
    assert ENGLISH.date(1795910400.0) == "2026-11-29"


def test_translations_are_read_by_the_registry_s_reader() -> None:
    assert translations("ru.yaml", "- en: one\n  ru: один\n") == {"one": "один"}
    with pytest.raises(FileProblems, match=r"ru\.yaml:3"):
        translations("ru.yaml", "- en: one\n  ru: один\n  ru: два\n")
