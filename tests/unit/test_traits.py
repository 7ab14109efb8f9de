"""Versions, and what they can do."""

from __future__ import annotations

import pytest

from orchestrator.traits import (
    VLLM_FLAGS,
    VLLM_NEWEST,
    VLLM_OLDEST,
    architecture_trouble,
    at_least,
    counts_neighbours,
    flag_trouble,
    image_version,
    version,
    vllm_has,
    vllm_remark,
)


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
    [
        ("vllm:v0.10.1.1", False),
        ("vllm:v0.10.2", True),
        ("vllm:v0.33.0", True),
        ("vllm:nightly", True),
        ("vllm@sha256:01", True),
    ],
)
def test_kv_cache_bytes(image: str, has: bool) -> None:
    assert vllm_has("kv-cache-memory-bytes", image) is has


@pytest.mark.parametrize(("image", "does"), [("vllm:v0.9.0.1", True), ("vllm:v0.9.1", False), ("vllm:latest", False)])
def test_which_vllm_counts_its_neighbours(image: str, does: bool) -> None:
    assert counts_neighbours(image) is does


@pytest.mark.parametrize(
    ("flag", "image", "off", "said"),
    [
        ("async-scheduling", "vllm:v0.9.2", False, "is not known to vLLM 0.9.2: since 0.10.0"),
        ("async-scheduling", "vllm:v0.10.0", False, ""),
        ("swap-space", "vllm:v0.17.1", False, ""),
        ("swap-space", "vllm:v0.18.0", False, "is not known to vLLM 0.18.0: gone since 0.18.0"),
        ("swap-space", "vllm:v0.40.0", False, "is not known to vLLM 0.40.0: gone since 0.18.0"),
        (
            "rope-scaling",
            "vllm:v0.33.0",
            False,
            "is not known to vLLM 0.33.0: gone since 0.11.1; instead: hf-overrides",
        ),
        ("trust-x", "vllm:v0.8.5", True, "can't be false in vLLM 0.8.5: the form --no-trust-x came with 0.9.0"),
        ("trust-x", "vllm:v0.9.0", True, ""),
        ("enable-prefix-caching", "vllm:v0.8.5", True, ""),
        ("swap-space", "vllm:latest", True, ""),
        ("no-such-flag", "vllm:v0.33.0", False, ""),
    ],
)
def test_a_flag_that_a_release_does_not_take(flag: str, image: str, off: bool, said: str) -> None:
    assert flag_trouble(flag, image, off=off) == said


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("vllm:v0.10.2", "is not known to vLLM 0.10.2: since 0.11.0"),
        ("vllm:v0.11.0", ""),
        ("vllm@sha256:01", ""),
    ],
)
def test_an_architecture_that_a_release_does_not_know(image: str, said: str) -> None:
    assert architecture_trouble("DotsOCRForCausalLM", image) == said
    assert not architecture_trouble("PhiForCausalLM", image)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("vllm:v0.8.0", ""),
        ("vllm:v0.10.1.1", ""),
        ("vllm:v0.33.0", ""),
        ("vllm:v0.33.0@sha256:01", ""),
        ("vllm:v0.7.3", "0.7.3 is outside"),
        ("vllm:v0.33.1", "0.33.1 is outside"),
        ("vllm:v1.0.0", "1.0.0 is outside"),
        ("vllm:latest", "vllm:latest names no version"),
        ("vllm@sha256:01", "names no version"),
        ("host:5000/vllm", "names no version"),
    ],
)
def test_an_image_outside_of_what_is_known_is_told_of(image: str, said: str) -> None:
    remark = vllm_remark(image)
    assert said in remark
    assert bool(remark) is bool(said)


def test_every_row_of_the_table_matters() -> None:
    """A flag that all known releases have, or none has, needs no row."""
    for flag, span in VLLM_FLAGS.items():
        assert span.since or span.gone, flag
        assert not span.since or VLLM_OLDEST < span.since <= VLLM_NEWEST, flag
        assert not span.gone or max(VLLM_OLDEST, span.since) < span.gone <= VLLM_NEWEST, flag
