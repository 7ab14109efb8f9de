"""The built-in entries' parameter tables, against sizes that were computed elsewhere and against plain formulas.

``.ci/parameter-tables --check`` compares the tables with the modules themselves; it needs PyTorch, these tests don't.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from orchestrator.adapters.registry_files import load_registry
from orchestrator.memory import kv_per_token
from orchestrator.registry.spec import ENGINES, ModelSpec
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


def test_the_demo_takes_what_it_took_with_bitsandbytes() -> None:
    """Bytes of all tensors of that architecture, loaded by Transformers 5.23.0, bitsandbytes 0.50.2, on a CPU."""
    found = load_registry().get("demo").parameters
    assert weight_bytes(found, "16bit") == 1_336_320
    assert weight_bytes(found, "int8") == 890_880
    assert weight_bytes(found, "int8", SEES) == 1_049_600
    assert weight_bytes(found, "nf4") == 678_400


@pytest.mark.parametrize("name", SIZES)
def test_the_cache_of_a_token_is_known_to_the_byte(name: str) -> None:
    spec = load_registry().get(name)
    for engine in filter(None, (spec.engine(engine) for engine in ENGINES)):
        assert kv_per_token(spec, engine) == SIZES[name][4] * 1024


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
            tokens = spec.images.limited(engine.smallest.max_pixels).tokens
            assert length >= tokens + spec.prompt.max_tokens, spec.name
