"""The built-in entries' parameter tables, against sizes that were computed elsewhere and against plain formulas.

``.ci/parameter-tables --check`` compares the tables with the modules themselves; it needs PyTorch, these tests don't.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from orchestrator.adapters.registry_files import load_registry
from orchestrator.memory import bare_weights, claim, kv_per_token
from orchestrator.profile import Profile, ladder
from orchestrator.registry.spec import ENGINES, EngineName, ModelSpec
from orchestrator.registry.weights import Kind, Module, Part, weight_bytes

GIB = 2**30
SEES: frozenset[Part] = frozenset({"vision", "projector"})

#: Counted on the meta device before the registry had tables, and kept as it was:
#: parameters, GiB in 16 bit, in 8 bit, in 8 bit with what sees in 16 bit; KiB of cache per token
SIZES = {
    "dots-ocr": (3_039_179_264, 5.66, 3.27, 4.44, 28),
    "got-ocr2": (560_528_640, 1.04, 0.68, 0.76, 96),
    "qwen2-vl-2b": (2_208_985_600, 4.11, 2.28, 2.90, 28),
    "qwen2-vl-7b": (8_291_375_616, 15.44, 8.75, 9.37, 56),
    "phi-3-5-vision": (4_146_621_440, 7.72, 4.05, 4.35, 384),
    "phi-3-vision": (4_146_621_440, 7.72, 4.05, 4.35, 384),
    "internvl2-2b": (2_205_754_368, 4.11, 2.41, 2.70, 96),
    "moondream2": (1_927_237_104, 3.59, 1.99, 2.41, 192),
}
#: parameters that only images use
VISION = {
    "dots-ocr": 1_262_091_264,
    "got-ocr2": 96_618_752,
    "qwen2-vl-2b": 665_271_296,
    "qwen2-vl-7b": 675_759_104,
    "phi-3-5-vision": 325_541_888,
    "phi-3-vision": 325_541_888,
    "internvl2-2b": 316_607_488,
    "moondream2": 448_649_072,
}


@dataclass(frozen=True)
class Text:
    """The shapes of a language model that the registry does not hold. ``gates``: matrices from hidden to MLP size."""

    inner: int
    heads: int
    gates: int = 2
    tied: bool = False


@dataclass(frozen=True)
class Tower:
    """A vision tower: layers, width and MLP size. ``first``: inputs of patches that a linear layer takes in."""

    layers: int
    width: int
    inner: int
    gates: int = 1
    first: int = 0


TEXT = {
    "dots-ocr": Text(8960, 12),
    "got-ocr2": Text(2816, 16, tied=True),
    "qwen2-vl-2b": Text(8960, 12, tied=True),
    "qwen2-vl-7b": Text(18944, 28),
    "phi-3-5-vision": Text(8192, 32),
    "phi-3-vision": Text(8192, 32),
    "internvl2-2b": Text(8192, 16),
    "moondream2": Text(8192, 32, gates=1),
}
TOWER = {
    "dots-ocr": Tower(42, 1536, 4224, gates=2),
    "got-ocr2": Tower(12, 768, 3072),
    "qwen2-vl-2b": Tower(32, 1280, 5120),
    "qwen2-vl-7b": Tower(32, 1280, 5120),
    "phi-3-5-vision": Tower(24, 1024, 4096),
    "phi-3-vision": Tower(24, 1024, 4096),
    "internvl2-2b": Tower(24, 1024, 4096),
    "moondream2": Tower(27, 1152, 4304, first=3 * 14 * 14),
}


def row(spec: ModelSpec, part: Part, kind: Kind) -> Module:
    return next(m for m in spec.parameters.modules if (m.part, m.kind) == (part, kind))


@pytest.mark.parametrize("name", SIZES)
def test_the_tables_make_the_known_sizes(name: str) -> None:
    spec = load_registry().get(name)
    parameters, plain, int8, int8_but_vision, _ = SIZES[name]
    found = spec.parameters
    assert (found.total, found.vision) == (parameters, VISION[name])
    assert weight_bytes(found, "16bit") == 2 * parameters
    for size, expected in (
        (weight_bytes(found, "16bit"), plain),
        (weight_bytes(found, "int8"), int8),
        (weight_bytes(found, "int8", SEES), int8_but_vision),
    ):
        assert round(size / GIB, 2) == expected


def test_the_demo_takes_what_it_took() -> None:
    """Bytes of all tensors, converted by bitsandbytes 0.50.2 and torchao 0.18.0 on a CPU."""
    found = load_registry().get("demo").parameters
    assert weight_bytes(found, "16bit") == 3_920_896
    assert weight_bytes(found, "int8") == 2_350_592
    assert weight_bytes(found, "int8", SEES) == 3_154_944
    assert weight_bytes(found, "int8", quantiser="torchao") == 2_359_424
    assert weight_bytes(found, "nf4") == 1_615_488


@pytest.mark.parametrize("name", SIZES)
def test_the_cache_of_a_token_is_known_to_the_byte(name: str) -> None:
    spec = load_registry().get(name)
    for engine in filter(None, (spec.engine(engine) for engine in ENGINES)):
        assert kv_per_token(spec, engine) == SIZES[name][4] * 1024


@pytest.mark.parametrize(
    ("name", "tokens", "gib"),
    [
        ("dots-ocr", 8192, 0.22),
        ("dots-ocr", 32768, 0.88),
        ("got-ocr2", 8192, 0.75),
        ("got-ocr2", 32768, 3.00),
        ("qwen2-vl-2b", 8192, 0.22),
        ("qwen2-vl-2b", 32768, 0.88),
        ("qwen2-vl-7b", 8192, 0.44),
        ("qwen2-vl-7b", 32768, 1.75),
        ("phi-3-5-vision", 8192, 3.00),
        ("phi-3-5-vision", 32768, 12.00),
        ("phi-3-vision", 32768, 12.00),
        ("internvl2-2b", 8192, 0.75),
        ("internvl2-2b", 32768, 3.00),
        ("moondream2", 2048, 0.38),
    ],
)
def test_the_cache_of_a_context_is_the_known_one(name: str, tokens: int, gib: float) -> None:
    profile = Profile(tokens, 1, None, "16bit")
    assert round(claim(load_registry().get(name), "transformers", profile, 0).kv_cache / GIB + 1e-9, 2) == gib


def every_profile() -> list[tuple[ModelSpec, EngineName, Profile]]:
    return [
        (spec, name, rung.profile)
        for spec in load_registry().models.values()
        for name in ENGINES
        if (engine := spec.engine(name))
        for rung in ladder(spec, engine)
    ]


def test_no_claim_is_below_the_bare_weights() -> None:
    assert len(every_profile()) > 300
    for spec, name, profile in every_profile():
        engine = spec.engine(name)
        assert engine
        found = claim(spec, name, profile, GIB // 2)
        assert found.total > bare_weights(spec, engine, profile.storage) + found.kv_cache, (spec.name, name, profile)
        assert all(line.source for line in found.lines)


def test_no_number_depends_on_a_name() -> None:
    for spec, name, profile in every_profile()[::7]:
        other = spec.model_copy(update={"name": "another", "title": "Another", "summary": "Another"})
        assert claim(other, name, profile, GIB) == claim(spec, name, profile, GIB)


@pytest.mark.parametrize(
    ("model", "engine", "pixels", "gib"),
    [
        ("dots-ocr", "vllm", 11289600, 9.2 + 0.6),
        ("qwen2-vl-2b", "vllm", 3211264, 5.6 + 0.6),
        ("qwen2-vl-7b", "vllm", 3211264, 17.2 + 0.6),
        ("phi-3-5-vision", "vllm", None, 11.7 + 0.6),
        ("internvl2-2b", "vllm", None, 5.8 + 0.6),
        ("dots-ocr", "transformers", 11289600, 8.0),
        ("got-ocr2", "transformers", None, 4.5),
        ("qwen2-vl-2b", "transformers", 3211264, 4.1),
        ("qwen2-vl-7b", "transformers", 3211264, 10.6),
        ("internvl2-2b", "transformers", None, 4.0),
        ("moondream2", "transformers", None, 3.8),
    ],
)
def test_the_planning_claims_of_the_notes(model: str, engine: EngineName, pixels: int | None, gib: float) -> None:
    """Estimated to 0.1 GiB before there was a planner: a sequence of 8k tokens on vLLM, of 4k in 8 bit on the other."""
    on_vllm, in_8_bit = Profile(8192, 1, pixels, "16bit"), Profile(4096, 1, pixels, "int8")
    found = claim(load_registry().get(model), engine, on_vllm if engine == "vllm" else in_8_bit, int(0.6 * GIB))
    assert found.total / GIB == pytest.approx(gib, abs=0.1)


@pytest.mark.parametrize("name", TEXT)
def test_language_models_by_formula(name: str) -> None:
    spec, text = load_registry().get(name), TEXT[name]
    shape = spec.architecture
    hidden, keys = shape.hidden_size, shape.kv_heads * shape.head_size
    queries = text.heads * shape.head_size
    linear = row(spec, "language", "linear")
    of_a_layer = hidden * (queries + 2 * keys) + queries * hidden + (text.gates + 1) * hidden * text.inner
    assert linear.count == shape.layers * of_a_layer
    assert linear.rows == shape.layers * (queries + 2 * keys + hidden + text.gates * text.inner + hidden)
    head, embedding = row(spec, "language", "head"), row(spec, "language", "embedding")
    assert shape.vocabulary
    assert embedding.count == shape.vocabulary * hidden
    assert (head.count, head.tied) == ((0, True) if text.tied else (embedding.count, False))
    assert (head.rows, head.matrices) == (shape.vocabulary, 1)


@pytest.mark.parametrize("name", TOWER)
def test_vision_towers_by_formula(name: str) -> None:
    linear, tower = row(load_registry().get(name), "vision", "linear"), TOWER[name]
    of_a_layer = 4 * tower.width**2 + (tower.gates + 1) * tower.width * tower.inner
    assert linear.count == tower.layers * of_a_layer + tower.first * tower.width
    rows_of_a_layer = 5 * tower.width + tower.gates * tower.inner  # four of the attention, one of the MLP
    assert linear.rows == tower.layers * rows_of_a_layer + (tower.width if tower.first else 0)


def test_no_table_is_long() -> None:
    assert max(len(spec.parameters.modules) for spec in load_registry().models.values()) <= 10


def test_the_smallest_limits_hold_an_image_and_an_answer() -> None:
    for spec in load_registry().models.values():
        for engine in filter(None, (spec.engine(engine) for engine in ENGINES)):
            length = engine.smallest.max_model_len or engine.max_model_len
            tokens = spec.images.limited(engine.smallest.max_pixels, engine.smallest.max_tiles).tokens
            assert length >= tokens + spec.prompt.max_tokens, spec.name
