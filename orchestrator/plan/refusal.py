"""Why a model can't be placed: what is missing, what would fit in its stead, and what could be stopped to make room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator.errors import FitError
from orchestrator.inventory import Host, gib
from orchestrator.observation import Container
from orchestrator.plan.assignment import Rooms
from orchestrator.plan.options import Option


def refusal(
    refused: Mapping[str, Sequence[Option]], host: Host, left: Rooms, running: Sequence[Container], fits: Sequence[str]
) -> FitError:
    """One error for all models that were refused. ``fits``: what would fit instead, in words, nearest first."""
    lines = [_line(ways, host, left) for _, ways in sorted(refused.items())]
    what = (
        lines[0] if len(lines) == 1 else f"{len(lines)} models do not fit\n" + "\n".join(f"  {line}" for line in lines)
    )
    hints = [_stoppable(ways, left, running) for _, ways in sorted(refused.items())][:1]
    if fits:
        hints.append(f"what would fit: {fits[0]}")
    hints.append("'orchestrator plan NAME --explain' shows what a claim is made of")
    return FitError(what, where=_unread(host, left), hint="; ".join(hint for hint in hints if hint))


def _line(options: Sequence[Option], host: Host, left: Rooms) -> str:
    least = min(options, key=lambda option: option.claim.total)
    size, cards = least.claim.total, least.profile.gpus
    allowed = [room for gpu, room in left.items() if room is not None and (not least.pinned or gpu in least.pinned)]
    most = max(allowed, default=0)
    where = f"GPU {', '.join(least.pinned)}" if least.pinned else ("the GPU" if len(left) == 1 else "any GPU")
    each = f" on each of {cards} GPUs" if cards > 1 else ""
    return (
        f"{least.model} does not fit on {host.name}: at its smallest it claims {gib(size)}{each} with {least.engine}, "
        f"and {where} has {'at most ' if len(allowed) > 1 else ''}{gib(most)} left: "
        f"{gib(max(0, size - most))} are missing"
    )


def _stoppable(options: Sequence[Option], left: Rooms, running: Sequence[Container]) -> str:
    """The fewest containers of ours on one GPU whose end would make room, the smallest claims first."""
    size = min(option.claim.total for option in options)
    best: tuple[int, int, str] | None = None
    for gpu, room in left.items():
        missing, names = size - (room or 0), []
        for container in sorted(running, key=lambda c: (-c.claim, c.name)):
            if missing > 0 and container.running and gpu in container.gpus:
                names.append(container.model)
                missing -= container.claim
        if missing <= 0 and names:
            candidate = (len(names), -missing, f"'orchestrator down {' '.join(names)}' would make room on GPU {gpu}")
            best = min(best, candidate) if best else candidate
    return best[2] if best else ""


def _unread(host: Host, left: Rooms) -> str:
    unread = [f"GPU {gpu.id}: {gpu.note}" for gpu in host.usable_gpus if left[gpu.id] is None]
    return "; ".join((*unread, "name it with --gpu to place a model there without a check")) if unread else ""
