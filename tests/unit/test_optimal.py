"""The exact improver: never worse than what it starts from, and the best where that can be counted out."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

import pytest

from orchestrator.plan import optimal
from orchestrator.plan.packing import Bin, Item, Strategy, Way, pack, score
from tests.unit.test_packing import assert_possible, most_placed, small_request

# The extra may be left out, but not where it is decided whether a change is good.
needed = pytest.mark.skipif(not optimal.available() and "CI" not in os.environ, reason="ortools is not installed")


@needed
@pytest.mark.parametrize("strategy", ["pack", "spread"])
def test_never_worse_and_places_the_most_there_is(strategy: Strategy) -> None:
    rng = random.Random(2)  # noqa: S311
    for _ in range(25):
        items, bins = small_request(rng, (1, 1, 2))
        start = pack(items, bins, strategy=strategy)
        better = optimal.improve(items, bins, start, strategy=strategy, limit=1)
        assert_possible(items, bins, better)
        assert score(items, bins, better, strategy) >= score(items, bins, start, strategy)
        assert len(better) == most_placed(items, bins)


@needed
@pytest.mark.parametrize("strategy", ["pack", "spread"])
def test_from_nothing_it_finds_what_the_heuristic_finds(strategy: Strategy) -> None:
    rng = random.Random(3)  # noqa: S311
    for _ in range(10):
        items, bins = small_request(rng, (1, 1, 2))
        alone = optimal.improve(items, bins, {}, strategy=strategy, limit=2)
        ours = pack(items, bins, strategy=strategy)
        # The largest share is counted in thousandths.
        assert score(items, bins, alone, strategy)[:3] >= score(items, bins, ours, strategy)[:3]


@needed
def test_the_same_request_gets_the_same_answer() -> None:
    items, bins = small_request(random.Random(4), (1, 2))  # noqa: S311
    first = optimal.improve(items, bins, {}, limit=1)
    again = optimal.improve(items[::-1], bins[::-1], {}, limit=1)
    assert first == again


@needed
@pytest.mark.parametrize(
    ("items", "bins"), [([], []), ([], [Bin("a", 1)]), ([Item("m", ()), Item("n", (Way(9, 1),))], [])]
)
def test_nothing_to_do(items: Sequence[Item], bins: Sequence[Bin]) -> None:
    assert optimal.improve(items, bins, pack(items, bins), limit=1) == {}


@needed
def test_priorities_come_before_numbers_and_values() -> None:
    bins = [Bin("a", 10)]
    items = [Item("high", (Way(10, 0),), 1), *(Item(name, (Way(5, 9),)) for name in "xy")]
    assert optimal.improve(items, bins, {}, limit=1).keys() == {"high"}


def test_without_the_extra_the_start_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimal, "available", lambda: False)
    items, bins = small_request(random.Random(5), (1,))  # noqa: S311
    start = pack(items, bins)
    assert optimal.improve(items, bins, start) is start
