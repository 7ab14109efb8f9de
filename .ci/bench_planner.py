"""What ``.ci/bench`` measures of the planner: how long a large plan takes, and how many models find a place."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from orchestrator.inventory import GIB, Gpu, Host
from orchestrator.observation import Observation
from orchestrator.plan import optimal
from orchestrator.plan.packing import pack
from orchestrator.plan.placement import place
from orchestrator.plan.request import Request
from tests.functional.packing import RANGES, SIZES, TIGHT, references, request
from tests.functional.test_planning_speed import clones

#: models, GPUs, and the seconds that packing them may take
TIMES = ((100, 64, 0.1), (1000, 512, 3.0))
#: what the GPUs have, over what the smallest ways of all models need
TIGHTNESS = (TIGHT, 1.25, 1.7, 4.0)
CARDS_GIB = (16, 24, 48, 80)
#: of what CP-SAT places: all requests of a size together, and each of them
LEAST, LEAST_OF_ONE = 0.97, 0.95


@dataclass(frozen=True)
class Placed:
    """How many models of all committed requests of one size are placed, by request. ``alone``: by CP-SAT alone."""

    name: str
    size: str
    placed: tuple[int, ...]
    alone: tuple[int, ...]
    least: float
    least_of_one: float

    @property
    def passed(self) -> bool:
        shares = [mine / theirs for mine, theirs in zip(self.placed, self.alone, strict=True)]
        return sum(self.placed) / sum(self.alone) >= self.least and min(shares) >= self.least_of_one

    def row(self) -> str:
        """One line of the table."""
        told = [
            f"quality {self.size}",
            f"`{self.name}` {sum(self.placed)} placed",
            f"`CP-SAT alone, 20 s` {sum(self.alone)} placed",
            str(len(self.placed)),
            f"{sum(self.placed) / sum(self.alone):.1%}",
            f"{self.least:.0%}",
            "PASS" if self.passed else "under",
        ]
        return f"| {' | '.join(told)} |\n"


def packing_seconds(models: int, gpus: int) -> tuple[float, ...]:
    """Packing of prepared items, for each range of sizes and each tightness."""
    cases = [request(seed, models, gpus, tightness) for seed in range(len(RANGES)) for tightness in TIGHTNESS]
    return tuple(_seconds(partial(pack, items, bins)) for items, bins in cases)


def placing_seconds(models: int, gpus: int, rounds: int = 5) -> tuple[float, ...]:
    """The whole way from registry entries to placements: profiles, claims, packing, ports."""
    specs = clones(models)
    sizes = [CARDS_GIB[at % len(CARDS_GIB)] * GIB for at in range(gpus)]
    host = Host("large", tuple(Gpu(f"GPU-{at:03}", f"card of {size}", size, size) for at, size in enumerate(sizes)))
    wanted = Request(tuple(spec.name for spec in specs), allow_unpinned=True, partial=True)
    return tuple(_seconds(partial(place, specs, wanted, host, Observation())) for _ in range(rounds))


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def quality(sizes: Sequence[tuple[int, int]] = SIZES) -> Iterator[Placed]:
    """The heuristic, and with OR-tools installed the improver, against what CP-SAT alone placed."""
    for models, gpus in sizes:
        known = list(references(models, gpus))
        alone = tuple(each.placed for each in known)
        found = [pack(each.items, each.bins) for each in known]
        size = f"{models} x {gpus}"
        yield Placed("packing", size, tuple(map(len, found)), alone, LEAST, LEAST_OF_ONE)
        if optimal.available():
            better = [optimal.improve(r.items, r.bins, start) for r, start in zip(known, found, strict=True)]
            yield Placed("packing with --optimal", size, tuple(map(len, better)), alone, 1, 1)
