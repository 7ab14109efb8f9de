"""Which models run on which engine with what limits, each alone on a host. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.errors import FitError, RequestError
from orchestrator.inventory import Host
from orchestrator.plan.assignment import assign, rooms
from orchestrator.plan.options import Option, options
from orchestrator.plan.refusal import nearest
from orchestrator.plan.request import Request
from orchestrator.registry.spec import ENGINES, EngineName, ModelSpec


@dataclass(frozen=True, slots=True)
class Advice:
    """One model on one engine, alone on the host: the best option that fits, or the smallest one and what is missing.

    ``chosen``: what the plan would take by itself. ``missing``: bytes, 0 where it fits, None where no driver tells.
    """

    model: str
    engine: EngineName
    chosen: bool
    option: Option
    missing: int | None = 0


def recommend(specs: Sequence[ModelSpec], host: Host) -> tuple[Advice, ...]:
    """Advice for every entry and engine that can run there at all, in the order given."""
    return tuple(advice for spec in specs for advice in _of(spec, host))


def _of(spec: ModelSpec, host: Host) -> list[Advice]:
    by_itself = _best(spec, host, Request((spec.name,), allow_unpinned=True))
    found = []
    for engine in ENGINES:
        best = _best(spec, host, Request((spec.name,), mode=engine, allow_unpinned=True))
        if best is not None:
            option, missing = best
            chosen = by_itself is not None and by_itself[0].engine == engine and by_itself[1] == 0
            found.append(Advice(spec.name, engine, chosen, option, missing))
    return found


def _best(spec: ModelSpec, host: Host, request: Request) -> tuple[Option, int | None] | None:
    """The best option that fits alone, or the smallest and the bytes that it lacks; None where there is no way."""
    try:
        ways = options(spec, request, host, None, {})
    except (FitError, RequestError):
        return None
    left = rooms(host, (), {})
    found = assign({spec.name: ways}, {}, host, left, "pack").get(spec.name)
    if found is not None:
        return found.option, 0
    return nearest(ways, host, left)
