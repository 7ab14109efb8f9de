"""Placing as many items as possible, each in its smallest way: best fit decreasing, then repair.

Best fit decreasing fills the large items first and strands the last few. Where memory is short, more are placed by
leaving out the largest items of the priority at hand (a search for the fewest), by placing a smaller one instead of a
larger one, and by gathering what is left over on one GPU (see ``gather``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from orchestrator.plan.packing.gather import Budget, make_room
from orchestrator.plan.packing.load import Load, Problem

#: steps of trying one item instead of another
SWAP = 40
#: packings from scratch with what was missing coming first
ROUNDS = 12


def place(problem: Problem, budget: Budget) -> Load:
    """A packing that places as many items as it can, those of higher priority first."""
    order = sorted((item for item in range(len(problem.items)) if problem.options[item]), key=problem.decreasing)
    plain = Load(problem)
    fill(plain, order)
    if len(plain.at) == len(order):
        return plain
    load = Load(problem)
    for _, level in groupby(order, key=lambda item: problem.items[item].priority):
        load = _level(load, list(level), budget)
    return max(load, plain, key=counts)


def counts(load: Load) -> list[int]:
    """Items placed by priority, the highest first."""
    items = load.problem.items
    found = Counter(items[item].priority for item in load.at)
    return [found[level] for level in sorted({item.priority for item in items}, reverse=True)]


def fill(load: Load, order: Iterable[int]) -> None:
    """Best fit: each item in the smallest way that fits, on the GPU with the least left; the rest stay out."""
    for item in order:
        for option in load.problem.options[item]:
            bins = load.find(option)
            if bins is not None:
                load.put(item, option, bins)
                break


def _level(load: Load, level: Sequence[int], budget: Budget) -> Load:
    """Adds the items of one priority. Those placed before may move, but stay placed."""
    best = load.copy()
    fill(best, level)
    if len(best.at) == len(load.at) + len(level):
        return best
    best = _leave_out(best, set(load.at), level, budget)
    repair(best, [item for item in level if item not in best.at], budget)
    found = _missing_first(best, set(load.at), level, budget)
    if found is not best:
        repair(found, [item for item in level if item not in found.at], budget)
    return found


def _missing_first(best: Load, kept: set[int], level: Sequence[int], budget: Budget) -> Load:
    """The best packing found from scratch when what was missing the last time comes first."""
    problem = best.problem
    load = best
    order = sorted(kept.union(level), key=problem.harder)
    for _ in range(ROUNDS):
        missing = {item for item in order if item not in load.at}
        if not missing or not budget.spend(40 * len(order)):
            break
        order.sort(key=lambda item: item not in missing)
        load = Load(problem)
        fill(load, order)
        if kept <= load.at.keys() and len(load.at) > len(best.at):
            best = load
    return best


def _leave_out(best: Load, kept: set[int], level: Sequence[int], budget: Budget) -> Load:
    """The best packing found from scratch when some of the level's largest items come last."""
    problem = best.problem
    by_size = sorted(level, key=problem.least, reverse=True)
    low, high = 0, len(by_size)
    out = 0
    while low <= high and budget.spend(40 * len(problem.items)):
        last = by_size[:out]
        load = Load(problem)
        fill(load, sorted(kept.union(by_size[out:]), key=problem.harder))
        complete = len(load.at) == len(kept) + len(by_size) - out
        fill(load, reversed(last))
        if kept <= load.at.keys() and len(load.at) > len(best.at):
            best = load
        low, high = (low, out - 1) if complete else (out + 1, high)
        # Few are left out, as a rule: double first, then halve what is left between.
        out = min(2 * out + 1, high) if high == len(by_size) else (low + high) // 2
    return best


def repair(load: Load, missing: Sequence[int], budget: Budget) -> None:
    """Places more of the missing items, and smaller ones instead of larger ones of the same priority."""
    waiting = sorted(missing, key=load.problem.least)
    while waiting:
        item = waiting.pop(0)
        if make_room(load, item, budget):
            continue
        larger = _instead(load, item, budget)
        if larger is None:
            break
        waiting = sorted([*waiting, larger], key=load.problem.least)


def _instead(load: Load, item: int, budget: Budget) -> int | None:
    """Puts an item in the place of the largest one of its priority that is larger; returns that one."""
    problem = load.problem
    least, priority = problem.options[item][0].total, problem.items[item].priority
    larger = [
        (-option.total, other)
        for other, (option, _) in load.at.items()
        if option.total > least and problem.items[other].priority == priority
    ]
    for size, other in sorted(larger):
        if not budget.spend(SWAP):
            break
        before, where = load.take(other)
        for option in problem.options[item]:
            bins = load.find(option) if option.total < -size else None
            if bins is not None:
                load.put(item, option, bins)
                return other
        load.put(other, before, where)
    return None
