"""Packing against committed results of CP-SAT: tight random requests, by .ci/packing-references."""

from __future__ import annotations

import pytest

from orchestrator.plan.packing import pack
from tests.functional.packing import SIZES, references, request


@pytest.mark.parametrize(("models", "gpus"), SIZES)
def test_places_at_least_97_percent_of_what_cp_sat_places(models: int, gpus: int) -> None:
    known = list(references(models, gpus))
    ours = [len(pack(each.items, each.bins)) for each in known]
    assert sum(ours) >= 0.97 * sum(each.placed for each in known)
    assert all(0.95 * each.placed <= mine <= each.bound for mine, each in zip(ours, known, strict=True))


def test_the_references_are_those_that_the_generator_makes() -> None:
    """So that the script that made them stays the source of them."""
    first = next(references(20, 4))
    assert (first.items, first.bins) == request(0, 20, 4, 1.02)
