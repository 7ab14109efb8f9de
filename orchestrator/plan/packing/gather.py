"""Gathering what is left over on many GPUs on one of them, so that something else fits there.

The items of two GPUs are divided anew so that the one is as full as can be, which leaves the other emptier. Nothing
leaves the packing by it.
"""

from __future__ import annotations

from orchestrator.plan.packing.load import Load, Option

#: items of two GPUs that are divided anew at a time: each of 2^n divisions is looked at
DIVIDED = 10
#: steps of one division beside those of the sums
OVERHEAD = 32


class Budget:
    """Work that may still be done. It is counted, not timed, so that every machine finds the same packing."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def spend(self, steps: int) -> bool:
        """Whether there was any left before this."""
        self.steps -= steps
        return self.steps + steps > 0


def make_room(load: Load, item: int, budget: Budget) -> bool:
    """Places an item, moving others if need be; whether it could."""
    for option in load.problem.options[item]:
        bins = load.find(option)
        if bins is None:
            bins = gather(load, option, budget) if option.width == 1 else None
        if bins is not None:
            load.put(item, option, bins)
            return True
    return False


def gather(load: Load, option: Option, budget: Budget, most: int | None = None) -> tuple[int, ...] | None:
    """A GPU on which room for the option has been gathered; at most so many are tried, those with most left first."""
    rooms = load.problem.rooms
    targets = [at for at, room in enumerate(rooms) if room >= option.size and option.allows(at)]
    targets.sort(key=lambda at: (-load.left[at], at))
    for target in targets[:most]:
        if sum(load.left) < option.size or not budget.spend(len(rooms)):
            return None
        if _gather_on(load, target, option.size, budget):
            return (target,)
    return None


def _gather_on(load: Load, target: int, size: int, budget: Budget) -> bool:
    for left, other in reversed(load.by_left.copy()):
        if left == 0:
            break
        if other != target:
            divide(load, target, other, budget)
            if load.left[target] >= size:
                return True
    return False


def divide(load: Load, emptier: int, fuller: int, budget: Budget) -> None:
    """Moves items between two GPUs so that ``fuller`` holds as much as it can."""
    contents = load.content[emptier], load.content[fuller]
    if contents in load.problem.divided or budget.steps <= 0:
        return
    if not _divide(load, emptier, fuller, budget):
        load.problem.divided.add(contents)


def _divide(load: Load, emptier: int, fuller: int, budget: Budget) -> bool:
    """Whether there was something to gain."""
    movable = [
        (option.size, item)
        for at, other in ((emptier, fuller), (fuller, emptier))
        for item in sorted(load.held[at])
        if (option := load.at[item][0]).width == 1 and option.size and option.allows(other)
    ]
    movable = sorted(movable)[:DIVIDED]
    sums = [0]
    for size, _ in movable:
        sums += [size + s for s in sums]  # the position is the set of items, a bit each
    budget.spend(len(sums) + OVERHEAD)
    here = sum(size for size, item in movable if fuller in load.at[item][1])
    there = sum(size for size, _ in movable) - here
    most = load.left[fuller] + here
    # The emptier one takes the rest, which must fit as well.
    best = max((s for s in sums if s <= most), default=0)
    if best <= here or here + there - best > load.left[emptier] + there:
        return False
    wanted = sums.index(best)
    moves = []
    for bit, (_, item) in enumerate(movable):
        to = fuller if wanted >> bit & 1 else emptier
        if load.at[item][1] != (to,):
            moves.append((item, to))
    options = [load.take(item)[0] for item, _ in moves]
    for (item, to), option in zip(moves, options, strict=True):
        load.put(item, option, (to,))
    return True
