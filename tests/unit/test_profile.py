"""Profiles: how small an entry lets itself be made, and the words for it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from orchestrator.profile import BEST, STORAGES, Profile, changes, ladder, parse
from orchestrator.registry.spec import EngineName, ModelSpec, Vllm
from tests.builders import PROFILE, spec

UNIT = 784  # pixels of an image token


def tiled(draw: st.DrawFn) -> ModelSpec:
    """An entry whose images are cut into tiles."""
    most, extra, each = draw(st.integers(1, 40)), draw(st.integers(0, 2)), draw(st.integers(1, 50))
    least, tokens = draw(st.integers(1, most)), each * (most + extra)
    length = draw(st.integers(tokens + 1, 4096))
    smallest = {"max_model_len": draw(st.integers(each * (least + extra) + 1, length)), "max_tiles": least}
    images = {"tiles": {"most": most, "extra": extra, "argument": "max_tiles"}, "tokens": tokens, "patches": 4 * tokens}
    return spec(images=images, vllm={"max_model_len": length, "max_num_seqs": 4, "smallest": smallest})


@st.composite
def entries(draw: st.DrawFn) -> tuple[ModelSpec, EngineName]:
    """An entry with any limits that the registry takes, and one of its engines."""
    name: EngineName = draw(st.sampled_from(["vllm", "transformers"]))
    if name == "vllm" and draw(st.booleans()):
        return tiled(draw), name
    tokens = draw(st.integers(1, 2000))
    most = tokens * UNIT if draw(st.booleans()) else draw(st.integers(tokens, 10**6))
    least_tokens = draw(st.integers(1, tokens).filter(lambda least: least * most % tokens == 0))
    length = draw(st.integers(tokens + 1, 4096))
    sequences = draw(st.integers(1, 16))
    engine: dict[str, Any] = {
        "max_model_len": length,
        "max_num_seqs": sequences,
        "storages": draw(st.permutations(["16bit", "fp8" if name == "vllm" else "int8"])),
        "smallest": {
            "max_model_len": draw(st.integers(least_tokens + 1, length)),
            "max_pixels": least_tokens * most // tokens,
            "max_num_seqs": draw(st.integers(1, sequences)),
        },
    }
    if name == "vllm":
        engine["tensor_parallel"] = draw(st.sampled_from([[1], [1, 2], [2, 4, 1]]))
    images = {"max_pixels": most, "tokens": tokens, "patches": 4 * tokens}
    made = spec(images=images, vllm=engine) if name == "vllm" else spec(images=images, transformers=engine)
    return made, name


@given(entries())
def test_the_first_is_what_the_entry_asks_for_and_no_other_is_better(entry: tuple[ModelSpec, EngineName]) -> None:
    model, name = entry
    engine = model.engine(name)
    assert engine
    first, *others = ladder(model, engine)
    group = engine.tensor_parallel if isinstance(engine, Vllm) else (1,)
    assert first.profile.context == engine.max_model_len
    assert first.profile.sequences == engine.max_num_seqs
    assert first.profile.pixels == model.images.max_pixels
    assert first.profile.tiles == (model.images.tiles.most if model.images.tiles else None)
    assert first.profile.storage == engine.storages[0]
    assert first.profile.graphs
    assert first.profile.gpus == min(group)
    assert all(rung.value <= first.value <= BEST for rung in others)
    assert [rung.value for rung in others] == sorted((rung.value for rung in others), reverse=True)


@given(entries())
def test_all_are_within_the_entry_s_limits(entry: tuple[ModelSpec, EngineName]) -> None:
    model, name = entry
    engine = model.engine(name)
    assert engine
    least = engine.smallest
    rungs = ladder(model, engine)
    assert len({rung.profile for rung in rungs}) == len(rungs)
    for profile in (rung.profile for rung in rungs):
        assert (least.max_model_len or 0) <= profile.context <= engine.max_model_len
        assert least.max_num_seqs <= profile.sequences <= engine.max_num_seqs
        tokens = model.images.limited(profile.pixels, profile.tiles).tokens
        if model.images.tiles:
            assert profile.pixels is None
            assert (least.max_tiles or 0) <= (profile.tiles or 0) <= model.images.tiles.most
        else:
            assert profile.pixels
            assert profile.tiles is None
            assert (least.max_pixels or 0) <= profile.pixels <= (model.images.max_pixels or 0)
            assert profile.pixels == tokens * (model.images.max_pixels or 0) // model.images.tokens, "whole tokens"
        assert profile.storage in engine.storages
        assert profile.gpus in (engine.tensor_parallel if isinstance(engine, Vllm) else (1,))
        assert profile.context > tokens, "an image always fits"


@given(entries())
def test_the_smallest_of_every_limit_is_reached(entry: tuple[ModelSpec, EngineName]) -> None:
    model, name = entry
    engine = model.engine(name)
    assert engine
    least = engine.smallest
    found = {(p.context, p.sequences, p.pixels, p.tiles) for p in (rung.profile for rung in ladder(model, engine))}
    assert (least.max_model_len, least.max_num_seqs, least.max_pixels, least.max_tiles) in found


def test_what_an_entry_does_not_loosen_stays() -> None:
    engine = spec(vllm={"max_num_seqs": 4}).engines.vllm
    assert engine
    found = {(r.profile.context, r.profile.pixels, r.profile.storage) for r in ladder(spec(vllm={}), engine)}
    assert found == {(2048, None, "16bit")}


def test_fewer_sequences_give_way_before_context_images_graphs_and_bits() -> None:
    entry = spec(
        images={"max_pixels": 1024 * UNIT, "tokens": 1024},
        vllm={
            "max_num_seqs": 2,
            "storages": ["16bit", "fp8"],
            "tensor_parallel": [1, 2],
            "smallest": {"max_model_len": 1025, "max_pixels": 512 * UNIT},
        },
    )
    engine = entry.engines.vllm
    assert engine
    best = ladder(entry, engine)[0].profile
    single = [r.profile for r in ladder(entry, engine) if len(changes(best, r.profile)) == 1]
    assert [changes(best, profile)[0] for profile in single] == [
        "1 instead of 2 full-length sequences",
        "context 1,025 instead of 2,048 tokens",
        "images of 0.4 megapixels instead of 0.8 megapixels",
        "no CUDA graphs",
        "weights in fp8 instead of 16bit",
        "2 instead of 1 GPUs",
    ]


TILED = {"tiles": {"most": 12, "extra": 1, "argument": "max_dynamic_patch"}, "tokens": 13 * 100, "patches": 13 * 400}


def test_tiles_go_down_by_halves_and_cost_as_much_as_pixels() -> None:
    entry = spec(images=TILED, vllm={"smallest": {"max_tiles": 2}})
    assert entry.engines.vllm
    with_graphs = [rung for rung in ladder(entry, entry.engines.vllm) if rung.profile.graphs]
    assert [(rung.profile.tiles, rung.value) for rung in with_graphs] == [
        (12, BEST),
        (6, BEST - 10),
        (3, BEST - 20),
        (2, BEST - 26),
    ]
    assert changes(with_graphs[0].profile, with_graphs[2].profile) == ("3 instead of 12 tiles",)


def test_fewer_tiles_make_room_for_a_shorter_context() -> None:
    entry = spec(images=TILED, vllm={"smallest": {"max_tiles": 4, "max_model_len": 600}})
    assert entry.engines.vllm
    found = {(rung.profile.context, rung.profile.tiles) for rung in ladder(entry, entry.engines.vllm)}
    assert found == {(2048, 12), (2048, 6), (2048, 4), (1024, 6), (1024, 4), (600, 4)}


def test_tiles_are_in_the_label_only_where_the_model_has_them() -> None:
    assert str(Profile(2048, 1, None, "16bit")) == "context=2048 sequences=1 pixels=- weights=16bit graphs=on gpus=1"
    assert str(Profile(2048, 1, None, "16bit", tiles=12)) == (
        "context=2048 sequences=1 pixels=- tiles=12 weights=16bit graphs=on gpus=1"
    )


def test_on_transformers_there_are_no_graphs_to_give_up() -> None:
    engine = spec().engines.transformers
    assert engine
    assert [rung.profile for rung in ladder(spec(), engine)] == [PROFILE]


PROFILES = st.builds(
    Profile,
    st.integers(1, 10**7),
    st.integers(1, 1000),
    st.none() | st.integers(1, 10**9),
    st.sampled_from(STORAGES),
    st.booleans(),
    st.integers(1, 64),
    st.none() | st.integers(1, 100),
)


@given(PROFILES)
def test_a_label_names_its_profile(profile: Profile) -> None:
    assert parse(str(profile)) == profile


@given(PROFILES, PROFILES)
def test_two_profiles_are_alike_where_nothing_changes(one: Profile, other: Profile) -> None:
    assert not changes(one, one)
    assume(one != other)
    assert str(one) != str(other)
    assert changes(one, other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "context=1",
        "context=2048 sequences=1 pixels=- weights=int3 graphs=on gpus=1",
        "context=2048 sequences=1 pixels=- weights=16bit graphs=maybe gpus=1",
        "context=-1 sequences=1 pixels=- weights=16bit graphs=on gpus=1",
        "context=2048 sequences=1 pixels=- weights=16bit graphs=on gpus=1 ",
        "context=2048 sequences=1 pixels=- weights=16bit graphs=on gpus=1\n",
        "context=2048 sequences=1 pixels=- tiles=- weights=16bit graphs=on gpus=1",
    ],
)
def test_a_label_of_another_version_names_none(text: str) -> None:
    assert parse(text) is None


def test_the_words_for_graphs() -> None:
    eager = Profile(2048, 1, None, "16bit", graphs=False)
    assert changes(PROFILE, eager) == ("no CUDA graphs",)
    assert changes(eager, PROFILE) == ("CUDA graphs",)
