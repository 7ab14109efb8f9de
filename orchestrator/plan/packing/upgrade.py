"""Better ways for the items placed, the most value per byte first; nothing that is placed is given up for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator.plan.packing.gather import Budget, gather
from orchestrator.plan.packing.load import Load, Option

#: GPUs on which room is gathered for one better way
TARGETS = 4

Step = tuple[int, Option]


def upgrade(load: Load, budget: Budget) -> Load:
    """The packing with better ways, and items of more value for others: the better of the two orders of these."""
    last = _upgraded(load, budget)
    if len(load.at) == len(load.problem.items):
        return last
    first = load.copy()
    _exchange(first)
    _exchange(last)
    return max(last, _upgraded(first, budget), key=_worth)


def _worth(load: Load) -> tuple[int, int]:
    options = [option for option, _ in load.at.values()]
    return sum(option.value for option in options), -sum(option.total for option in options)


def _upgraded(load: Load, budget: Budget) -> Load:
    """Better ways: first as many at once as a new packing of the same items takes, then one by one."""
    load = _at_once(load.copy(), budget)
    for item, option in _steps(load):
        if option.value > load.at[item][0].value:
            load = _one(load, item, option, budget)
    return load


def _exchange(load: Load) -> None:
    """Puts items that are not placed where one of the same priority is worth less."""
    problem = load.problem
    for item, options in enumerate(problem.options):
        if item in load.at:
            continue
        swaps = [
            (option.value - now.value, -option.total, -other, option, bins)
            for option in options
            for other, (now, bins) in load.at.items()
            if option.value > now.value
            and option.width == now.width == len(bins)
            and problem.items[other].priority == problem.items[item].priority
            and all(option.allows(at) and load.left[at] + now.size >= option.size for at in bins)
        ]
        if swaps:
            *_, other, option, bins = max(swaps, key=lambda swap: swap[:3])
            load.take(-other)
            load.put(item, option, bins)


def _steps(load: Load) -> list[Step]:
    found = []
    for item, (now, _) in load.at.items():
        for option in load.problem.options[item]:
            gain, growth = option.value - now.value, option.total - now.total
            if gain > 0:
                found.append((-gain / growth if growth > 0 else float("-inf"), growth, item, option))
    return [(item, option) for _, _, item, option in sorted(found, key=lambda step: step[:3])]


def _at_once(load: Load, budget: Budget) -> Load:
    """As many steps of the list as leave a packing from scratch complete, by halving."""
    steps = _steps(load)
    best, low, high = load, 1, len(steps)
    now = {item: option for item, (option, _) in load.at.items()}
    total = sum(load.problem.rooms)
    number = high
    while low <= high and budget.spend(20 * len(now)):
        options = dict(now)
        for item, option in steps[:number]:
            if option.value > options[item].value:
                options[item] = option
        packed = repack(load, options) if sum(o.total for o in options.values()) <= total else None
        if packed is None:
            high = number - 1
        else:
            best, low = packed, number + 1
        number = (low + high) // 2
    return best


def repack(load: Load, options: Mapping[int, Option], closed: Iterable[int] = ()) -> Load | None:
    """All these items from scratch in just these ways, by best fit decreasing; None where that fails."""
    fresh = Load(load.problem)
    fresh.close(closed)
    for item in sorted(options, key=lambda i: options[i].hardness(i)):
        where = fresh.find(options[item])
        if where is None:
            return None
        fresh.put(item, options[item], where)
    return fresh


def _one(load: Load, item: int, option: Option, budget: Budget) -> Load:
    before, where = load.take(item)
    bins = load.find(option)
    if bins is not None:
        load.put(item, option, bins)
        return load
    load.put(item, before, where)
    spare = sum(load.left) + before.total - option.total
    if option.width > 1 or spare < 0 or budget.steps <= 0:
        return load
    trial = load.copy()
    trial.take(item)
    bins = gather(trial, option, budget, TARGETS)
    if bins is None:
        return load
    trial.put(item, option, bins)
    return trial
