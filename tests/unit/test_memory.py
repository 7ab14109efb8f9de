"""Claims: every number here was computed by hand from the entry."""

from __future__ import annotations

import pytest

from orchestrator.inventory import GIB, MIB
from orchestrator.memory import Claim, Line, claim, kv_per_token, weights
from tests.builders import spec

SHAPE = {"layers": 28, "kv_heads": 4, "head_size": 128, "hidden_size": 3584}
PARAMETERS = {
    "total": 1000,
    "modules": [
        {"part": "language", "kind": "linear", "count": 900, "rows": 30, "matrices": 1},
        {"part": "language", "kind": "other", "count": 100},
    ],
}


def test_weights_in_16_bit() -> None:
    entry = spec(parameters=PARAMETERS)
    assert entry.engines.transformers
    assert weights(entry, entry.engines.transformers).size == 2000


def test_weights_in_32_bit() -> None:
    entry = spec(parameters=PARAMETERS, transformers={"dtype": "float32"})
    assert entry.engines.transformers
    assert weights(entry, entry.engines.transformers).size == 4000


def test_weights_in_8_bit_are_16_bit_outside_linear_layers() -> None:
    entry = spec(parameters=PARAMETERS, transformers={"storages": ["int8"]})
    assert entry.engines.transformers
    assert weights(entry, entry.engines.transformers).size == 900 + 4 * 30 + 2 * 100


def test_the_cache_of_qwen2_vl_7b_is_56_kib_a_token() -> None:
    entry = spec(architecture=SHAPE, vllm={})
    assert entry.engines.vllm
    assert kv_per_token(entry, entry.engines.vllm) == 2 * 28 * 4 * 128 * 2 == 57344


def test_a_claim_is_the_sum_of_its_lines() -> None:
    entry = spec(architecture=SHAPE, parameters=PARAMETERS, vllm={"max_model_len": 2048, "max_num_seqs": 4})
    found = claim(entry, "vllm")
    sizes = {line.label: line.size for line in found.lines}
    assert sizes["KV cache"] == found.kv_cache == 2048 * 57344
    assert sizes["activation"] == 2048 * 44 * 3584, "the prefill is larger than this image"
    assert found.outside == sizes["CUDA context"]
    assert found.total == sum(sizes.values())
    assert all(line.source for line in found.lines)


def test_transformers_keeps_a_cache_for_each_sequence_and_more_activation() -> None:
    images = {"patches": 100_000, "bytes_per_patch": 10_000}
    sizes = {
        line.label: line.size
        for line in claim(spec(images=images, transformers={"max_num_seqs": 3}), "transformers").lines
    }
    assert sizes["activation"] == 1_500_000_000
    assert sizes["KV cache"] == 3 * 2048 * 2 * 2 * 2 * 32 * 2


def test_an_engine_that_the_entry_lacks_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="no engine vllm"):
        claim(spec(), "vllm")


@pytest.mark.parametrize(("size", "mib"), [(0, 0), (1, 1), (MIB, 1), (MIB + 1, 2), (GIB, 1024)])
def test_mib_are_rounded_up(size: int, mib: int) -> None:
    assert Claim((Line("a", size, "b"),)).mib == mib
