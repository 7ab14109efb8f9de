"""Smaller limits, and storages: what an engine may name."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tests.builders import spec

IMAGES = {"max_pixels": 784 * 1000, "tokens": 1000, "patches": 4000}


def test_a_smaller_limit_takes_tokens_and_patches_down_in_proportion() -> None:
    images = spec(images=IMAGES, transformers={"max_model_len": 2048}).images
    half = images.limited(784 * 500)
    assert (half.max_pixels, half.tokens, half.patches, half.bytes_per_patch) == (784 * 500, 500, 2000, 4096)
    assert images.limited(784 * 500 + 1).tokens == 501, "rounded up"
    assert images.limited(None) is images.limited(10**9) is images


def test_images_without_a_limit_in_pixels_stay_as_they_are() -> None:
    images = spec().images
    assert images.limited(784) is images


def test_the_smallest_images_make_room_for_a_smaller_length() -> None:
    entry = spec(images=IMAGES, transformers={"smallest": {"max_model_len": 600, "max_pixels": 784 * 500}})
    assert entry.engines.transformers
    assert entry.engines.transformers.smallest.max_num_seqs == 1


def test_what_is_left_out_stays_as_it_is() -> None:
    engine = spec().engines.transformers
    assert engine
    assert (engine.smallest.max_model_len, engine.smallest.max_pixels) == (None, None)


@pytest.mark.parametrize(
    ("smallest", "message"),
    [
        ({"max_model_len": 4000}, "max_model_len must be at most the engine's max_model_len of 2048, got 4000"),
        (
            {"max_model_len": 1000},
            "max_model_len must be more than the 1000 tokens of one image at smallest.max_pixels",
        ),
        ({"max_num_seqs": 2}, "max_num_seqs must be at most the engine's max_num_seqs of 1, got 2"),
        ({"max_pixels": 784 * 1001}, "max_pixels must be at most images.max_pixels, 784000, got 784784"),
        ({"max_pixels": 785}, "max_pixels must be a multiple of the 784 pixels of one image token, got 785"),
    ],
)
def test_smallest_limits_that_contradict_the_entry(smallest: dict[str, int], message: str) -> None:
    with pytest.raises(ValidationError, match=f"engines.transformers.smallest.{message}"):
        spec(images=IMAGES, transformers={"smallest": smallest})


def test_pixels_can_not_be_limited_for_a_model_that_has_no_such_limit() -> None:
    with pytest.raises(ValidationError, match=r"smallest\.max_pixels is for a model with images\.max_pixels only"):
        spec(transformers={"smallest": {"max_pixels": 784}})


def test_the_preferred_storage_is_the_first() -> None:
    entry = spec(vllm={"storages": ["fp8", "16bit"]}, transformers={"storages": ["int8", "16bit"]})
    assert entry.engines.vllm
    assert entry.engines.transformers
    assert entry.engines.vllm.stored == ("fp8", "16bit")
    assert entry.engines.transformers.stored == ("int8", "16bit")


def test_an_entry_that_names_no_storage_is_stored_as_its_dtype_says() -> None:
    for dtype, stored in (("bfloat16", "16bit"), ("float16", "16bit"), ("float32", "float32")):
        engine = spec(transformers={"dtype": dtype}).engines.transformers
        assert engine
        assert engine.stored == (stored,)


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ({"storages": []}, "at least 1"),
        ({"storages": ["nf4"]}, "Input should be '16bit' or 'int8'"),
        ({"storages": ["int8", "int8"]}, "storages names a storage twice"),
        ({"storages": ["int8"], "dtype": "float32"}, "storages is not for dtype float32"),
        ({"keep_16bit": ["tower"]}, "Input should be 'vision', 'projector', 'language' or 'other'"),
    ],
)
def test_storages_that_can_not_be(engine: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spec(transformers=engine)
