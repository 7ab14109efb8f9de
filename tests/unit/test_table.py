"""Tables in places of any width: columns go in order, prose wraps, and no value is ever broken."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.report.look import PLAIN, Look
from orchestrator.report.status import status_table
from orchestrator.report.table import table
from tests.builders import container

HEADER = ("NAME", "KIND", "ADDRESS", "REMARK")
ROWS = [
    ("a", "ready", "127.0.0.1:24000", ""),
    ("a-long-name", "parked", "127.0.0.1:24001", "the shared memory is too small; raise shm_mib in the entry"),
]


def shown(columns: int) -> list[str]:
    return table(ROWS, HEADER, Look(columns), drop=(1,), prose=True).splitlines()


def test_a_pipe_gets_lines_of_any_length() -> None:
    assert table(ROWS, HEADER, PLAIN, drop=(1,), prose=True) == table(ROWS, HEADER)


def test_prose_is_wrapped_where_it_has_room() -> None:
    assert shown(70) == [
        "NAME         KIND    ADDRESS          REMARK",
        "a            ready   127.0.0.1:24000",
        "a-long-name  parked  127.0.0.1:24001  the shared memory is too small;",
        "                                      raise shm_mib in the entry",
    ]


def test_prose_without_room_goes_below_its_row() -> None:
    assert shown(45) == [
        "NAME         KIND    ADDRESS",
        "a            ready   127.0.0.1:24000",
        "a-long-name  parked  127.0.0.1:24001",
        "  the shared memory is too small; raise",
        "  shm_mib in the entry",
    ]


def test_columns_go_where_the_others_need_the_room() -> None:
    assert shown(30)[:3] == ["NAME         ADDRESS", "a            127.0.0.1:24000", "a-long-name  127.0.0.1:24001"]


def test_what_is_left_is_never_cut() -> None:
    assert shown(10)[:3] == ["NAME         ADDRESS", "a            127.0.0.1:24000", "a-long-name  127.0.0.1:24001"]
    long = table([("x", "https://example.org/a-long-address-that-is-copied")], look=Look(20), prose=True)
    assert long == "x\n  https://example.org/a-long-address-that-is-copied\n"


CELLS = st.text("abc", max_size=12)
PROSE = st.lists(st.text("abc-/", min_size=1, max_size=30), max_size=8).map(" ".join)


@given(st.lists(st.tuples(CELLS.filter(bool), CELLS, PROSE), min_size=1, max_size=4), st.integers(1, 120))
def test_at_any_width_every_word_is_whole_and_no_line_longer_than_it_must_be(
    rows: list[tuple[str, str, str]], columns: int
) -> None:
    lines = table(rows, ("A", "B", "C"), Look(columns), prose=True).splitlines()
    assert [w for r in rows for w in " ".join(r).split()] == [w for line in lines for w in line.split()][
        len(lines[0].split()) :
    ]
    fixed = max(map(len, (*(r[0] for r in rows), "A"))) + 2 + max(map(len, (*(r[1] for r in rows), "B")))
    for line in lines:
        assert len(line) <= max(columns, fixed) or len(line.split()) == 1, line


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_the_status_is_readable_on_narrow_terminals(columns: int) -> None:
    found = [
        container("qwen2-vl-2b", "vllm", gpus=("GPU-0123456789abcdef",), claim=1 << 33),
        container("got-ocr2", state="exited", exit_code=1, gate=None, health="", error="no such device", port=25001),
    ]
    lines = status_table(found, 2000.0, {}, {}, {}, Look(columns)).splitlines()
    assert max(map(len, lines)) <= columns
    for value in ("MODEL", "qwen2-vl-2b", "got-ocr2", "STATE", "ready", "dead", "127.0.0.1:25000", "no such device"):
        assert any(value in line for line in lines), (value, lines)
    assert ("ENGINE" in lines[0]) == (columns == 80)


def test_colours_are_sparing_and_change_no_width() -> None:
    painted = table(ROWS, HEADER, Look(colour=True), toned=1)
    assert "\x1b[32mready \x1b[0m" in painted
    assert "\x1b[31mparked\x1b[0m" in painted
    assert re.sub(r"\x1b\[\d+m", "", painted) == table(ROWS, HEADER)
    assert table(ROWS, HEADER, Look(), toned=1) == table(ROWS, HEADER)
