"""``lock``: what repositories and images are at this moment, written down."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.app.planning import Source, choose
from orchestrator.errors import OrchestratorError
from orchestrator.evidence import day
from orchestrator.lockfile import Lock, Wanted, lock_text, wanted
from orchestrator.plan.request import Request
from orchestrator.ports import World
from orchestrator.registry.spec import ModelSpec
from orchestrator.secretfile import HF_TOKEN, known

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Locked:
    """The lock before and after, and what of it the entries name."""

    old: Lock
    new: Lock
    wanted: tuple[Wanted, ...]

    @property
    def changed(self) -> tuple[Wanted, ...]:
        """Those whose pin is new or another."""
        return tuple(one for one in self.wanted if self.old.of(one) != self.new.of(one))


def lock(world: World, request: Request, source: Source, path: Path, *, upgrade: bool) -> Locked:
    """Pin what is missing, or with ``upgrade`` all of it again. Nothing is written unless all of it was found."""
    specs, old = _entries(world, request, source), world.library.lock(path)
    needed = wanted(specs)
    asked = needed if upgrade else old.missing(needed)
    values = _found(world, request.project, asked)
    today = day(world.clock.now())
    kept = old.without(specs) if upgrade else old  # what else is in it may be another fleet's
    new = kept.with_pins({one: old.pin(one, value, today) for one, value in zip(asked, values, strict=True)})
    if new != old or not (old.repositories or old.images):
        world.library.save_file(path, lock_text(new).encode())
    return Locked(old, new, needed)


def unlocked(world: World, request: Request, source: Source, path: Path) -> tuple[Wanted, ...]:
    """What entries name and the lock does not pin. Nobody is asked."""
    return world.library.lock(path).missing(wanted(_entries(world, request, source)))


def _entries(world: World, request: Request, source: Source) -> tuple[ModelSpec, ...]:
    """The entries without what a lock puts in: those named, else all of the fleet, else all that are known."""
    everything = not request.models and source.fleet is None
    return choose(world, request, replace(source, lock=None), everything=everything).specs


def _found(world: World, project: str, asked: Sequence[Wanted]) -> tuple[str, ...]:
    """The values, in their order. One error tells of all that were not found."""
    token = _token(world, project) if any(one.gated for one in asked) else ""

    def ask(one: Wanted) -> str | OrchestratorError:
        try:
            if one.kind == "images":
                return world.origins.digest(one.name)
            return world.origins.commit(one.name, one.endpoint, token if one.gated else "")
        except OrchestratorError as error:
            return error

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = tuple(pool.map(ask, asked))
    errors = [answer for answer in answers if isinstance(answer, OrchestratorError)]
    if errors:
        raise _together(errors)
    return tuple(answer for answer in answers if isinstance(answer, str))


def _token(world: World, project: str) -> str:
    file = world.workspace.secret_file(project, HF_TOKEN)
    return known(HF_TOKEN, file, world.workspace.stored(file))


def _together(errors: Sequence[OrchestratorError]) -> OrchestratorError:
    """Their exit code where it is one, else that of what failed."""
    kinds = {type(error) for error in errors}
    kind = kinds.pop() if len(kinds) == 1 else OrchestratorError
    what = "\n".join(["nothing was locked", *dict.fromkeys(f"  {error.what}" for error in errors)])
    return kind(what, hint="; ".join(dict.fromkeys(error.hint for error in errors)))
