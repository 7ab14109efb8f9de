"""Which option of each model on which GPUs, through the packing. Nothing is over-committed, and what runs never moves.

A newcomer gets the least of what NVML calls free and of what CUDA counts of the card less all claims of ours and the
use of others on it, less a margin: a model may not have grown to its claim yet, and what others hold is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.inventory import GIB, Gpu, Host
from orchestrator.observation import Container
from orchestrator.plan.options import Option
from orchestrator.plan.packing import Bin, Item, Packing, Strategy, Way, pack

#: kept free on each GPU beyond all claims
MARGIN = GIB // 4
#: makes a packing better, or leaves it as it is
Improve = Callable[[Sequence[Item], Sequence[Bin], Packing, Strategy], Packing]
#: room for newcomers by GPU, in bytes; None where the driver does not tell: only an explicit ``--gpu`` goes there
Rooms = Mapping[str, int | None]


@dataclass(frozen=True, slots=True)
class Assignment:
    """One option on its GPUs; none on the CPU."""

    option: Option
    gpus: tuple[Gpu, ...]


def rooms(host: Host, running: Sequence[Container], others: Mapping[str, int]) -> dict[str, int | None]:
    """What is left on each GPU beside these containers of ours (of any project). ``others``: bytes that others hold."""
    return {gpu.id: _room(gpu, running, others.get(gpu.id, 0)) for gpu in host.usable_gpus}


def _room(gpu: Gpu, running: Sequence[Container], others: int) -> int | None:
    claimed = sum(c.holds for c in running if gpu.id in c.gpus)
    bounds = [gpu.free] if gpu.free is not None else []
    if gpu.cuda_total is not None:
        bounds.append(gpu.cuda_total - claimed - others)
    return max(0, min(bounds) - MARGIN) if bounds else None


def most_room(option: Option, host: Host, left: Rooms) -> int | None:
    """What each of the best GPUs for an option has left; None where there is no such group, or no driver tells."""
    kinds: dict[str, list[int]] = {}
    for gpu in host.usable_gpus:
        room = left[gpu.id]
        if room is not None and (not option.pinned or gpu.id in option.pinned):
            kinds.setdefault(gpu.kind, []).append(room)
    width = option.profile.gpus
    return max((sorted(found)[-width] for found in kinds.values() if len(found) >= width), default=None)


def take(left: Rooms, assignment: Assignment) -> dict[str, int | None]:
    """The rooms without that assignment's claim."""
    ids = {gpu.id for gpu in assignment.gpus}
    size = assignment.option.claim.total
    return {gpu: None if room is None else room - size * (gpu in ids) for gpu, room in left.items()}


def assign(
    wanted: Mapping[str, Sequence[Option]],
    priorities: Mapping[str, int],
    host: Host,
    left: Rooms,
    strategy: Strategy,
    improve: Improve | None = None,
) -> dict[str, Assignment]:
    """An assignment for each model that can be placed, by name."""
    blind = {name: found for name, ways in wanted.items() if (found := _blind(ways, host, left)) is not None}
    ways = {name: _ways(found) for name, found in wanted.items() if name not in blind}
    items = [Item(name, tuple(found), priorities.get(name, 0)) for name, found in ways.items()]
    bins = [Bin(gpu.id, room, gpu.kind) for gpu in host.usable_gpus if (room := left[gpu.id]) is not None]
    packing = pack(items, bins, strategy=strategy)
    if improve is not None:
        packing = improve(items, bins, packing, strategy)
    by_id = {gpu.id: gpu for gpu in host.gpus}
    chosen = {
        name: Assignment(ways[name][found.way], tuple(by_id[gpu] for gpu in found.bins))
        for name, found in packing.items()
    }
    return blind | chosen


def _blind(options: Sequence[Option], host: Host, left: Rooms) -> Assignment | None:
    """On a GPU that was named and does not tell its memory there is nothing to check: the best option goes there."""
    pinned = options[0].pinned
    if not pinned or any(left[gpu] is not None for gpu in pinned):
        return None
    return Assignment(options[0], tuple(host.gpu(gpu) for gpu in pinned))


def _ways(options: Sequence[Option]) -> dict[Way, Option]:
    """The packing's view of the options; of two that are alike to it, the first stays."""
    found: dict[Way, Option] = {}
    for option in options:
        bins = frozenset[str]() if option.device == "cpu" else frozenset(option.pinned) or None
        width = 1 if option.device == "cpu" else option.profile.gpus
        found.setdefault(Way(option.claim.total, option.value, bins, width), option)
    return found
