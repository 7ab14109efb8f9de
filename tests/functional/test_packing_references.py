"""Packing against committed results of CP-SAT: tight random requests, by .ci/packing-references."""

from __future__ import annotations

import os

import pytest

from orchestrator.plan import optimal
from orchestrator.plan.packing import pack, score
from tests.functional.packing import SIZES, references, request


@pytest.mark.parametrize(("models", "gpus"), SIZES)
def test_places_at_least_97_percent_of_what_cp_sat_places(models: int, gpus: int) -> None:
    known = list(references(models, gpus))
    ours = [len(pack(each.items, each.bins)) for each in known]
    assert sum(ours) >= 0.97 * sum(each.placed for each in known)
    assert all(0.95 * each.placed <= mine <= each.bound for mine, each in zip(ours, known, strict=True))


@pytest.mark.skipif(not optimal.available() and "CI" not in os.environ, reason="ortools is not installed")
@pytest.mark.parametrize(("models", "gpus"), SIZES)
def test_with_the_extra_never_fewer_than_cp_sat_alone(models: int, gpus: int) -> None:
    each = min(references(models, gpus), key=lambda reference: reference.placed)
    start = pack(each.items, each.bins)
    better = optimal.improve(each.items, each.bins, start, limit=0.5)
    assert score(each.items, each.bins, better, "pack") >= score(each.items, each.bins, start, "pack")
    assert len(better) >= each.placed


def test_the_references_are_those_that_the_generator_makes() -> None:
    """So that the script that made them stays the source of them."""
    first = next(references(20, 4))
    assert (first.items, first.bins) == request(0, 20, 4, 1.02)
