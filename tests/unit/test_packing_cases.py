"""Packing: single cases that a reader can check by eye."""

from __future__ import annotations

from fractions import Fraction

import pytest

from orchestrator.plan.packing import Bin, Chosen, Item, Strategy, Way, pack, score

CPU = Way(0, 0, bins=frozenset())


def item(name: str, *sizes: int, priority: int = 0, pin: str = "") -> Item:
    """Ways of these sizes, the larger the better."""
    pins = frozenset([pin]) if pin else None
    return Item(name, tuple(Way(size, value, pins) for value, size in enumerate(sorted(sizes))), priority)


def where(items: list[Item], bins: list[Bin], strategy: Strategy = "pack") -> dict[str, tuple[int, tuple[str, ...]]]:
    """The size and the GPUs of each item that is placed."""
    return {name: (c.way.size, c.bins) for name, c in pack(items, bins, strategy=strategy).items()}


def test_one_newcomer_goes_where_the_least_is_left_and_its_best_way_fits() -> None:
    bins = [Bin("a", 80), Bin("b", 30), Bin("c", 10)]
    assert where([item("m", 8, 20)], bins) == {"m": (20, ("b",))}


def test_one_newcomer_is_spread_to_the_emptiest() -> None:
    bins = [Bin("a", 80), Bin("b", 30), Bin("c", 10)]
    assert where([item("m", 8, 20)], bins, "spread") == {"m": (20, ("a",))}


def test_a_smaller_way_makes_room_for_another_model() -> None:
    assert where([item("m", 8, 20), item("n", 8, 20)], [Bin("a", 24)]) == {"m": (8, ("a",)), "n": (8, ("a",))}


def test_the_most_value_per_byte_is_bought_first() -> None:
    dear, cheap = Item("dear", (Way(8, 0), Way(16, 1))), Item("cheap", (Way(8, 0), Way(12, 1)))
    assert where([dear, cheap], [Bin("a", 23)]) == {"dear": (8, ("a",)), "cheap": (12, ("a",))}


def test_a_pin_is_kept_and_the_others_make_way() -> None:
    bins = [Bin("a", 10), Bin("b", 10)]
    items = [item("pinned", 8, pin="b"), item("free", 9)]
    assert where(items, bins) == {"pinned": (8, ("b",)), "free": (9, ("a",))}


def test_a_pin_to_a_gpu_that_does_not_exist_is_not_placed() -> None:
    assert where([item("m", 1, pin="gone")], [Bin("a", 10)]) == {}


def test_the_higher_priority_is_placed_even_instead_of_two_others() -> None:
    items = [item("large", 10, priority=1), item("x", 5), item("y", 5)]
    assert where(items, [Bin("a", 10)]) == {"large": (10, ("a",))}


def test_two_small_ones_rather_than_one_large_one_of_the_same_priority() -> None:
    assert where([item("large", 10), item("x", 5), item("y", 5)], [Bin("a", 10)]).keys() == {"x", "y"}


def test_what_is_left_on_two_gpus_is_gathered() -> None:
    """Best fit decreasing puts 6 in 8, then 5 and 3 in 10, and strands the last 3 with 2 left on each."""
    items = [item("a", 6), item("b", 5), item("c", 3), item("d", 3)]
    chosen = where(items, [Bin("x", 8), Bin("y", 10)])
    assert {name: bins for name, (_, bins) in chosen.items()} == {"a": ("y",), "b": ("x",), "c": ("x",), "d": ("y",)}


def test_tensor_parallelism_takes_equal_gpus_with_a_fast_link() -> None:
    bins = [Bin("a", 40, "L40", "1"), Bin("b", 40, "A100", "1"), Bin("c", 40, "A100", "2"), Bin("d", 40, "A100", "2")]
    assert where([Item("m", (Way(30, 1, width=2),))], bins) == {"m": (30, ("c", "d"))}


def test_tensor_parallelism_crosses_groups_rather_than_fail_but_never_kinds() -> None:
    bins = [Bin("a", 40, "A100", "1"), Bin("b", 40, "A100", "2"), Bin("c", 40, "L40", "2")]
    wide = Item("m", (Way(30, 1, width=2),))
    assert where([wide], bins) == {"m": (30, ("a", "b"))}
    assert where([Item("m", (Way(30, 1, width=3),))], bins) == {}


def test_a_model_goes_to_the_cpu_only_where_no_gpu_takes_it() -> None:
    items = [Item(name, (CPU, Way(6, 1))) for name in "mn"]
    assert where(items, [Bin("a", 10)]) == {"m": (6, ("a",)), "n": (0, ())}
    assert where(items, []) == {"m": (0, ()), "n": (0, ())}


def test_pack_leaves_the_larger_card_whole() -> None:
    bins = [Bin("large", 80), Bin("small", 24), Bin("tiny", 10)]
    items = [item("m", 8), item("n", 8), item("o", 8)]
    assert {bins for _, bins in where(items, bins).values()} == {("small",)}


def test_spread_takes_equal_shares() -> None:
    bins = [Bin("large", 80), Bin("small", 40)]
    items = [item(name, 10) for name in "mno"]
    chosen = pack(items, bins, strategy="spread")
    assert score(items, bins, chosen, "spread") == ((3,), 0, 0, Fraction(-1, 4), -30)


def test_the_score_counts_by_priority_then_value_then_gpus() -> None:
    items = [item("m", 4, 8, priority=1), item("n", 4)]
    bins = [Bin("a", 16), Bin("b", 16)]
    chosen = {"m": Chosen(items[0].ways[1], ("a",)), "n": Chosen(items[1].ways[0], ("b",))}
    assert score(items, bins, chosen, "pack") == ((1, 1), 1, 0, Fraction(-2), -12)
    assert score(items, bins, chosen, "spread") == ((1, 1), 1, 0, Fraction(-1, 2), -12)


def test_a_gpu_without_room_takes_nothing() -> None:
    assert where([item("m", 1)], [Bin("a", -5), Bin("b", 0)]) == {}


@pytest.mark.parametrize("wrong", [{"size": -1}, {"size": 1, "width": 0}, {"size": 1, "bins": frozenset[str]()}])
def test_a_way_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="a way"):
        Way(**{"value": 1, **wrong})  # type: ignore[arg-type]


def test_names_and_ids_are_unique() -> None:
    with pytest.raises(ValueError, match="of its own"):
        pack([item("m", 1), item("m", 2)], [Bin("a", 10)])
    with pytest.raises(ValueError, match="of its own"):
        pack([], [Bin("a", 10), Bin("a", 20)])
