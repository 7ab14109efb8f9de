"""What comes back after a failure, and what is kept for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.observation import ASLEEP, Container, Gate, Observation, Previous
from orchestrator.plan.returning import Failure, to_keep, way_back
from orchestrator.plan.steps import Step
from tests.builders import container

SERVICE = "phi-vllm"
KEPT = Previous("id-old", SERVICE, "phi", "vllm/vllm-openai:v0.32.0", "{}")
FAILURE = Failure(SERVICE, "vllm/vllm-openai:v0.33.0", "parked: CUDA out of memory.", "id-new")


def new(**changes: Any) -> Container:
    parked: dict[str, Any] = {"id": "id-new", "gate": Gate("parked", "CUDA out of memory."), "health": "unhealthy"}
    return container("phi", "vllm", **(parked | changes))


def test_what_served_before_comes_back_in_the_place_of_what_failed() -> None:
    back = way_back(FAILURE, [KEPT], [container("other"), new()])
    assert back is not None
    assert back.previous is KEPT
    assert back.version == "v0.32.0"
    assert back.step == Step("restore", SERVICE, "v0.33.0 failed: parked: CUDA out of memory", "id-new")


def test_there_is_nothing_to_remove_where_the_new_one_is_gone() -> None:
    back = way_back(FAILURE, [KEPT], [container("other")])
    assert back is not None
    assert back.step.target == ""


@pytest.mark.parametrize(
    "state",
    [
        {"gate": Gate("ready"), "health": "healthy"},
        {"gate": Gate("pausing"), "health": "unhealthy"},
        {"state": "exited", "gate": None, "health": "", "exit_code": 3},
    ],
    ids=["wrong answer", "died of the question", "dead"],
)
def test_the_state_of_what_failed_does_not_matter(state: dict[str, Any]) -> None:
    assert way_back(FAILURE, [KEPT], [new(**state)]) is not None


@pytest.mark.parametrize(
    ("kept", "now"),
    [
        ([], [new()]),
        ([replace(KEPT, service="other-vllm")], [new()]),
        ([KEPT], [new(id="id-of-somebody-else")]),
        ([KEPT], [new(), new(id="id-of-somebody-else")]),
        ([replace(KEPT, id="id-new")], [new()]),
        ([KEPT], [new(gate=Gate(ASLEEP), health="healthy")]),
    ],
    ids=["nothing kept", "another's", "replaced meanwhile", "one beside it", "it is what failed", "put to sleep"],
)
def test_nothing_comes_back(kept: list[Previous], now: list[Container]) -> None:
    assert way_back(FAILURE, kept, now) is None


def test_what_compose_did_not_reach_is_not_brought_back() -> None:
    failure = replace(FAILURE, container="")
    assert way_back(failure, [KEPT], [new(id=KEPT.id)]) is None
    assert way_back(failure, [KEPT], [new()]) is None, "a new one that runs stays"
    assert way_back(failure, [KEPT], []) is not None


def test_the_same_image_with_other_settings_has_no_version_to_name() -> None:
    back = way_back(replace(FAILURE, image=KEPT.image), [KEPT], [new()])
    assert back is not None
    assert back.version == "what served before"
    assert back.step.cause.startswith("the new container failed: parked")


def test_only_what_serves_and_is_replaced_is_kept() -> None:
    serving, starting, staying, asleep = (container(m) for m in ("a", "b", "c", "d"))
    starting = replace(starting, gate=Gate("starting"), health="starting")
    asleep = replace(asleep, gate=Gate(ASLEEP))
    steps = [
        Step("replace", "a-transformers", "a test", serving.id),
        Step("replace", "b-transformers", "a test", starting.id),
        Step("keep", "c-transformers", "a test", staying.id),
        Step("replace", "d-transformers", "a test", asleep.id),
    ]
    assert to_keep(steps, Observation((serving, starting, staying, asleep))) == (serving, asleep)
