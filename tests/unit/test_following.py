"""Starts that are followed: every phase once, progress, what is late, and answers that are noticed at once."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.errors import EnvironmentProblem
from orchestrator.following import follow
from orchestrator.observation import Gate, Progress
from orchestrator.pace import STALL, Pace, stall_limit
from orchestrator.ports import Event
from tests.builders import container
from tests.fakes import FakeWorld


@pytest.fixture
def world() -> FakeWorld:
    return FakeWorld()


STARTING: dict[str, Any] = {"gate": Gate("starting"), "health": "starting"}


def follows(world: FakeWorld, *models: str, timeout: float | None = None) -> list[Event]:
    return list(follow("orchestrator", [f"{m}-transformers" for m in models], world, timeout))


def said(events: list[Event]) -> list[tuple[str, str]]:
    """Kind, and phase with its words, of all but mere progress."""
    return [(e.kind, f"{e.phase} {e.text}".strip()) for e in events if e.kind != "progress"]


def test_what_is_ready_is_told_at_once(world: FakeWorld) -> None:
    world.docker.add(container("a"))
    assert follows(world, "a") == [Event("ready", "a-transformers", "", 0.0)]
    assert world.clock.time == 1000.0


def test_every_phase_is_told_once_with_its_time(world: FakeWorld) -> None:
    gate = Gate("queued", detail="orchestrator-b-vllm has the lock")
    world.docker.add(container("a", gate=gate, health="starting"))
    world.clock.at(20, lambda: world.docker.change("a-transformers", gate=Gate("queued", detail="another has it")))
    world.clock.at(30, lambda: world.docker.change("a-transformers", gate=Gate("starting")))
    world.clock.at(40, lambda: world.docker.change("a-transformers", gate=Gate("ready")))
    world.clock.at(45, lambda: world.docker.change("a-transformers", health="healthy"))
    events = follows(world, "a")
    assert said(events) == [
        ("phase", "queued orchestrator-b-vllm has the lock"),
        ("phase", "starting"),
        ("phase", "ready"),
        ("ready", ""),
    ]
    told = [e for e in events if e.kind != "progress"]
    for event, seconds in zip(told, (0, 30, 40, 45), strict=True):
        assert seconds <= event.seconds <= seconds + 1


def test_a_gate_that_has_not_spoken_yet(world: FakeWorld) -> None:
    world.docker.add(container("a", gate=None, health="starting"))
    world.clock.at(5, lambda: world.docker.change("a-transformers", gate=Gate("ready"), health="healthy"))
    assert said(follows(world, "a")) == [("phase", "starting"), ("ready", "")]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"gate": Gate("parked", "out of memory"), "health": "unhealthy"}, "parked parked: out of memory"),
        ({"state": "exited", "gate": None, "health": "", "exit_code": 3}, "dead dead: exit code 3"),
        (
            {"state": "created", "gate": None, "health": "", "error": "no such device"},
            "created created: no such device",
        ),
    ],
)
def test_what_can_not_heal_ends_the_wait(world: FakeWorld, changes: dict[str, Any], text: str) -> None:
    world.docker.add(container("a", **STARTING), container("b", port=25001))
    world.clock.at(7, lambda: world.docker.change("a-transformers", **changes))
    assert said(follows(world, "a", "b")) == [("ready", ""), ("phase", "starting"), ("failed", text)]


def test_a_container_that_goes_away(world: FakeWorld) -> None:
    world.docker.add(container("a", **STARTING))
    world.clock.at(7, world.docker.containers.clear)
    assert said(follows(world, "a")) == [("phase", "starting"), ("failed", "its container is gone")]


def test_a_container_that_was_never_there(world: FakeWorld) -> None:
    assert said(follows(world, "a")) == [("failed", "its container is gone")]


@pytest.mark.parametrize("timeout", [0.0, 12.0])
def test_a_timeout_names_all_that_are_not_ready(world: FakeWorld, timeout: float) -> None:
    world.docker.add(container("a", **STARTING), container("b", **STARTING), container("c", port=25001))
    events = follows(world, "a", "b", "c", timeout=timeout)
    late = f"starting not ready after {timeout:g} s; it goes on starting"
    assert said(events)[-2:] == [("late", late), ("late", late)]
    assert [e.subject for e in events[-2:]] == ["a-transformers", "b-transformers"]
    assert timeout <= world.clock.time - 1000 <= timeout + 1


def test_the_timeout_counts_what_was_spent_before(world: FakeWorld) -> None:
    world.docker.add(container("a", **STARTING))
    list(follow("orchestrator", ["a-transformers"], world, 60, spent=50))
    assert 10 <= world.clock.time - 1000 <= 11


def at(world: FakeWorld, seconds: float, phase: str, text: str = "", **known: Any) -> None:
    """What the gate says of a start from then on."""
    progress = Progress(phase, text, known.pop("moved", 1000 + seconds), **known)
    world.clock.at(seconds, lambda: world.docker.change("a-transformers", gate=Gate("starting", progress=progress)))


def test_there_is_no_end_of_patience_while_bytes_come(world: FakeWorld) -> None:
    world.docker.add(container("a", **STARTING))
    for minute in range(30):
        at(world, 1 + 60 * minute, "weights", done=minute * 10**6, total=30 * 10**6)
    world.clock.at(1850, lambda: world.docker.change("a-transformers", gate=Gate("ready"), health="healthy"))
    events = follows(world, "a")
    assert said(events) == [("phase", "starting"), ("phase", "weights"), ("ready", "")]
    last = [e for e in events if e.phase == "weights"][-1]
    assert (last.done, last.total) == (29 * 10**6, 30 * 10**6)
    assert last.rate
    assert last.left == pytest.approx(10**6 / last.rate)


@pytest.mark.parametrize("phase", ["boot", "weights", "load", "warm-up"])
def test_what_stands_still_is_told_after_the_limit_of_its_phase(world: FakeWorld, phase: str) -> None:
    world.docker.add(container("a", **STARTING))
    at(world, 10, phase)
    events = follows(world, "a")
    words = f"no progress for {STALL[phase]:g} s in phase {phase}; its container is left as it is"
    assert said(events)[-1] == ("late", f"{phase} {words}")
    assert 10 + STALL[phase] <= events[-1].seconds <= 12 + STALL[phase]
    assert "id-a-transformers" in world.docker.containers
    assert world.log == []


def test_a_gate_that_never_speaks_is_not_waited_for_without_end(world: FakeWorld) -> None:
    world.docker.add(container("a", gate=None, health="starting"))
    assert "no progress for 120 s in phase starting" in said(follows(world, "a"))[-1][1]


@pytest.mark.parametrize("goes_on", [True, False])
def test_who_waits_for_its_turn_waits_as_long_as_the_one_before_goes_on(world: FakeWorld, goes_on: bool) -> None:
    gpu = ("GPU-a",)
    moved = 1000.0 + (1000 if goes_on else 0)
    first = Gate("starting", progress=Progress("load", moved=moved))
    world.docker.add(
        container("a", gate=Gate("queued", detail="b has it; for 3 s"), health="starting", gpus=gpu),
        container("b", project="other", gate=first, health="starting", gpus=gpu),
    )
    world.clock.at(3, lambda: world.docker.change("a-transformers", gate=Gate("queued", detail="b has it; for 6 s")))
    world.clock.at(1100, lambda: world.docker.change("a-transformers", gate=Gate("ready"), health="healthy"))
    end = said(follows(world, "a"))[-1]
    assert end == ("ready", "") if goes_on else "no progress for 600 s in phase queued" in end[1]


def test_an_answer_is_noticed_before_docker_knows(world: FakeWorld) -> None:
    world.docker.add(container("a", **STARTING), container("b", **STARTING, port=25001))
    world.clock.at(200, lambda: world.pulse.early.add("a"))
    at(world, 100, "load")
    events = follows(world, "a", "b")
    ready = next(e for e in events if e.kind == "ready")
    assert ready.subject == "a-transformers"
    assert 200 <= ready.seconds <= 200.2


def test_a_green_container_with_a_dead_engine_is_not_ready(world: FakeWorld) -> None:
    world.docker.add(container("a"))
    world.pulse.dead.add("a")
    world.clock.at(5, lambda: world.docker.change("a-transformers", gate=Gate("pausing"), health="unhealthy"))
    world.clock.at(9, world.pulse.dead.clear)
    world.clock.at(9, lambda: world.docker.change("a-transformers", gate=Gate("ready"), health="healthy"))
    assert said(follows(world, "a")) == [("phase", "ready"), ("phase", "pausing"), ("ready", "")]


def test_a_container_whose_port_is_not_published_is_believed(world: FakeWorld) -> None:
    world.docker.add(container("a", published=False))
    world.pulse.dead.add("a")
    assert said(follows(world, "a")) == [("ready", "")]


def test_a_rate_needs_two_looks_and_starts_anew_with_another_download() -> None:
    pace = Pace()
    assert pace.rate(0, None) is None
    assert [pace.rate(0, 100), pace.rate(10, 1100), pace.rate(10, 1100)] == [None, 100, 100]
    assert pace.rate(20, 50) is None
    for second in range(21, 90):
        rate = pace.rate(second, 50 + 7 * (second - 20))
    assert rate == pytest.approx(7)


def test_what_has_stopped_has_no_rate() -> None:
    pace = Pace()
    rates = [pace.rate(second, min(second, 5) * 100) for second in range(60)]
    assert rates[4] == 100
    assert rates[59] is None


def test_unknown_phases_have_a_limit_too() -> None:
    assert stall_limit("a phase of the future") > 0


def test_docker_that_goes_away_is_an_error(world: FakeWorld) -> None:
    world.docker.add(container("a", **STARTING))
    gone = EnvironmentProblem("no Docker Engine answers")
    world.clock.at(3, lambda: setattr(world.docker, "broken", gone))
    with pytest.raises(EnvironmentProblem, match="no Docker Engine answers"):
        follows(world, "a")


def test_another_project_s_container_of_the_same_name_is_not_it(world: FakeWorld) -> None:
    world.docker.add(container("a", project="other"))
    assert said(follows(world, "a")) == [("failed", "its container is gone")]
