"""Bytes of weights: computed by hand from small tables."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator.registry.weights import Parameters, Part, Storage, weight_bytes

MODULES = [
    {"part": "vision", "kind": "linear", "count": 640, "rows": 10, "matrices": 1},
    {"part": "language", "kind": "linear", "count": 1280, "rows": 20, "matrices": 2},
    {"part": "language", "kind": "head", "count": 300, "rows": 30, "matrices": 1},
    {"part": "language", "kind": "embedding", "count": 300},
    {"part": "language", "kind": "other", "count": 7},
]
UNQUANTISED = 300 + 300 + 7


def parameters(*modules: dict[str, Any], total: int | None = None) -> Parameters:
    whole = sum(module["count"] for module in modules) if total is None else total
    return Parameters.model_validate_json(json.dumps({"total": whole, "modules": modules, "source": "a test"}))


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        ("float32", 4 * (1920 + UNQUANTISED)),
        ("16bit", 2 * (1920 + UNQUANTISED)),
        ("int8", 1920 + 4 * 30 + 2 * UNQUANTISED),
        ("nf4", 960 + 4 * 30 + 64 * 3 + 2 * UNQUANTISED),
        ("fp8", 1920 + 4 * 3 + 2 * UNQUANTISED),
    ],
)
def test_each_storage(storage: Storage, expected: int) -> None:
    assert weight_bytes(parameters(*MODULES), storage) == expected


def test_torchao_keeps_a_byte_more_of_each_row() -> None:
    more = weight_bytes(parameters(*MODULES), "int8", quantiser="torchao") - weight_bytes(parameters(*MODULES), "int8")
    assert more == 30
    for storage in ("16bit", "fp8"):
        assert weight_bytes(parameters(*MODULES), storage, quantiser="torchao") == weight_bytes(
            parameters(*MODULES), storage
        )


def test_a_part_can_be_kept_in_16_bit() -> None:
    table = parameters(*MODULES)
    vision: frozenset[Part] = frozenset({"vision"})
    assert weight_bytes(table, "int8", vision) == 2 * 640 + 1280 + 4 * 20 + 2 * UNQUANTISED
    assert weight_bytes(table, "float32", vision) == weight_bytes(table, "float32")


def test_a_part_of_a_block_of_4_bit_weights_has_a_scale_too() -> None:
    odd = parameters({"part": "language", "kind": "linear", "count": 65, "rows": 1, "matrices": 1})
    assert weight_bytes(odd, "nf4") == 33 + 2 * 4 + 64


def test_a_tied_head_takes_nothing() -> None:
    tied = {"part": "language", "kind": "head", "count": 0, "rows": 30, "matrices": 1, "tied": True}
    table = parameters(tied, {"part": "language", "kind": "embedding", "count": 300})
    assert weight_bytes(table, "16bit") == weight_bytes(table, "int8") == 600


def test_vision_is_what_only_images_use() -> None:
    projector = {"part": "projector", "kind": "other", "count": 5}
    assert parameters(*MODULES, projector).vision == 645


HEAD = {"part": "language", "kind": "head", "count": 300, "rows": 30, "matrices": 1}


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (HEAD | {"count": 0}, "count must be at least 1, got 0"),
        (HEAD | {"tied": True}, "count must be 0 for a tied head, got 300"),
        (HEAD | {"kind": "linear", "tied": True, "count": 0}, "tied is for a head only"),
        (HEAD | {"rows": 0}, "rows is needed for kind head"),
        (HEAD | {"matrices": 0}, "matrices is needed for kind head"),
        (HEAD | {"kind": "embedding", "matrices": 0}, "rows is not for kind embedding"),
        (HEAD | {"kind": "other", "rows": 0}, "matrices is not for kind other"),
    ],
)
def test_rows_that_contradict_themselves(module: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        parameters(module)


def test_the_counts_make_the_total() -> None:
    with pytest.raises(ValidationError, match="total must be the sum of the counts in modules, 300, got 301"):
        parameters(HEAD, total=301)


def test_a_class_of_a_part_is_counted_once() -> None:
    with pytest.raises(ValidationError, match="modules has head of language 2 times"):
        parameters(HEAD, HEAD)


_BLOCKS = st.integers(1, 2**30)


@given(_BLOCKS, st.integers(1, 2**20), st.integers(1, 2**10), st.integers(0, 2**30))
def test_a_narrower_storage_is_smaller_and_keeping_a_part_is_not(
    blocks: int, rows: int, matrices: int, other: int
) -> None:
    """A matrix has at least 64 weights to a row and 1024 in all, as real ones have."""
    linear = {"part": "vision", "kind": "linear", "rows": rows, "matrices": matrices}
    table = parameters(
        linear | {"count": 64 * (blocks + rows + 16 * matrices)},
        {"part": "language", "kind": "embedding", "count": other + 1},
    )
    order: tuple[Storage, ...] = ("float32", "16bit", "int8", "nf4")
    sizes = [weight_bytes(table, storage) for storage in order]
    assert sizes == sorted(sizes, reverse=True)
    for storage in ("int8", "nf4", "fp8"):
        assert weight_bytes(table, storage) < weight_bytes(table, storage, frozenset({"vision"})) == sizes[1]
