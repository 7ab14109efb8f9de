"""The exact improver: CP-SAT of OR-tools, seeded with the heuristic's packing. An optional extra, ``[optimal]``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from math import ceil, gcd
from typing import Any

from orchestrator.plan.packing import Bin, Chosen, Item, Packing, Strategy, Way, score
from orchestrator.plan.packing.values import largest_share, loads, splits

#: wall time, as a multiple of the limit, after which a machine far slower than CP-SAT's model of one is stopped
WALL = 4
#: variables beyond which building the model alone takes seconds
MOST_VARIABLES = 200_000
#: parts of a GPU in which the largest share is counted
PARTS = 1000


def available() -> bool:
    """Whether the extra is installed."""
    return find_spec("ortools") is not None


def improve(
    items: Sequence[Item], bins: Sequence[Bin], start: Packing, *, strategy: Strategy = "pack", limit: float = 2.0
) -> Packing:
    """A packing at least as good as ``start``, which must be one of these items; without the extra, ``start``.

    ``limit`` is in CP-SAT's deterministic seconds, about those of a fast machine: the same request gets the same
    answer, unless the machine is so slow that the guard by wall time stops it. What counts is improved in its order:
    each goal gets half the time that is left, and the next ones keep what it reached.
    """
    items, bins = sorted(items, key=lambda i: i.name), sorted(bins, key=lambda b: b.id)
    if not available() or sum(len(i.ways) for i in items) * (len(bins) + 1) > MOST_VARIABLES:
        return start
    model = _Model(items, bins)
    best = start
    for goal in model.goals(strategy):
        if goal.reached(best) < goal.bound:
            found, spent = model.solve(goal, best, limit / 2)
            limit -= spent
            best = max(best, found, key=lambda packing: score(items, bins, packing, strategy))
        model.model.add(goal.expression >= goal.reached(best))
    return best


@dataclass(frozen=True, slots=True)
class _Goal:
    """A linear expression to be made as large as possible, its value for a packing, and a bound that none exceeds."""

    expression: Any
    reached: Callable[[Packing], int]
    bound: int


@dataclass(frozen=True, slots=True)
class _Choice:
    """The variables of one way of one item: whether it is chosen, and on which GPUs."""

    item: Item
    way: Way
    chosen: Any
    on: dict[str, Any]


class _Model:
    """Items and GPUs as a model of CP-SAT. Sizes are divided by what they have in common, so nothing is rounded up."""

    def __init__(self, items: Sequence[Item], bins: Sequence[Bin]) -> None:
        from ortools.sat.python import cp_model  # noqa: PLC0415  # the extra may be missing

        self.cp = cp_model
        self.model: Any = cp_model.CpModel()
        self.items, self.bins = items, bins
        self.unit = gcd(*(way.size for item in items for way in item.ways)) or 1
        self.rooms = {b.id: max(0, b.room) // self.unit for b in bins}
        self.choices = [self._choice(item, way) for item in items for way in dict.fromkeys(item.ways)]
        self.splits = [s for choice in self.choices if choice.way.width > 1 for s in self._join(choice)]
        for item in items:
            self.model.add_at_most_one(c.chosen for c in self.choices if c.item is item)
        for b in bins:
            self.model.add(self._load(b.id) <= self.rooms[b.id])

    def _choice(self, item: Item, way: Way) -> _Choice:
        chosen = self.model.new_bool_var("")
        ids = self.rooms if way.bins is None else sorted(way.bins & self.rooms.keys())
        fitting = [b for b in ids if way.size // self.unit <= self.rooms[b]]
        on = {b: self.model.new_bool_var("") for b in fitting}
        if way.bins != frozenset():
            self.model.add(sum(on.values()) == way.width * chosen)
        return _Choice(item, way, chosen, on)

    def _join(self, choice: _Choice) -> Iterator[Any]:
        """GPUs of one kind; yields a variable that is 1 where they are of several groups."""
        kinds = self._touched(choice, lambda b: b.kind)
        self.model.add(sum(kinds) <= 1)
        groups = self._touched(choice, lambda b: b.group)
        split = self.model.new_bool_var("")
        self.model.add(sum(groups) <= 1 + choice.way.width * split)
        yield split

    def _touched(self, choice: _Choice, name: Callable[[Bin], str]) -> list[Any]:
        names = {b.id: name(b) for b in self.bins if b.id in choice.on}
        touched = {each: self.model.new_bool_var("") for each in sorted(set(names.values()))}
        for b, on in choice.on.items():
            self.model.add_implication(on, touched[names[b]])
        return list(touched.values())

    def _load(self, b: str) -> Any:
        return sum(c.on[b] * (c.way.size // self.unit) for c in self.choices if b in c.on and c.way.size)

    def goals(self, strategy: Strategy) -> Iterator[_Goal]:
        """What counts, in its order, as in ``score``."""
        for level in sorted({item.priority for item in self.items}, reverse=True):
            names = {item.name for item in self.items if item.priority == level}
            chosen = sum(c.chosen for c in self.choices if c.item.name in names)
            yield _Goal(chosen, partial(_count, names), len(names))
        most = sum(max((way.value for way in item.ways), default=0) for item in self.items)
        yield _Goal(sum(c.chosen * c.way.value for c in self.choices), _value, most)
        group = {b.id: b.group for b in self.bins}
        yield _Goal(-sum(self.splits), lambda packing: -splits(packing, group), 0)
        yield self._fewer() if strategy == "pack" else self._even()
        size = sum(c.chosen * (c.way.size // self.unit * c.way.width) for c in self.choices)
        yield _Goal(-size, lambda packing: -sum(loads(packing).values()) // self.unit, 0)

    def _fewer(self) -> _Goal:
        used = {b: self.model.new_bool_var("") for b in self.rooms}
        for choice in self.choices:
            for b, on in choice.on.items():
                self.model.add_implication(on, used[b])
        return _Goal(-sum(used.values()), lambda packing: -len(loads(packing)), 0)

    def _even(self) -> _Goal:
        share = self.model.new_int_var(0, PARTS, "")
        for b, room in self.rooms.items():
            self.model.add(self._load(b) * PARTS <= share * room)
        return _Goal(-share, lambda packing: -ceil(largest_share(self.bins, loads(packing)) * PARTS), 0)

    def solve(self, goal: _Goal, best: Packing, limit: float) -> tuple[Packing, float]:
        """The best packing found for one goal, and the deterministic seconds spent; ``best`` where none was."""
        self.model.maximize(goal.expression)
        self._hint(best)
        solver = self.cp.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = 1
        solver.parameters.max_deterministic_time = limit
        solver.parameters.max_time_in_seconds = WALL * limit
        status = solver.solve(self.model)
        found = self._found(solver) if status in (self.cp.OPTIMAL, self.cp.FEASIBLE) else best
        return found, solver.response_proto.deterministic_time

    def _hint(self, packing: Packing) -> None:
        self.model.clear_hints()
        for choice in self.choices:
            now = packing.get(choice.item.name)
            bins = now.bins if now is not None and now.way == choice.way else None
            self.model.add_hint(choice.chosen, bins is not None)
            for b, on in choice.on.items():
                self.model.add_hint(on, b in (bins or ()))

    def _found(self, solver: Any) -> Packing:
        return {
            c.item.name: Chosen(c.way, tuple(sorted(b for b, on in c.on.items() if solver.boolean_value(on))))
            for c in self.choices
            if solver.boolean_value(c.chosen)
        }


def _count(names: set[str], packing: Packing) -> int:
    return len(names & packing.keys())


def _value(packing: Packing) -> int:
    return sum(choice.way.value for choice in packing.values())
