"""What a shell may complete: names of models, of what there is of them, of images. Quick, and silent in any case."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from orchestrator.errors import OrchestratorError

if TYPE_CHECKING:
    from orchestrator.cli.context import Context

#: seconds after which a shell gets nothing: Docker may hang
_PATIENCE = 2.0

#: what click calls with the context, the parameter, and what has been typed of the word
Completion = Callable[[click.Context, click.Parameter, str], list[str]]


def models(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of the registry's entries, yours included."""
    return _fitting(context, parameter, incomplete, lambda ours: ours.world.library.names(ours.registries))


def present(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Models and services that have a container in the project."""

    def names(ours: Context) -> Sequence[str]:
        found = ours.world.docker.observe().project(ours.project)
        models = [c.model for c in found]
        return [*models, *(c.service for c in found if models.count(c.model) > 1)]

    return _fitting(context, parameter, incomplete, names)


def images(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Images that are built here."""
    return _fitting(
        context, parameter, incomplete, lambda ours: [image.name for image in ours.world.builder.buildable()]
    )


def _fitting(
    context: click.Context, parameter: click.Parameter, incomplete: str, names: Callable[[Context], Sequence[str]]
) -> list[str]:
    """Those that begin so and were not typed yet."""
    typed: Any = context.params.get(parameter.name or "")
    try:
        with _hurry():
            found = names(_ours(context))
    except (OrchestratorError, OSError):
        return []
    return [name for name in dict.fromkeys(found) if name.startswith(incomplete) and name not in (typed or ())]


def _ours(context: click.Context) -> Context:
    """What a verb would be given; while a shell asks, click does not make it."""
    from orchestrator.cli.context import Context

    root = context.find_root()
    given, asked = root.params, Context.of(root.obj, False, root.params["project"], root.params["registry"])
    return asked.with_fleet(given["fleet"], aside=given["no_fleet"])


@contextmanager
def _hurry() -> Iterator[None]:
    """TimeoutError in the block once patience is over."""

    def late(number: int, frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
