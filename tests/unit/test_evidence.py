from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.evidence import Check, Figures, Verification, Verifications, from_record, to_record

WHOLE = Verification(
    model="demo",
    engine="vllm",
    outcome="wrong",
    level="answered",
    when=1.5,
    tool_version="0.1.0",
    engine_version="0.32.0",
    image="orchestrator/vllm:0.32.0-cpu",
    image_id="sha256:1",
    image_digest="sha256:2",
    revision="0" * 40,
    gpu="CPU",
    profile="float32",
    figures=Figures(12.5, 0.4, 31.0, 5, "container"),
    checks=(Check("text", passed=True, expected="A", answered="A"), Check("table", False, "1 | 2", "1 | 3", "1 of 2")),
    missing_bytes=7,
    failure="out-of-memory",
    cause="it is a test",
)


@pytest.mark.parametrize("verification", [WHOLE, Verification("demo", "vllm", "failed", "none", 1, "0.1.0")])
def test_a_record_says_all(verification: Verification) -> None:
    assert from_record(json.loads(json.dumps(to_record(verification)))) == verification


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 2}, "version 2 is not 1"),
        ({"outcome": "perfect"}, "outcome can't be 'perfect'"),
        ({"level": "proved"}, "level can't be 'proved'"),
        ({"when": "today"}, "when can't be 'today'"),
        ({"when": True}, "when can't be True"),
        ({"cause": None}, "cause can't be None"),
        ({"extra": 1}, "missing or unknown: extra"),
        (
            {"figures": {}},
            "missing or unknown: peak_bytes, peak_of, time_to_first_token_s, time_to_ready_s, tokens_per_s",
        ),
        ({"checks": ["text"]}, "'text' is no object"),
    ],
)
def test_what_is_no_record(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("|", r"\|")):
        from_record(json.loads(json.dumps(to_record(WHOLE) | change)))


@pytest.mark.parametrize("record", [None, [], "x", 1, {}])
def test_what_is_no_record_at_all(record: object) -> None:
    with pytest.raises(ValueError, match=r"no object|version None"):
        from_record(record)


def test_the_verification_of_a_pair() -> None:
    known = Verifications((WHOLE,))
    assert known.of("demo", "vllm") is WHOLE
    assert known.of("demo", "transformers") is None
