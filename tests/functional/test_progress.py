"""What a terminal, a pipe and a program see of a start."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest

from orchestrator.cli.progress import Progress
from orchestrator.observation import Gate
from orchestrator.observation import Progress as Far
from orchestrator.ports import Event
from tests.fakes import FakeWorld
from tests.functional.cli import Command, world
from tests.functional.screen import Terminal

DEMO = "demo-transformers"


@pytest.fixture
def here() -> FakeWorld:
    """A world where the demo takes its time."""
    here = world()
    here.compose.born = lambda c: replace(c, state="running", health="starting", gate=None)

    def at(seconds: float, gate: Gate, health: str = "starting") -> None:
        here.clock.at(seconds, lambda: here.docker.change(DEMO, gate=gate, health=health))

    at(5, Gate("starting", progress=Far("boot", "", 1005)))
    at(10, Gate("starting", progress=Far("weights", "", 1010, None, 2_000_000, 10_000_000)))
    at(15, Gate("starting", progress=Far("weights", "", 1015, None, 7_000_000, 10_000_000)))
    at(20, Gate("starting", progress=Far("load", "1 of 2 files", 1020, 0.5)))
    at(25, Gate("ready"), "healthy")
    return here


def test_a_pipe_gets_one_line_per_phase(do: Command) -> None:
    said = do("up", "demo").err
    assert [line.rpartition(" (")[0] for line in said.splitlines() if line.startswith(f"{DEMO}: ")][1:] == [
        f"{DEMO}: created",
        f"{DEMO}: starting",
        f"{DEMO}: boot",
        f"{DEMO}: weights (2.0 MB of about 10.0 MB)",
        f"{DEMO}: load (1 of 2 files)",
        f"{DEMO}: ready, answered",
    ]
    assert "\x1b" not in said


def test_a_program_gets_lines_of_json(do: Command) -> None:
    said = do("up", "demo", "--json")
    assert (said.code, said.err) == (0, "")
    events = [json.loads(line) for line in said.out.splitlines()]
    assert {event["schema"] for event in events} == {1}
    assert events[0]["event"] == "plan"
    assert events[0]["plan"]["steps"][-1]["kind"] == "create"
    assert [e["phase"] for e in events if e["event"] == "phase"] == ["starting", "boot", "weights", "load"]
    weights = [e for e in events if e.get("phase") == "weights"]
    assert [e["done_bytes"] for e in weights] == [2_000_000, 7_000_000]
    assert weights[1]["rate_bytes_per_s"] == pytest.approx(1_000_000, rel=0.2)
    assert weights[1]["left_s"] == pytest.approx(3, abs=1)
    assert [e["event"] for e in events[-2:]] == ["ready", "end"]
    assert events[-1]["failed"] == []
    assert [m["state"] for m in events[-1]["models"]] == ["ready"]


def test_a_program_is_told_what_failed(here: FakeWorld, do: Command) -> None:
    here.models.answer = "42"
    said = do("up", "demo", "--json")
    assert said.code == 1
    assert json.loads(said.out.splitlines()[-1])["failed"] == [DEMO]
    assert "error: not ready: demo-transformers" in said.err


def test_the_timeout_caps_the_image_too(here: FakeWorld, do: Command) -> None:
    do("up", "demo", "--timeout", "0").refused(1, "is not there after 0 s; nothing was started")
    assert here.docker.containers == {}


# --- a terminal


def loads(subject: str, share: float) -> Event:
    return Event("progress", subject, "", 3, "load", share)


def test_a_terminal_shows_a_line_per_model_in_place() -> None:
    screen = Terminal()
    with Progress(False, screen, lambda: 80) as progress:
        progress.event(Event("done", "a", "create"))
        progress.event(Event("phase", "a", "", 1, "boot"))
        progress.event(Event("phase", "b", "", 1, "queued"))
        assert screen.shows() == ["a: created (0.0 s)", "a: boot", "b: queued"]
        progress.event(loads("a", 0.5))
        assert screen.shows() == ["a: created (0.0 s)", "a: load [##########----------]  50%", "b: queued"]
        progress.event(Event("ready", "a", "answered", 9))
        assert screen.shows() == ["a: created (0.0 s)", "a: ready, answered (9.0 s)", "b: queued"]
    assert screen.shows() == ["a: created (0.0 s)", "a: ready, answered (9.0 s)"], "nothing that lives is left"


def test_the_live_lines_are_gone_before_an_error_is_told() -> None:
    screen = Terminal()

    def interrupted() -> None:
        with Progress(False, screen, lambda: 80) as progress:
            progress.event(loads("a", 0.5))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert screen.shows() == []


def test_a_narrow_terminal_never_wraps() -> None:
    screen = Terminal()
    with Progress(False, screen, lambda: 20) as progress:
        progress.event(Event("phase", "a-model-with-a-long-name", "and words", 1, "warm-up"))
        (line,) = screen.shows()
        assert len(line) < 20


def test_verbose_shows_every_line_of_a_build_and_rewrites_nothing() -> None:
    screen = Terminal()
    with Progress(True, screen, lambda: 80) as progress:
        for n in range(3):
            progress.event(Event("progress", "img", f"step {n}", 0.1, "image"))
    assert screen.getvalue() == "img: step 0\nimg: step 1\nimg: step 2\n"


def test_a_pipe_gets_a_line_of_a_build_every_ten_seconds() -> None:
    pipe = io.StringIO()
    with Progress(False, pipe, lambda: 80) as progress:
        progress.event(Event("start", "img", "build: image is missing"))
        for second in range(25):
            progress.event(Event("progress", "img", f"step {second}", second, "image"))
    assert pipe.getvalue().splitlines() == ["img: build: image is missing", "img: step 10", "img: step 20"]
