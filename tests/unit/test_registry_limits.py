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


TILES = {"tiles": {"most": 12, "extra": 1, "argument": "num_crops"}, "tokens": 1300, "patches": 5201}


def test_fewer_tiles_take_tokens_and_patches_down_in_proportion_with_those_that_always_come() -> None:
    images = spec(images=TILES).images
    few = images.limited(None, 3)
    assert few.tiles
    assert (few.tiles.most, few.tiles.extra, few.tokens, few.patches) == (3, 1, 400, 1601), "rounded up"
    assert images.limited(None, 12) is images.limited(None, 13) is images.limited(784) is images
    assert images.activation(None, 3) == 1601 * images.bytes_per_patch


def test_tiles_that_are_joined_leave_the_tokens_as_they_are() -> None:
    images = spec(images={**TILES, "tiles": {"most": 12, "extra": 1, "joined": True}}).images
    assert (images.limited(None, 3).tokens, images.limited(None, 3).patches) == (1300, 1601)


@pytest.mark.parametrize("crops", range(1, 17))
def test_phi_s_tokens_by_its_processor_s_formula(crops: int) -> None:
    """One row per crop, as a strip has, takes the most: (crops + 1) x 144 + 1 + (rows + 1) x 12."""
    tiles = {"most": 16, "extra": 1, "argument": "num_crops"}
    images = spec(images={"tiles": tiles, "tokens": 2653}, vllm={"max_model_len": 4096}).images
    assert images.limited(None, crops).tokens == (crops + 1) * 144 + 1 + (crops + 1) * 12


def test_an_image_has_one_limit() -> None:
    with pytest.raises(ValidationError, match=r"tiles is for a model without images\.max_pixels"):
        spec(images={"max_pixels": 784, "tiles": {"most": 12}})


@pytest.mark.parametrize(
    ("images", "smallest", "message"),
    [
        ({}, {"max_tiles": 3}, "max_tiles is for a model with images.tiles only"),
        (TILES, {"max_tiles": 13}, "max_tiles must be at most images.tiles.most, 12, got 13"),
        ({"tiles": {"most": 12}}, {"max_tiles": 3}, "max_tiles needs images.tiles.argument, which passes it on"),
        (
            TILES,
            {"max_tiles": 3, "max_model_len": 400},
            "max_model_len must be more than the 400 tokens of one image at smallest.max_tiles, got 400",
        ),
    ],
)
def test_smallest_tiles_that_contradict_the_entry(
    images: dict[str, Any], smallest: dict[str, int], message: str
) -> None:
    with pytest.raises(ValidationError, match=f"engines.vllm.smallest.{message}"):
        spec(images=images, vllm={"smallest": smallest})


def test_our_server_needs_no_argument_for_fewer_tiles() -> None:
    images = {**TILES, "tiles": {"most": 12, "argument": None}}
    entry = spec(images=images, transformers={"smallest": {"max_tiles": 3}})
    assert entry.engines.transformers is not None
    assert entry.engines.transformers.smallest.max_tiles == 3


def test_an_argument_is_a_name() -> None:
    for argument in ("", "num-crops", "--x", '"', "Max"):
        with pytest.raises(ValidationError, match="is not a name of a processor's argument"):
            spec(images={"tiles": {"most": 12, "argument": argument}})


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
        ({"storages": ["fp8"]}, "Input should be '16bit', 'int8' or 'nf4'"),
        ({"storages": ["int8", "int8"]}, "storages names a storage twice"),
        ({"storages": ["int8"], "dtype": "float32"}, "storages is not for dtype float32"),
        ({"keep_16bit": ["tower"]}, "Input should be 'vision', 'projector', 'language' or 'other'"),
    ],
)
def test_storages_that_can_not_be(engine: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spec(transformers=engine)


@pytest.mark.parametrize(("level", "remote_code"), [("answered", True), ("listed", True), ("served-tiny", False)])
def test_a_stand_in_proves_no_more_than_the_way_to_remote_code(level: str, remote_code: bool) -> None:
    source = {"repository": "owner/phi", "licence": "MIT", "remote_code": remote_code}
    with pytest.raises(ValidationError, match=r"evidence\.stand_in is for remote code at the level served-tiny"):
        spec(source=source, transformers={"evidence": {"level": level, "stand_in": True}})


def test_four_bit_is_made_by_bitsandbytes() -> None:
    with pytest.raises(ValidationError, match="names nf4, which only the quantiser bitsandbytes makes"):
        spec(transformers={"storages": ["nf4", "16bit"], "quantiser": "torchao"})
