"""Nearly right requests give a request or a refusal, never anything else."""

from __future__ import annotations

import json
from collections import Counter

from hypothesis import given, settings

from orchestrator.server.api import parse_chat
from orchestrator.server.errors import ApiError
from orchestrator.server.images import ImageLimits
from tests.chat_bodies import bodies

LIMITS = ImageLimits(count=2, bytes=10_000, pixels=10_000, total_pixels=10_000)


def outcome(body: bytes) -> str:
    """``accepted``, or the code of the refusal, which must be a caller's fault that can be sent as JSON."""
    error = refusal(body)
    if error is None:
        return "accepted"
    assert 400 <= error.status < 500
    assert error.code is not None
    sent = json.dumps(error.body(), ensure_ascii=False, allow_nan=False).encode()
    assert len(sent) < 2000
    return error.code


def refusal(body: bytes) -> ApiError | None:
    try:
        request = parse_chat(body, "demo")
        request.ask(LIMITS)
    except ApiError as error:
        return error
    return None


def test_any_body_gives_a_request_or_a_refusal() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=3000, deadline=None, derandomize=True, database=None)
    @given(bodies())
    def fuzz(body: bytes) -> None:
        seen[outcome(body)] += 1

    fuzz()
    wanted = ("accepted", "invalid_value", "unknown_parameter", "model_not_found", "invalid_image_url", "invalid_image")
    few = [code for code in wanted if seen[code] < 10]
    assert not few, f"the bodies reach too little of the parser: {seen}"
