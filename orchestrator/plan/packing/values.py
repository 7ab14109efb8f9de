"""What is packed into what: items with several ways to run, GPUs with room, and how good a packing is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

Strategy = Literal["pack", "spread"]


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run a model: ``size`` bytes on each of ``width`` GPUs.

    ``value`` says how good it is: larger is better; values are summed over the models. ``bins`` are the ids of the GPUs
    allowed: None for any, empty for a way that needs no GPU (its size is 0 then). ``width`` above 1 is tensor
    parallelism: GPUs of equal kind, of one group where that is possible.
    """

    size: int
    value: int
    bins: frozenset[str] | None = None
    width: int = 1

    def __post_init__(self) -> None:
        if self.size < 0 or self.width < 1:
            raise ValueError(f"a way needs a size of at least 0 and a width of at least 1: {self}")
        if self.bins is not None and not self.bins and self.size:
            raise ValueError(f"a way without GPUs takes no memory of theirs: {self}")


@dataclass(frozen=True, slots=True)
class Item:
    """One model: its ways in any order, and its priority (larger comes first)."""

    name: str
    ways: tuple[Way, ...]
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Bin:
    """One GPU: ``room`` bytes are free for newcomers.

    ``kind`` is equal for GPUs that tensor parallelism may join (model and total memory); ``group`` names GPUs with a
    fast link between them (one NVLink domain).
    """

    id: str
    room: int
    kind: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The way an item runs, and the ids of its GPUs, sorted; none for a way without GPUs."""

    way: Way
    bins: tuple[str, ...]


Packing = Mapping[str, Chosen]
#: larger is better: items placed by priority, value, groups split, GPUs used or the largest share, total size
Score = tuple[tuple[int, ...], int, int, Fraction, int]


def score(items: Sequence[Item], bins: Sequence[Bin], chosen: Packing, strategy: Strategy) -> Score:
    """How good a packing of these items is. Only scores of the same items, GPUs and strategy can be compared."""
    placed = Counter(item.priority for item in items if item.name in chosen)
    counts = tuple(placed[level] for level in sorted({item.priority for item in items}, reverse=True))
    value = sum(c.way.value for c in chosen.values())
    used = loads(chosen)
    cost = Fraction(len(used)) if strategy == "pack" else largest_share(bins, used)
    return counts, value, -splits(chosen, {b.id: b.group for b in bins}), -cost, -sum(used.values())


def splits(chosen: Packing, group: Mapping[str, str]) -> int:
    """The tensor-parallel models whose GPUs are of several groups."""
    return sum(len({group[b] for b in c.bins}) > 1 for c in chosen.values())


def loads(chosen: Packing) -> dict[str, int]:
    """The bytes taken on each GPU that is used."""
    used: dict[str, int] = {}
    for c in chosen.values():
        for b in c.bins:
            used[b] = used.get(b, 0) + c.way.size
    return used


def largest_share(bins: Sequence[Bin], used: Mapping[str, int]) -> Fraction:
    """The largest part of a GPU's room that is taken."""
    return max((Fraction(used[b.id], b.room) for b in bins if used.get(b.id, 0)), default=Fraction(0))
