"""Claims: every number here was computed by hand from the entry."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.inventory import GIB, MIB
from orchestrator.memory import Claim, Line, bare_weights, claim, context_size, kept, kv_per_token, measured
from orchestrator.profile import Profile
from orchestrator.registry.spec import ENGINES, EngineName, ModelSpec, Storage
from tests.builders import PROFILE, gpu, spec

SHAPE = {"layers": 28, "kv_heads": 4, "head_size": 128, "hidden_size": 3584}
PARAMETERS = {
    "total": 1000,
    "modules": [
        {"part": "language", "kind": "linear", "count": 900, "rows": 30, "matrices": 1},
        {"part": "language", "kind": "other", "count": 100},
    ],
}
#: any number of bytes will do
CONTEXT = 600 * MIB


def lines(entry: ModelSpec, engine: EngineName = "transformers", profile: Profile = PROFILE) -> dict[str, int]:
    return {line.label: line.size for line in claim(entry, engine, profile, CONTEXT).lines}


def weights(storage: Storage, **engine: Any) -> int:
    entry = spec(parameters=PARAMETERS, transformers=engine)
    assert entry.engines.transformers
    return bare_weights(entry, entry.engines.transformers, storage)


def test_weights_by_storage() -> None:
    assert weights("16bit") == 2000
    assert weights("float32", dtype="float32") == 4000
    assert weights("int8") == 900 + 4 * 30 + 2 * 100, "16 bit outside of linear layers"
    assert weights("int8", keep_16bit=["language"]) == 2000


def test_the_profile_decides_how_weights_are_stored() -> None:
    entry = spec(parameters=PARAMETERS, vllm={"storages": ["16bit", "fp8"]}, transformers={"storages": ["int8"]})
    small = Profile(2048, 1, None, "fp8")
    assert lines(entry, "vllm")["weights, 16 bit"] == 2000
    assert lines(entry, "vllm", small)["weights, fp8"] == 900 + 4 + 2 * 100
    assert lines(entry, "transformers", Profile(2048, 1, None, "int8"))["weights, 8 bit"] == 1220


def test_the_quantiser_decides_what_a_row_takes() -> None:
    entry = spec(parameters=PARAMETERS, transformers={"storages": ["int8"], "quantiser": "torchao"})
    line = claim(entry, "transformers", Profile(2048, 1, None, "int8"), CONTEXT).lines[0]
    assert (line.label, line.size) == ("weights, 8 bit", 900 + 5 * 30 + 2 * 100)
    assert "torchao" in line.source


def test_the_cache_of_qwen2_vl_7b_is_56_kib_a_token() -> None:
    entry = spec(architecture=SHAPE, vllm={})
    assert entry.engines.vllm
    assert kv_per_token(entry, entry.engines.vllm) == 2 * 28 * 4 * 128 * 2 == 57344


def test_a_claim_is_the_sum_of_its_lines() -> None:
    entry = spec(architecture=SHAPE, parameters=PARAMETERS, vllm={})
    found = claim(entry, "vllm", PROFILE, CONTEXT)
    sizes = {line.label: line.size for line in found.lines}
    assert sizes["KV cache"] == found.kv_cache == (2048 + 16) * 57344, "and vLLM's empty block"
    assert sizes["activation"] == 2048 * 44 * 3584, "the prefill is larger than this image"
    assert found.outside == sizes["CUDA context"] == CONTEXT
    assert found.total == sum(sizes.values())
    assert all(line.source for line in found.lines)


def test_transformers_keeps_a_cache_for_each_sequence_and_more_activation() -> None:
    sizes = lines(spec(images={"patches": 100_000, "bytes_per_patch": 10_000}), profile=Profile(2048, 3, None, "16bit"))
    assert sizes["activation"] == 1_500_000_000
    assert sizes["KV cache"] == 3 * 2048 * 2 * 2 * 2 * 32 * 2


def test_vllm_fills_blocks_of_16_tokens_and_keeps_one_empty() -> None:
    profile = Profile(2050, 2, None, "16bit")
    assert lines(spec(architecture=SHAPE, vllm={}), "vllm", profile)["KV cache"] == (2 * 2064 + 16) * 57344


def test_a_smaller_image_takes_less_activation() -> None:
    images = {"max_pixels": 800_000, "patches": 100_000, "bytes_per_patch": 10_000}
    entry = spec(images=images, vllm={})
    assert lines(entry, "vllm", Profile(2048, 1, 800_000, "16bit"))["activation"] == 10**9
    assert lines(entry, "vllm", Profile(2048, 1, 200_000, "16bit"))["activation"] == 25 * 10**7


def test_fewer_tiles_take_less_activation() -> None:
    images = {"tiles": {"most": 12, "extra": 1}, "patches": 13 * 10_000, "bytes_per_patch": 10_000}
    entry = spec(images=images, vllm={})
    for tiles, size in ((12, 13 * 10**8), (3, 4 * 10**8), (1, 2 * 10**8)):
        assert lines(entry, "vllm", Profile(2048, 1, None, "16bit", tiles=tiles))["activation"] == size


def test_no_graphs_claim_nothing() -> None:
    assert lines(spec(vllm={}), "vllm")["CUDA graphs"] == int(0.3 * GIB)
    assert "CUDA graphs" not in lines(spec(vllm={}), "vllm", Profile(2048, 1, None, "16bit", graphs=False))


@pytest.mark.parametrize(
    ("gpus", "weight", "heads"), [(1, 1000, 4), (2, 500, 2), (3, 334, 2), (4, 250, 1), (8, 125, 1)]
)
def test_a_group_shares_weights_and_divides_no_head(gpus: int, weight: int, heads: int) -> None:
    entry = spec(architecture=SHAPE, parameters={"total": 500}, vllm={})
    sizes = lines(entry, "vllm", Profile(2048, 1, None, "16bit", gpus=gpus))
    assert sizes["weights, 16 bit"] == weight
    assert sizes["KV cache"] == (2048 + 16) * 2 * 28 * heads * 128 * 2
    assert sizes["outside PyTorch"] == int((0.15 if gpus == 1 else 0.6) * GIB)


def test_loading_through_16_bit_is_claimed_where_serving_needs_less() -> None:
    modules = [
        {"part": "language", "kind": "embedding", "count": 10**9},
        {"part": "language", "kind": "linear", "count": 8, "rows": 1, "matrices": 1},
    ]
    sizes = lines(spec(parameters={"total": 10**9 + 8, "modules": modules}))
    assert sizes["loading peak"] + sizes["activation"] + sizes["KV cache"] == 2 * 10**9
    assert "loading peak" not in lines(spec())


def test_an_engine_that_the_entry_lacks_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="no engine vllm"):
        claim(spec(), "vllm", PROFILE, CONTEXT)


@pytest.mark.parametrize(("size", "mib"), [(0, 0), (1, 1), (MIB, 1), (MIB + 1, 2), (GIB, 1024)])
def test_mib_are_rounded_up(size: int, mib: int) -> None:
    assert Claim((Line("a", size, "b"),)).mib == mib


def test_a_larger_card_has_a_larger_context() -> None:
    assert context_size([gpu(total=24), gpu(total=48)]) == int(0.6 * GIB)
    assert context_size([gpu(total=24), gpu(total=80)]) == int(0.75 * GIB)
    assert context_size([gpu(total=None)]) == int(0.6 * GIB)


# a ninth architecture, described here alone

NINTH = spec(
    "ninth",
    architecture={"layers": 10, "kv_heads": 3, "head_size": 50, "hidden_size": 700, "context": 9000},
    parameters={
        "total": 5_000_000 + 200_000 + 300_000 + 1_000_000 + 400_000,
        "modules": [
            {"part": "vision", "kind": "linear", "count": 300_000, "rows": 700, "matrices": 7},
            {"part": "vision", "kind": "other", "count": 200_000},
            {"part": "language", "kind": "linear", "count": 5_000_000, "rows": 9_000, "matrices": 70},
            {"part": "language", "kind": "embedding", "count": 1_000_000},
            {"part": "language", "kind": "other", "count": 400_000},
        ],
    },
    images={"max_pixels": 1_000_000, "tokens": 1000, "patches": 4000, "bytes_per_patch": 50_000},
    vllm={"max_model_len": 9000, "storages": ["16bit", "fp8"]},
    transformers={"max_model_len": 9000, "storages": ["int8", "16bit"], "keep_16bit": ["vision"]},
)


def test_a_ninth_architecture_on_vllm() -> None:
    found = claim(NINTH, "vllm", Profile(9000, 2, 500_000, "fp8"), CONTEXT)
    # vLLM is taken to leave the vision tower as it is; 9,000 tokens are 563 blocks of 16
    weights = (5_000_000 + 4 * 70) + 2 * (300_000 + 200_000 + 1_000_000 + 400_000)
    cache = (2 * 3 * 50 * 2) * 10 * (2 * 563 * 16 + 16)
    activation = 2000 * 50_000  # half the pixels, half the patches; a prefill is 2048 x 44 x 700
    assert found.total == weights + cache + activation + int(0.3 * GIB) + int(0.15 * GIB) + 150 * MIB + CONTEXT


def test_a_ninth_architecture_on_transformers() -> None:
    found = claim(NINTH, "transformers", Profile(4500, 1, 1_000_000, "int8"), CONTEXT)
    weights = (5_000_000 + 4 * 9_000) + 2 * (300_000 + 200_000 + 1_000_000 + 400_000)
    assert found.total == weights + (2 * 3 * 50 * 2) * 10 * 4500 + 4000 * 50_000 * 3 // 2 + CONTEXT


def test_a_name_changes_no_number() -> None:
    other = NINTH.model_copy(update={"name": "qwen2-vl-7b", "title": "Qwen2-VL 7B Instruct"})
    for engine in ENGINES:
        for storage in ("16bit", "int8", "fp8"):
            profile = Profile(4096, 1, 500_000, storage)
            assert claim(other, engine, profile, CONTEXT) == claim(NINTH, engine, profile, CONTEXT)


# more of anything never claims less

STEPS = st.integers(1, 4)


@st.composite
def models(draw: st.DrawFn) -> ModelSpec:
    """Any shape; a linear layer has at least eight inputs, as all have for which 8 bit is worth it."""
    modules: list[dict[str, Any]] = []
    for part in ("vision", "language"):
        rows, matrices = draw(st.integers(1, 10**5)), draw(st.integers(1, 200))
        count = max(rows * draw(st.integers(8, 20_000)), 8 * matrices)
        modules.append({"part": part, "kind": "linear", "count": count, "rows": rows, "matrices": matrices})
        modules.append({"part": part, "kind": "embedding", "count": draw(st.integers(1, 10**9))})
    return spec(
        architecture={
            key: draw(st.integers(1, most))
            for key, most in (("layers", 100), ("kv_heads", 64), ("head_size", 256), ("hidden_size", 16384))
        },
        parameters={"total": sum(m["count"] for m in modules), "modules": modules},
        images={"max_pixels": 800_000, "tokens": 1024, "patches": draw(st.integers(1, 10**5))},
        vllm={"storages": ["16bit", "fp8"]},
        transformers={"storages": ["16bit", "int8"]},
    )


@st.composite
def profiles(draw: st.DrawFn, storage: Storage = "16bit") -> Profile:
    return Profile(
        draw(st.integers(1, 200_000)),
        draw(st.integers(1, 64)),
        draw(st.sampled_from([200_000, 400_000, 800_000])),
        storage,
        draw(st.booleans()),
        draw(st.integers(2, 8)),
    )


@given(models(), st.sampled_from(ENGINES), profiles(), profiles())
def test_a_claim_grows_with_every_knob(entry: ModelSpec, engine: EngineName, one: Profile, other: Profile) -> None:
    less = Profile(
        min(one.context, other.context),
        min(one.sequences, other.sequences),
        min(one.pixels or 0, other.pixels or 0),
        "fp8" if engine == "vllm" else "int8",
        one.graphs and other.graphs,
        max(one.gpus, other.gpus),
    )
    more = Profile(
        max(one.context, other.context),
        max(one.sequences, other.sequences),
        max(one.pixels or 0, other.pixels or 0),
        "16bit",
        one.graphs or other.graphs,
        min(one.gpus, other.gpus),
    )
    small, large = claim(entry, engine, less, CONTEXT), claim(entry, engine, more, CONTEXT)
    assert small.total <= large.total
    assert small.kv_cache <= large.kv_cache


@given(st.integers(0, 3), st.integers(1, 10**5), st.sampled_from(ENGINES), st.tuples(*[st.integers(1, 40)] * 2))
def test_a_claim_grows_with_tiles(extra: int, patches: int, engine: EngineName, tiles: tuple[int, int]) -> None:
    images = {"tiles": {"most": 40, "extra": extra}, "patches": patches, "bytes_per_patch": 50_000}
    entry = spec(images=images, vllm={}, transformers={})
    few, many = (claim(entry, engine, Profile(2048, 1, None, "16bit", tiles=n), CONTEXT).total for n in sorted(tiles))
    assert few <= many


@given(models(), profiles())
def test_a_group_claims_less_but_for_what_joins_it(entry: ModelSpec, profile: Profile) -> None:
    def on(gpus: int) -> int:
        shared = Profile(profile.context, profile.sequences, profile.pixels, "16bit", profile.graphs, gpus)
        return claim(entry, "vllm", shared, CONTEXT).total

    assert on(profile.gpus) <= on(1) + int(0.6 * GIB) - int(0.15 * GIB)


@given(models(), st.sampled_from(ENGINES), profiles(), st.sampled_from(["16bit", "8bit"]))
def test_no_claim_is_below_its_share_of_the_bare_weights(
    entry: ModelSpec, engine: EngineName, profile: Profile, bits: str
) -> None:
    storage: Storage = "16bit" if bits == "16bit" else "fp8" if engine == "vllm" else "int8"
    knobs = Profile(profile.context, profile.sequences, profile.pixels, storage, profile.graphs, profile.gpus)
    known = entry.engine(engine)
    assert known
    assert claim(entry, engine, knobs, CONTEXT).total * profile.gpus > bare_weights(entry, known, storage)


# measured, and kept


def test_a_measured_claim_keeps_what_comes_and_goes() -> None:
    computed = claim(spec(gib=8, vllm={}), "vllm", PROFILE, CONTEXT)
    found = measured(computed, 7 * GIB)
    sizes = {line.label: line.size for line in computed.lines}
    assert found.total == 7 * GIB + sizes["activation"] + sizes["margin"]
    assert (found.kv_cache, found.outside) == (computed.kv_cache, computed.outside)
    assert found.lines[0].label == "measured when ready"


def test_a_measured_claim_keeps_the_loading_peak() -> None:
    modules = [
        {"part": "language", "kind": "embedding", "count": 10**9},
        {"part": "language", "kind": "linear", "count": 8, "rows": 1, "matrices": 1},
    ]
    computed = claim(spec(parameters={"total": 10**9 + 8, "modules": modules}), "transformers", PROFILE, CONTEXT)
    sizes = {line.label: line.size for line in computed.lines}
    assert measured(computed, GIB).total == GIB + sizes["activation"] + sizes["loading peak"]


def test_what_runs_keeps_its_claim() -> None:
    computed = claim(spec(), "transformers", PROFILE, CONTEXT)
    assert kept(computed.total, computed) == computed
    found = kept(5 * GIB, computed)
    assert (found.total, found.kv_cache, found.outside) == (5 * GIB, computed.kv_cache, computed.outside)
