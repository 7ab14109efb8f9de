"""Events as people read them and as programs do."""

from __future__ import annotations

import pytest

from orchestrator.ports import Event
from orchestrator.report.progress import duration, event_json, live, sentence, size

LOADING = Event("progress", "a-vllm", "", 30, "weights", None, 1_200_000_000, 4_400_000_000, 50_000_000)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (Event("start", "a-vllm", "create: no container"), "a-vllm: create: no container"),
        (Event("done", "img", "pull", 3.21), "img: pulled (3.2 s)"),
        (Event("phase", "a-vllm", "", 3, "boot"), "a-vllm: boot (3 s)"),
        (Event("phase", "a-vllm", "1 of 2 files", 9, "load", 0.5), "a-vllm: load (1 of 2 files) (9 s)"),
        (LOADING, "a-vllm: 1.2 GB of about 4.4 GB, 50.0 MB/s, 1 min left"),
        (Event("ready", "a-vllm", "answered", 61.26), "a-vllm: ready, answered (61.3 s)"),
        (Event("late", "a-vllm", "no progress"), "a-vllm: late, no progress"),
        (Event("failed", "a-vllm", "parked: x"), "a-vllm: failed, parked: x"),
    ],
)
def test_an_event_in_a_sentence(event: Event, text: str) -> None:
    assert sentence(event) == text


def test_a_live_line_has_a_bar_where_the_share_is_known() -> None:
    assert live(LOADING, 100) == (
        "a-vllm: weights [#####---------------]  27% 1.2 GB of about 4.4 GB, 50.0 MB/s, 1 min left"
    )
    assert live(Event("phase", "a-vllm", "engine begins", 3, "boot"), 100) == "a-vllm: boot engine begins"


@pytest.mark.parametrize("columns", [1, 10, 40, 59, 60, 80, 100])
def test_a_live_line_is_shorter_than_the_terminal_is_wide(columns: int) -> None:
    line = live(LOADING, columns)
    assert len(line) < columns
    assert ("[" in line) == (columns >= 60)


def test_what_an_engine_prints_can_not_move_the_cursor() -> None:
    line = live(Event("progress", "a", "x\x1b[2J\r\n█y", 1, "boot"), 80)
    assert line.isascii()
    assert line.isprintable()


def test_it_is_not_done_before_it_is_done() -> None:
    more = Event("progress", "a", "", 1, "weights", None, 101, 100)
    assert " 99% " in live(more, 80)
    assert more.left is None, "without a rate"
    assert Event("progress", "a", "", 1, "weights", None, 101, 100, 5.0).left == 0


def test_the_shape_of_a_line_of_json_is_the_same_for_every_event() -> None:
    assert event_json(LOADING) == {
        "schema": 1,
        "event": "progress",
        "subject": "a-vllm",
        "phase": "weights",
        "text": "",
        "seconds": 30,
        "share": None,
        "done_bytes": 1_200_000_000,
        "total_bytes": 4_400_000_000,
        "rate_bytes_per_s": 50_000_000,
        "left_s": 64,
        "cause": None,
    }
    least = event_json(Event("done", "x", "volume"))
    assert list(least) == list(event_json(LOADING))
    assert {key for key, value in least.items() if value is None} == {
        *("phase", "share", "done_bytes", "total_bytes", "rate_bytes_per_s", "left_s", "cause"),
    }


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2e9, "2.0 GB"), (3.2e12, "3.2 TB"), (5e15, "5000.0 TB")],
)
def test_sizes(count: float, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (40, "40 s"), (59.6, "60 s"), (64, "1 min"), (3599, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
