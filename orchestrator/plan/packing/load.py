"""The packing while it is being made: what is left on each GPU, who is where."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.plan.packing.values import Bin, Chosen, Item, Way


@dataclass(frozen=True, slots=True)
class Option:
    """A way with its GPUs as positions. ``allowed`` None: any GPU; empty: none needed."""

    way: Way
    size: int
    width: int
    value: int
    total: int
    allowed: frozenset[int] | None

    def allows(self, at: int) -> bool:
        """Whether it may use the GPU at this position."""
        return self.allowed is None or at in self.allowed

    def hardness(self, item: int) -> tuple[bool, int, int, int]:
        """Order by how hard to place: those bound to certain GPUs, those of several GPUs, the largest first."""
        return self.allowed is None, -self.width, -self.size, item


Place = tuple[Option, tuple[int, ...]]


class Problem:
    """Items and GPUs by position, sorted by name and id, so that the order of the request does not matter."""

    def __init__(self, items: Sequence[Item], bins: Sequence[Bin]) -> None:
        self.items = sorted(items, key=lambda item: item.name)
        self.bins = sorted(bins, key=lambda b: b.id)
        if len({i.name for i in items}) < len(items) or len({b.id for b in bins}) < len(bins):
            raise ValueError("each item needs a name of its own, and each GPU an id")
        self.rooms = [max(0, b.room) for b in self.bins]
        position = {b.id: at for at, b in enumerate(self.bins)}
        #: pairs of contents that can't be divided any better
        self.divided: set[tuple[int, int]] = set()
        #: counts the changes of every packing, so that each content of a GPU has a number of its own
        self.changes = 0
        empty = Load(self)
        #: the ways of each item that can work at all, the smallest first
        self.options = [
            [option for option in _options(item, position) if empty.find(option) is not None] for item in self.items
        ]

    def least(self, item: int) -> tuple[int, int]:
        """Order by the smallest way."""
        return self.options[item][0].total, -item

    def decreasing(self, item: int) -> tuple[int, int, int]:
        """Order by priority, then the largest first."""
        return -self.items[item].priority, -self.options[item][0].total, item

    def harder(self, item: int) -> tuple[bool, int, int, int]:
        """Order by how hard the smallest way is to place."""
        return self.options[item][0].hardness(item)


def _options(item: Item, position: Mapping[str, int]) -> list[Option]:
    options = []
    for way in sorted(item.ways, key=_smallest):
        allowed = None if way.bins is None else frozenset(position[b] for b in way.bins if b in position)
        options.append(Option(way, way.size, way.width, way.value, way.size * way.width, allowed))
    return options


def _smallest(way: Way) -> tuple[int, int, int, bool, list[str]]:
    return way.size * way.width, -way.value, way.width, way.bins is not None, sorted(way.bins or ())


class Load:
    """A packing of some of a problem's items. Nothing is ever over-committed: ``put`` follows a check."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.left = list(problem.rooms)
        #: the GPUs that are offered to items free to go anywhere
        self.by_left = sorted((left, at) for at, left in enumerate(self.left))
        self.closed: set[int] = set()
        #: equal numbers, equal contents, in copies too
        self.content = [-at for at in range(len(self.left))]
        self.held: list[set[int]] = [set() for _ in self.left]
        self.at: dict[int, Place] = {}

    def copy(self) -> Load:
        """The same packing, to be changed on its own."""
        other = Load.__new__(Load)
        other.problem = self.problem
        other.left = self.left.copy()
        other.by_left = self.by_left.copy()
        other.closed = self.closed.copy()
        other.content = self.content.copy()
        other.held = [held.copy() for held in self.held]
        other.at = self.at.copy()
        return other

    def put(self, item: int, option: Option, bins: tuple[int, ...]) -> None:
        """Place an item that is not placed."""
        self.at[item] = option, bins
        for at in bins:
            self.held[at].add(item)
            self._change(at, -option.size)

    def take(self, item: int) -> Place:
        """Remove an item; returns where it was."""
        option, bins = self.at.pop(item)
        for at in bins:
            self.held[at].remove(item)
            self._change(at, option.size)
        return option, bins

    def close(self, bins: Iterable[int]) -> None:
        """No longer offers these GPUs, until an item bound to one of them opens it."""
        self.closed.update(bins)
        self.by_left = [(left, at) for left, at in self.by_left if at not in self.closed]

    def reopen(self) -> None:
        """Offers every GPU again."""
        self.closed.clear()
        self.by_left = sorted((left, at) for at, left in enumerate(self.left))

    def _change(self, at: int, by: int) -> None:
        left = self.left[at]
        if at in self.closed:
            self.closed.remove(at)
        else:
            del self.by_left[bisect_left(self.by_left, (left, at))]
        self.left[at] = left + by
        self.problem.changes += 1
        self.content[at] = self.problem.changes
        insort(self.by_left, (left + by, at))

    def find(self, option: Option) -> tuple[int, ...] | None:
        """The GPUs where it fits best, that is with the least left; None where it does not fit."""
        if option.allowed is not None and not option.allowed:
            return () if option.way.bins == frozenset() else None
        if option.width > 1:
            return self.find_group(option)
        if option.allowed is None:
            found = bisect_left(self.by_left, (option.size, -1))
            return (self.by_left[found][1],) if found < len(self.by_left) else None
        best = min(((left, at) for at in option.allowed if (left := self.left[at]) >= option.size), default=None)
        return None if best is None else (best[1],)

    def fitting(self, option: Option) -> list[int]:
        """The GPUs that have the room, the one with the least left first."""
        if option.allowed is None:
            return [at for _, at in self.by_left[bisect_left(self.by_left, (option.size, -1)) :]]
        return [at for left, at in sorted((self.left[at], at) for at in option.allowed) if left >= option.size]

    def find_group(self, option: Option, *, emptiest: bool = False) -> tuple[int, ...] | None:
        """GPUs of one kind for a tensor-parallel option, with a fast link between all of them where possible."""
        bins = self.problem.bins
        fitting = self.fitting(option)
        if emptiest:
            fitting.reverse()
        linked = self._group(option.width, fitting, lambda at: (bins[at].kind, bins[at].group))
        return linked or self._group(option.width, fitting, lambda at: (bins[at].kind, ""))

    def _group(
        self, width: int, fitting: Sequence[int], key: Callable[[int], tuple[str, str]]
    ) -> tuple[int, ...] | None:
        groups: dict[tuple[str, str], list[int]] = {}
        for at in fitting:
            groups.setdefault(key(at), []).append(at)
        rank = {at: position for position, at in enumerate(fitting)}
        best = [found[:width] for found in groups.values() if len(found) >= width]
        return tuple(sorted(min(best, key=lambda g: sum(rank[at] for at in g)))) if best else None

    def chosen(self) -> dict[str, Chosen]:
        """The packing by names and ids."""
        items, bins = self.problem.items, self.problem.bins
        return {
            items[item].name: Chosen(option.way, tuple(bins[at].id for at in where))
            for item, (option, where) in sorted(self.at.items())
        }
