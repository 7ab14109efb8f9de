"""The set-up's reader of apt sources: the machine's own mirrors and keys, another suite."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("next_suite", Path(__file__).parents[2] / ".ci" / "next_suite.py")
assert spec is not None
assert spec.loader is not None
next_suite = importlib.util.module_from_spec(spec)
spec.loader.exec_module(next_suite)

BOOKWORM = ("bookworm", "stable")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("deb http://mirror/debian bookworm main contrib", "deb http://mirror/debian trixie main"),
        ("deb [signed-by=/k arch=amd64] http://m stable main", "deb [signed-by=/k arch=amd64] http://m trixie main"),
        (
            "# deb http://a bookworm main\ndeb-src http://a bookworm main\ndeb http://b bookworm main",
            "deb http://b trixie main",
        ),
        ("deb http://mirror/debian-security bookworm-security main", None),
        ("", None),
    ],
)
def test_one_line_sources(text: str, expected: str | None) -> None:
    assert next_suite.one_line(text, BOOKWORM, "trixie") == expected


STANZA = """\
# the machine's mirrors
Types: deb deb-src
URIs: http://one
 http://two
Suites: bookworm
 bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg"""
CHANGED = """\
Types: deb
URIs: http://one
 http://two
Suites: trixie
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (STANZA, CHANGED),
        (f"Types: deb\nURIs: http://s\nSuites: bookworm-security\n\n{STANZA}\n", CHANGED),
        (f"Enabled: no\n{STANZA}", None),
        (STANZA.replace("deb deb-src", "deb-src"), None),
        ("", None),
    ],
)
def test_deb822_sources(text: str, expected: str | None) -> None:
    assert next_suite.deb822(text, BOOKWORM, "trixie") == expected
