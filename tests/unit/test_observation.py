"""What the states of Docker and of the gate mean together."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.observation import Gate, Observation, PortHolder
from tests.builders import container


@pytest.mark.parametrize(
    ("changes", "phase", "running", "ready", "failed"),
    [
        ({}, "ready", True, True, False),
        ({"gate": None}, "ready", True, True, False),
        ({"gate": None, "health": "starting"}, "starting", True, False, False),
        ({"gate": None, "health": "unhealthy"}, "unresponsive", True, False, False),
        ({"gate": None, "health": ""}, "starting", True, False, False),
        ({"gate": Gate("queued"), "health": "starting"}, "queued", True, False, False),
        ({"gate": Gate("ready"), "health": "starting"}, "ready", True, False, False),
        ({"gate": Gate("starting"), "health": "healthy"}, "starting", True, False, False),
        ({"gate": Gate("parked"), "health": "unhealthy"}, "parked", True, False, True),
        ({"state": "created", "gate": None, "health": ""}, "created", False, False, True),
        ({"state": "exited", "gate": None, "health": ""}, "stopped", False, False, False),
        ({"state": "exited", "gate": None, "health": "", "exit_code": 137}, "stopped", False, False, False),
        ({"state": "exited", "gate": None, "health": "", "exit_code": 1}, "dead", False, False, True),
        ({"state": "exited", "exit_code": 127}, "dead", False, False, True),
        ({"state": "restarting", "gate": None, "health": ""}, "restarting", True, False, False),
        ({"state": "paused"}, "paused", True, False, True),
        ({"state": "dead", "gate": None}, "dead", False, False, True),
    ],
)
def test_states(changes: dict[str, Any], phase: str, running: bool, ready: bool, failed: bool) -> None:
    found = container(**changes)
    assert (found.phase, found.running, found.ready, found.failed) == (phase, running, ready, failed)


def test_a_project_s_containers_are_sorted_by_service() -> None:
    seen = Observation((container("b"), container("a"), container("c", project="other")))
    assert [c.model for c in seen.project("orchestrator")] == ["a", "b"]


def test_who_holds_a_port() -> None:
    mine, other = PortHolder(25000, "container a", "id-a"), PortHolder(25001, "process nginx (pid 1)")
    seen = Observation(ports=(mine, other))
    assert seen.holder(25000) == mine
    assert seen.holder(25000, but="id-a") is None
    assert seen.holder(25000, but="id-b") == mine
    assert seen.holder(25001, but="") == other
    assert seen.holder(25002) is None
