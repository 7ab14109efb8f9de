"""Random requests for packing, and those committed with what CP-SAT places of them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.plan.packing import Bin, Item, Way

FOLDER = Path(__file__).parent
MIB = 1 << 20
#: the smallest and the largest model, as a ratio; the narrower, the harder for best fit decreasing
RANGES = ((1, 20), (5, 20), (10, 20))
#: models and GPUs of the references, which are as tight as the figures to reach ask for
SIZES = ((20, 4), (50, 12), (100, 32))
TIGHT = 1.02


@dataclass(frozen=True, slots=True)
class Reference:
    """A request, how many of its models CP-SAT placed, and the bound that it proved."""

    items: tuple[Item, ...]
    bins: tuple[Bin, ...]
    placed: int
    bound: int


def request(seed: int, models: int, gpus: int, tightness: float) -> tuple[tuple[Item, ...], tuple[Bin, ...]]:
    """Models with two or three ways, whose smallest ways need what the GPUs (16 to 80 GiB) have, over ``tightness``."""
    rng = random.Random(f"{seed} {models} {gpus} {tightness}")  # noqa: S311
    rooms = [rng.randint(16 * 1024, 80 * 1024) for _ in range(gpus)]
    ratios = [rng.uniform(*RANGES[seed % len(RANGES)]) for _ in range(models)]
    scale = sum(rooms) / tightness / sum(ratios)
    items = []
    for number, ratio in enumerate(ratios):
        growths = [1.0, *([rng.uniform(1.1, 1.4)] if rng.random() < 0.5 else []), rng.uniform(1.6, 1.9)]
        ways = tuple(Way(int(ratio * scale * growth) * MIB, value) for value, growth in enumerate(growths, 1))
        items.append(Item(f"model-{number:04}", ways))
    return tuple(items), tuple(Bin(f"gpu-{number:03}", room * MIB) for number, room in enumerate(rooms))


def references(models: int, gpus: int) -> Iterator[Reference]:
    """Those committed for one size."""
    for entry in json.loads((FOLDER / f"{models}x{gpus}.json").read_text()):
        items = (
            Item(f"model-{number:04}", tuple(Way(size * MIB, value) for value, size in enumerate(sizes, 1)))
            for number, sizes in enumerate(entry["models"])
        )
        bins = (Bin(f"gpu-{number:03}", room * MIB) for number, room in enumerate(entry["gpus"]))
        yield Reference(tuple(items), tuple(bins), entry["placed"], entry["bound"])
