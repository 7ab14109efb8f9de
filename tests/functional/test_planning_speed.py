"""How long a large plan takes. The figure to reach (100 ms for the packing) is timed by ``make bench``, not here."""

from __future__ import annotations

import time

import pytest

from orchestrator.adapters.registry_files import load_registry
from orchestrator.inventory import MIB, Gpu, Host
from orchestrator.observation import Observation
from orchestrator.plan.placement import place
from orchestrator.plan.request import Request
from orchestrator.registry.spec import ModelSpec, Transformers, Vllm


def clones(number: int) -> tuple[ModelSpec, ...]:
    """The built-in models over and over, each with a name and ports of its own."""
    models = [spec for spec in load_registry().models.values() if spec.name != "demo"]
    return tuple(_clone(models[at % len(models)], at) for at in range(number))


def _clone(spec: ModelSpec, at: int) -> ModelSpec:
    engines = {
        "vllm": _moved(spec.engines.vllm, 10_000 + 2 * at),
        "transformers": _moved(spec.engines.transformers, 10_001 + 2 * at),
    }
    return spec.model_copy(update={"name": f"{spec.name}-{at:04}", "engines": spec.engines.model_copy(update=engines)})


def _moved(engine: Vllm | Transformers | None, port: int) -> Vllm | Transformers | None:
    return engine and engine.model_copy(update={"port": port})


@pytest.mark.parametrize(("models", "gpus", "memory_gib", "seconds"), [(100, 64, 16, 3), (1000, 512, 24, 30)])
def test_a_large_fleet_is_planned_at_once(models: int, gpus: int, memory_gib: int, seconds: float) -> None:
    """The bound is thirty times what it takes on a quiet machine: it only catches work that grows too fast."""
    specs = clones(models)
    cards = tuple(Gpu(f"GPU-{at:03}", "A card", memory_gib * 1024 * MIB, None) for at in range(gpus))
    request = Request(tuple(spec.name for spec in specs), allow_unpinned=True)
    begun = time.perf_counter()
    found = place(specs, request, Host("large", cards), Observation())
    took = time.perf_counter() - begun
    print(f"{models} models on {gpus} GPUs: {1000 * took:.0f} ms")
    assert len(found.fleet) == models
    assert took < seconds
