"""The last word: which GPUs. Items and ways are decided; "pack" frees whole GPUs, "spread" levels the load."""

from __future__ import annotations

from orchestrator.plan.packing.gather import Budget
from orchestrator.plan.packing.level import level
from orchestrator.plan.packing.load import Load
from orchestrator.plan.packing.upgrade import repack
from orchestrator.plan.packing.values import Strategy, score


def settle(load: Load, strategy: Strategy, budget: Budget) -> Load:
    """The same items in the same ways, on fewer GPUs or more evenly."""
    settled = _fewer(load) if strategy == "pack" else level(load, budget)
    items, bins = load.problem.items, load.problem.bins
    return max(settled, load, key=lambda each: score(items, bins, each.chosen(), strategy))


def _used(load: Load) -> list[int]:
    """The positions of the GPUs that hold something, those with the least on them first."""
    rooms = load.problem.rooms
    return sorted((at for at, held in enumerate(load.held) if held), key=lambda at: (rooms[at] - load.left[at], at))


def _fewer(load: Load) -> Load:
    """Packs anew on the largest GPUs only, as few as take it; then empties one after the other."""
    rooms = load.problem.rooms
    largest = sorted(range(len(rooms)), key=lambda at: (-rooms[at], at))
    options = {item: option for item, (option, _) in load.at.items()}
    best, low, high = load, 1, len(_used(load)) - 1
    while low <= high:
        number = (low + high) // 2
        packed = repack(load, options, largest[number:])
        if packed is None:
            low = number + 1
        else:
            best = packed if len(_used(packed)) < len(_used(best)) else best
            high = number - 1
    for at in _used(best):
        best = _emptied(best, at)
    return _on_smaller(best)


def _emptied(load: Load, at: int) -> Load:
    """The packing without anything on this GPU, where the others that are used can take it."""
    trial = load.copy()
    moving = {item: trial.take(item)[0] for item in sorted(load.held[at])}
    trial.close([at, *(other for other, held in enumerate(trial.held) if not held)])
    for item, option in sorted(moving.items(), key=lambda each: each[1].hardness(each[0])):
        bins = trial.find(option)
        if bins is None:
            return load
        trial.put(item, option, bins)
    trial.reopen()
    return trial if len(_used(trial)) < len(_used(load)) else load


def _on_smaller(load: Load) -> Load:
    """Moves all of a GPU to an empty smaller one where one takes it: the larger stays whole."""
    rooms = load.problem.rooms
    for at in sorted(_used(load), key=lambda at: (rooms[at], at)):
        options = [load.at[item][0] for item in load.held[at]]
        size = rooms[at] - load.left[at]
        empty = [
            (rooms[to], to)
            for to, held in enumerate(load.held)
            if not held and size <= rooms[to] < rooms[at] and all(o.width == 1 and o.allows(to) for o in options)
        ]
        if empty:
            for item in sorted(load.held[at]):
                option, _ = load.take(item)
                load.put(item, option, (min(empty)[1],))
    return load
