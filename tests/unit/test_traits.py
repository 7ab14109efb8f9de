"""Versions, and what they can do."""

from __future__ import annotations

import pytest

from orchestrator.traits import at_least, has_kv_cache_bytes, image_version, version


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("v0.33.0", (0, 33, 0)),
        ("2.26.1-4", (2, 26, 1)),
        ("20.10.24+dfsg1", (20, 10, 24)),
        ("28", (28,)),
        ("latest", ()),
        ("", ()),
        ("vv1", ()),
    ],
)
def test_version(text: str, numbers: tuple[int, ...]) -> None:
    assert version(text) == numbers


@pytest.mark.parametrize(
    ("reference", "numbers"),
    [
        ("vllm/vllm-openai:v0.33.0", (0, 33, 0)),
        ("host:5000/vllm/vllm-openai:v0.10.2", (0, 10, 2)),
        ("host:5000/vllm/vllm-openai", ()),
        ("vllm/vllm-openai", ()),
        ("vllm/vllm-openai:latest", ()),
        ("vllm/vllm-openai:v0.9.0@sha256:0123", (0, 9, 0)),
        ("vllm/vllm-openai@sha256:0123", ()),
    ],
)
def test_the_version_of_an_image(reference: str, numbers: tuple[int, ...]) -> None:
    assert image_version(reference) == numbers


def test_an_unknown_version_has_nothing() -> None:
    assert not at_least((), (25, 0))
    assert not at_least((24, 9), (25, 0))
    assert at_least((25, 0, 3), (25, 0))


@pytest.mark.parametrize(
    ("image", "has"),
    [("vllm:v0.10.2", False), ("vllm:v0.11.0", True), ("vllm:nightly", True), ("vllm@sha256:01", True)],
)
def test_kv_cache_bytes(image: str, has: bool) -> None:
    assert has_kv_cache_bytes(image) is has
