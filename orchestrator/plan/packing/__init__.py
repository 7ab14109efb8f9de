"""Packs models on GPUs: how to run each and where. Pure, deterministic, and quick: no solver, no clock.

What counts, in this order: for each priority from high to low how many models are placed; the sum of their values; how
few tensor-parallel groups are split over fast links; then for "pack" how few GPUs are used and for "spread" how small
the largest share of a GPU is; last the total size. Models that run already are no items: their claims are off ``room``.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.plan.packing.gather import Budget
from orchestrator.plan.packing.load import Problem
from orchestrator.plan.packing.place import place
from orchestrator.plan.packing.settle import settle
from orchestrator.plan.packing.upgrade import upgrade
from orchestrator.plan.packing.values import Bin, Chosen, Item, Packing, Score, Strategy, Way, score

__all__ = ["Bin", "Chosen", "Item", "Packing", "Score", "Strategy", "Way", "pack", "score"]

#: work for each of the three parts, in steps of about 0.2 us: some, and some more for each pair of a model and a GPU
STEPS, STEPS_PER_PAIR = 150_000, 10


def pack(items: Sequence[Item], bins: Sequence[Bin], *, strategy: Strategy = "pack") -> Packing:
    """Ways and GPUs for these models, by name; models that can't be placed are absent."""
    problem = Problem(items, bins)
    steps = STEPS + STEPS_PER_PAIR * len(items) * len(bins)
    load = place(problem, Budget(steps))
    load = upgrade(load, Budget(steps))
    return settle(load, strategy, Budget(steps)).chosen()
