"""What ``verify`` decides: the order, whether a record still holds, and what answers prove."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator import __version__
from orchestrator.errors import RequestError
from orchestrator.evidence import Answer, Check, EvidenceLevel, Figures, Outcome, Verification
from orchestrator.observation import Image
from orchestrator.plan.verifying import Candidate, figures, holds, in_order, proved, replaces
from tests.builders import gpu, host, spec

RIGHT, WRONG = Check("text", True, "a", "a"), Check("table", False, "a", "b", "1 of 1 cells are wrong")
PAIR = Candidate(spec("phi", vllm={}), "vllm")
IMAGE = "vllm/vllm-openai:v0.33.0"
CARD = gpu()
RAN = Verification(
    "phi",
    "vllm",
    "answered",
    "answered",
    1.0,
    __version__,
    image=IMAGE,
    image_id="sha256:1",
    gpu=CARD.kind,
    driver="550.1",
)


def test_the_order_is_that_of_the_report_s_test_plan() -> None:
    """With the pairs that it does not name at the end."""
    urgent, late = {"report": {"allowed": True, "test_priority": 1}}, {"report": {"allowed": True, "test_priority": 3}}
    specs = (spec("a"), spec("b", vllm=late, transformers=urgent), spec("c", vllm=urgent))
    found = [pair.service for pair in in_order(specs)]
    assert found == ["b-transformers", "c-vllm", "b-vllm", "a-transformers"]


def test_a_mode_leaves_the_other_engine_out() -> None:
    both, one = spec("both", vllm={}, transformers={}), spec("one")
    assert [pair.service for pair in in_order((both, one), "vllm")] == ["both-vllm"]
    with pytest.raises(RequestError, match="has a vllm entry"):
        in_order((one,), "vllm")


@pytest.mark.parametrize(
    ("changes", "image", "still"),
    [
        ({}, "sha256:1", True),
        ({}, "sha256:2", False),
        ({}, "", False),
        ({"tool_version": "0.0.1"}, "sha256:1", False),
        ({"revision": "0" * 40}, "sha256:1", False),
        ({"image": "another:1"}, "sha256:1", False),
        ({"driver": "580.1"}, "sha256:1", False),
        ({"gpu": "B card"}, "sha256:1", False),
        ({"image": "", "image_id": ""}, "sha256:1", False),
    ],
)
def test_a_record_holds_for_the_same_versions_alone(changes: dict[str, str], image: str, still: bool) -> None:
    known = replace(RAN, **changes)  # type: ignore[arg-type]
    here = replace(host(CARD), driver="550.1")
    assert holds(known, PAIR, {IMAGE: Image(image)} if image else {}, here) is still


def test_what_ran_is_not_forgotten_for_what_could_not_be_started() -> None:
    unfit = Verification("phi", "vllm", "does-not-fit", "none", 2.0, __version__)
    assert replaces(unfit, None)
    assert replaces(unfit, unfit)
    assert replaces(RAN, unfit)
    assert replaces(replace(RAN, outcome="failed"), RAN)
    assert not replaces(unfit, RAN)


@pytest.mark.parametrize(
    ("checks", "whole", "expected"),
    [
        ([RIGHT], True, ("answered", "answered")),
        ([RIGHT, WRONG], True, ("wrong", "answered")),
        ([WRONG], True, ("wrong", "served-tiny")),
        ([], False, ("failed", "none")),
        ([WRONG], False, ("failed", "none")),
        ([RIGHT], False, ("failed", "answered")),
    ],
)
def test_what_answers_prove(checks: list[Check], whole: bool, expected: tuple[Outcome, EvidenceLevel]) -> None:
    assert proved(checks, whole=whole) == expected


def test_figures() -> None:
    answers = [Answer("a", 0.5, 2.5, 5), Answer("b", 0.1, 0.1, 1), Answer("c", 0.3, 1.3, 0)]
    assert figures(12.3456, answers, 7, "gpu") == Figures(12.346, 0.3, 2.31, 7, "gpu"), "6 tokens in 2.6 s"
    assert figures(None, [], None, "gpu") == Figures()
