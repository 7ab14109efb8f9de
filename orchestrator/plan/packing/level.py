"""The strategy "spread": the largest share of a GPU that is taken becomes as small as can be."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.plan.packing.gather import Budget
from orchestrator.plan.packing.load import Load, Option

NOTHING = -1
#: an item of the fullest GPU, one that comes for it, or NOTHING, and the GPU it goes to
Swap = tuple[int, int, int]


def level(load: Load, budget: Budget) -> Load:
    """The same items in the same ways, more evenly: the largest first where they weigh least, then single exchanges."""
    fresh = _from_scratch(load)
    load = fresh if fresh is not None and _top(fresh)[0] < _top(load)[0] else load.copy()
    while budget.spend(len(load.at)):
        swap = _best_swap(load, budget)
        if swap is None:
            break
        item, back, to = swap
        option, (top, *_) = load.take(item)
        if back != NOTHING:
            other, _ = load.take(back)
            load.put(back, other, (top,))
        load.put(item, option, (to,))
    return load


def _share(load: Load, at: int, more: int = 0) -> float:
    room = load.problem.rooms[at]
    return (room - load.left[at] + more) / room if room else 0.0


def _top(load: Load) -> tuple[float, int]:
    return max(((_share(load, at), -at) for at in range(len(load.left))), default=(0.0, 0))


def _from_scratch(load: Load) -> Load | None:
    fresh = Load(load.problem)
    for item in sorted(load.at, key=lambda i: load.at[i][0].hardness(i)):
        option, where = load.at[item]
        bins = _emptiest(fresh, option) if where else ()
        if bins is None:
            return None
        fresh.put(item, option, bins)
    return fresh


def _emptiest(load: Load, option: Option) -> tuple[int, ...] | None:
    if option.width > 1:
        return load.find_group(option, emptiest=True)
    found = min(((_share(load, at, option.size), at) for at in load.fitting(option)), default=None)
    return None if found is None else (found[1],)


def _best_swap(load: Load, budget: Budget) -> Swap | None:
    """What makes the larger share of the two GPUs concerned the smallest, if that is less than the largest of all."""
    share, top = _top(load)
    if not share:
        return None
    found = min(_swaps(load, -top), default=None)
    budget.spend(len(load.at))
    return found[1] if found is not None and found[0] < share else None


def _swaps(load: Load, top: int) -> Iterator[tuple[float, tuple[int, int, int]]]:
    for item in load.held[top]:
        option = load.at[item][0]
        if option.width > 1 or not option.size:
            continue
        for to in range(len(load.left)):
            if to != top and option.allows(to):
                for back in (NOTHING, *load.held[to]):
                    size = _size_back(load, back, option.size, top)
                    change = option.size - size
                    if 0 < change <= load.left[to]:
                        yield max(_share(load, top, -change), _share(load, to, change)), (item, back, to)


def _size_back(load: Load, back: int, size: int, top: int) -> int:
    """The bytes that come for an item of this size; the same size, which is of no use, where it can't come."""
    if back == NOTHING:
        return 0
    option = load.at[back][0]
    return option.size if option.width == 1 and option.allows(top) else size
