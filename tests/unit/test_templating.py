"""Text through ``quote`` and through YAML is the same text."""

from __future__ import annotations

import io

import jinja2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from orchestrator.errors import RequestError
from orchestrator.templating import quote, render

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def load(text: str) -> object:
    return YAML(typ="safe", pure=True).load(io.StringIO(text))


@given(TEXT)
@example(": # { } [ ] $ \" \\ \n ' % @ ` ! & * | > - ? , ~")
@example("\x00\x01\x07\x1b\x7f\x80\x85\x9f")
@example("\u2028\u2029\ufeff\ufffe\uffff")
@example("\U0001f600\U0010ffff\U000e0001")
@example("  blanks at both ends\t")
@example("---\n...\n")
@example("yes")
@example("")
def test_text_survives_yaml_and_compose(text: str) -> None:
    quoted = quote(text)
    assert "\n" not in quoted
    assert "$" not in quoted.replace("$$", "")
    loaded = load(f"key: {quoted}\nnext: 1\n")
    assert loaded == {"key": text.replace("$", "$$"), "next": 1}


@given(TEXT)
def test_text_survives_as_a_key(text: str) -> None:
    assert load(f"{quote(text)}: 1\n") == {text.replace("$", "$$"): 1}


@pytest.mark.parametrize("value", [True, False, 0, -3, 10**20])
def test_numbers_and_truth_stay_what_they_are(value: object) -> None:
    found = load(quote(value))
    assert found == value
    assert type(found) is type(value)


def test_half_a_pair_is_refused() -> None:
    with pytest.raises(RequestError, match=r"U\+D800"):
        quote("\ud800")


def test_a_name_that_is_missing_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="nobody"):
        render("{{ nobody }}", {})
