"""Engine and GPU for each model: options in order of preference, then a deterministic best fit.

A running container keeps its GPU. Nothing is over-committed: a newcomer gets what NVML calls free, and never more
than the card's total less the claims of all containers of ours on it (a model may not have grown to its claim yet).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.errors import FitError
from orchestrator.inventory import GIB, Gpu, Host, gib
from orchestrator.observation import Container
from orchestrator.plan.options import Option

#: kept free on each GPU beyond all claims
MARGIN = GIB // 4


@dataclass(frozen=True, slots=True)
class Assignment:
    """One option on one GPU (None on the CPU)."""

    option: Option
    gpu: Gpu | None


@dataclass(frozen=True, slots=True)
class Pool:
    """What is left on each GPU, in bytes. None: the driver does not tell, so only an explicit ``--gpu`` goes there."""

    gpus: tuple[Gpu, ...]
    free: Mapping[str, int | None] = field(default_factory=dict)

    @classmethod
    def of(cls, host: Host, running: Sequence[Container]) -> Pool:
        """The pool of a host with these containers of ours (of any project) on it."""
        return cls(host.gpus, {gpu.id: _available(gpu, running) for gpu in host.gpus})

    def take(self, assignment: Assignment) -> Pool:
        """The pool without that assignment's claim."""
        if assignment.gpu is None:
            return self
        left = self.free[assignment.gpu.id]
        rest = None if left is None else left - assignment.option.claim.total
        return Pool(self.gpus, {**self.free, assignment.gpu.id: rest})

    def best(self, option: Option) -> Assignment | None:
        """The GPU with the least room left that still takes the option; None where nothing does."""
        if option.device == "cpu":
            return Assignment(option, None)
        if option.pinned:
            gpu = next(g for g in self.gpus if g.id == option.pinned)
            left = self.free[gpu.id]
            return Assignment(option, gpu) if left is None or left >= option.claim.total else None
        fitting = [
            (left, at)
            for at, gpu in enumerate(self.gpus)
            if (left := self.free[gpu.id]) is not None and left >= option.claim.total
        ]
        return Assignment(option, self.gpus[min(fitting)[1]]) if fitting else None

    @property
    def largest(self) -> int:
        """The most that one GPU has left, in bytes."""
        return max((left for left in self.free.values() if left is not None), default=0)


def _available(gpu: Gpu, running: Sequence[Container]) -> int | None:
    claimed = sum(c.claim for c in running if c.running and gpu.id in c.gpus)
    bounds = [gpu.free] if gpu.free is not None else []
    if gpu.total is not None:
        bounds.append(gpu.total - claimed)
    return max(0, min(bounds) - MARGIN) if bounds else None


def assign(
    wanted: Mapping[str, Sequence[Option]], pool: Pool, *, partial: bool
) -> tuple[dict[str, Assignment], dict[str, FitError]]:
    """An assignment for each model, by name. All or nothing unless ``partial``; then the second value says why not.

    First every model with its preferred option, the largest first. Where that fails, every model with its smallest
    option, and preferred ones again wherever they still fit.
    """
    preferred = {name: options[0] for name, options in wanted.items()}
    chosen, left = _best_fit(preferred, pool)
    if len(chosen) == len(wanted):
        return chosen, {}
    smallest = {name: min(options, key=lambda o: o.claim.total) for name, options in wanted.items()}
    chosen, left = _best_fit(smallest, pool, smallest_first=partial)
    refused = {name: _refusal(smallest[name], left) for name in wanted if name not in chosen}
    if refused and not partial:
        raise _together(refused)
    return _upgrade(chosen, wanted, left), refused


def _best_fit(
    options: Mapping[str, Option], pool: Pool, *, smallest_first: bool = False
) -> tuple[dict[str, Assignment], Pool]:
    chosen: dict[str, Assignment] = {}
    order = sorted(options, key=lambda name: (options[name].claim.total * (1 if smallest_first else -1), name))
    for name in order:
        found = pool.best(options[name])
        if found is not None:
            chosen[name] = found
            pool = pool.take(found)
    return chosen, pool


def _upgrade(
    chosen: dict[str, Assignment], wanted: Mapping[str, Sequence[Option]], pool: Pool
) -> dict[str, Assignment]:
    for name in sorted(chosen):
        now, better = chosen[name], wanted[name][0]
        if better is now.option or now.gpu is None or better.device == "cpu":
            continue
        left = pool.free[now.gpu.id]
        growth = better.claim.total - now.option.claim.total
        if left is not None and growth <= left and better.pinned in {"", now.gpu.id}:
            chosen[name] = Assignment(better, now.gpu)
            pool = Pool(pool.gpus, {**pool.free, now.gpu.id: left - growth})
    return chosen


def _refusal(option: Option, pool: Pool) -> FitError:
    claim = option.claim.total
    if option.pinned:
        left = pool.free[option.pinned] or 0
        where = f"GPU {option.pinned}"
    else:
        left, where = pool.largest, "any GPU"
    unread = [f"{gpu.id}: {gpu.note}" for gpu in pool.gpus if pool.free[gpu.id] is None]
    if unread and not option.pinned and not pool.largest:
        return FitError(
            f"{option.model} can't be placed: the GPU's memory can't be read",
            where="; ".join(unread),
            hint="name the GPU with --gpu to place it without a memory check",
        )
    return FitError(
        f"{option.model} does not fit: {option.engine} claims {gib(claim)} and {where} has at most {gib(left)} left "
        f"({gib(claim - left)} missing)",
        hint="'orchestrator down NAME' frees memory; 'orchestrator plan NAME --explain' shows its parts",
    )


def _together(refused: Mapping[str, FitError]) -> FitError:
    first = next(iter(refused.values()))
    if len(refused) == 1:
        return first
    return FitError(
        f"{len(refused)} models do not fit, so nothing is started\n"
        + "\n".join(f"  {e.what}" for e in refused.values()),
        hint=first.hint,
    )
