"""Why a model can't be placed: what is missing, what would fit in its stead, and what could be stopped to make room."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from orchestrator.errors import FitError
from orchestrator.inventory import Host, gib
from orchestrator.observation import Container
from orchestrator.plan.assignment import Rooms, most_room
from orchestrator.plan.options import Option
from orchestrator.plan.request import DEFAULT_PROJECT


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
    unread = [f"GPU {gpu.id}: {gpu.note}" for gpu in host.usable_gpus if left[gpu.id] is None]
    if unread:
        hints.append("a GPU that does not tell its memory is taken, without a check, where --gpu names it")
    hints.append("'orchestrator plan NAME --explain' shows what a claim is made of")
    lacking = nearest(next(iter(refused.values())), host, left)[1] if len(refused) == 1 else None
    return FitError(what, where="; ".join(unread), hint="; ".join(hint for hint in hints if hint), missing=lacking)


def nearest(options: Sequence[Option], host: Host, left: Rooms) -> tuple[Option, int | None]:
    """The option that lacks least, and how many bytes it lacks on each GPU; None where no driver tells what is left."""
    lacking = [
        (option.claim.total - room, option.profile.gpus, at)
        for at, option in enumerate(options)
        if (room := most_room(option, host, left)) is not None
    ]
    if not lacking:
        return min(options, key=lambda option: option.claim.total), None
    missing, _, at = min(lacking)
    return options[at], max(0, missing)


def _line(options: Sequence[Option], host: Host, left: Rooms) -> str:
    option, missing = nearest(options, host, left)
    size, cards = option.claim.total, option.profile.gpus
    where = f"GPU {', '.join(option.pinned)}" if option.pinned else ("the GPU" if len(left) == 1 else "any GPU")
    each = f" on each of {cards} GPUs" if cards > 1 else ""
    line = (
        f"{option.model} does not fit on {host.name}: at its smallest it claims {gib(size)}{each} with {option.engine}"
    )
    if missing is None:
        return f"{line}, and nobody tells what {where} has left"
    at_most = "" if option.pinned or len(left) == 1 else "at most "
    return f"{line}, and {where} has {at_most}{gib(size - missing)} left: {gib(missing)} are missing"


def _stoppable(options: Sequence[Option], left: Rooms, running: Sequence[Container]) -> str:
    """The fewest containers of ours on one GPU whose end would make room, and of those the smallest claims."""
    least = min(options, key=lambda option: (option.profile.gpus, option.claim.total))
    if least.profile.gpus > 1:
        return ""
    found = []
    for gpu, room in left.items():
        if room is not None and (not least.pinned or gpu in least.pinned):
            here = [(c, c.holds) for c in running if gpu in c.gpus]
            stopped = enough(here, least.claim.total - room)
            if stopped:
                found.append((len(stopped), sum(c.holds for c in stopped), gpu, stopped))
    if not found:
        return ""
    _, _, gpu, stopped = min(found, key=lambda entry: entry[:3])
    return f"{commands('down', stopped)} would make room on GPU {gpu}"


def enough(giving: Iterable[tuple[Container, int]], missing: int) -> list[Container]:
    """Containers that give as much together: the largest, then the smallest that does for the rest; [] for none.

    ``giving``: bytes by container.
    """
    waiting = sorted(((c, size) for c, size in giving if size > 0), key=lambda given: (given[1], given[0].name))
    chosen: list[Container] = []
    while missing > 0 and waiting:
        found = next((given for given in waiting if given[1] >= missing), waiting[-1])
        waiting.remove(found)
        chosen.append(found[0])
        missing -= found[1]
    return chosen if missing <= 0 else []


def commands(verb: str, chosen: Iterable[Container]) -> str:
    """The command for each project."""
    models: dict[str, list[str]] = {}
    for container in chosen:
        models.setdefault(container.project, []).append(container.model)
    found = [
        (f"orchestrator{'' if project == DEFAULT_PROJECT else f' --project {project}'} {verb}", sorted(names))
        for project, names in sorted(models.items())
    ]
    return " and ".join(f"'{command} {' '.join(names)}'" for command, names in found)
