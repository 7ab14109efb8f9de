"""``orchestrator status``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from orchestrator.app.drifting import drifted
from orchestrator.app.status import alive, containers, unanswered
from orchestrator.cli.context import Context, as_json, present_names, print_json, print_line
from orchestrator.cli.terminal import Board, look
from orchestrator.cli.verb import Verb
from orchestrator.diagnosing import diagnosed
from orchestrator.diagnosis import Diagnosis
from orchestrator.errors import Interrupted, OrchestratorError
from orchestrator.observation import Container
from orchestrator.report.status import drift_notes, landmarks, status_json, status_table

if TYPE_CHECKING:
    from orchestrator.drift.values import Drifted

_EVERY = 2.0


@dataclass(frozen=True, slots=True)
class _Seen:
    """One look: containers, and by their ids what was found out about them."""

    containers: tuple[Container, ...]
    probes: Mapping[str, str]
    uses: Mapping[str, int]
    why: Mapping[str, Diagnosis]
    drifts: Mapping[str, Drifted]

    def json(self) -> dict[str, object]:
        return status_json(self.containers, self.probes, self.uses, self.why, self.drifts)

    def landmarks(self) -> object:
        return landmarks(self.containers, self.probes, self.uses, self.why), self.drifts

    def failed(self) -> bool:
        return any(c.failed or c.phase == "unresponsive" for c in self.containers)


@click.command(
    cls=Verb,
    examples={
        "What runs": "orchestrator status",
        "Go on looking, until Ctrl-C": "orchestrator status --watch",
        "Ask every model something, for a monitor": "orchestrator status --probe --json",
    },
)
@present_names
@as_json
@click.option("--watch", is_flag=True, help="Look every two seconds, until Ctrl-C; in a pipe only changes are shown.")
@click.option("--probe", "ask", is_flag=True, help="Ask every ready model a real question.")
@click.pass_obj
def command(context: Context, names: tuple[str, ...], as_json: bool, watch: bool, ask: bool) -> int:
    """Show what runs, or only the models named. Exit code 1 if one of them is dead."""
    if watch:
        _watch(context, names, as_json, ask)
    seen = _look(context, names, ask)
    if as_json:
        print_json(seen.json())
    else:
        click.echo(_text(context, seen, everything=not names), nl=False)
    return int(seen.failed())


def _watch(context: Context, names: tuple[str, ...], as_json: bool, ask: bool) -> None:
    """Until Ctrl-C, which is how it is meant to end. What can't be seen now, but could be before, may come back."""
    board = Board()
    told: object = None
    try:
        while True:
            try:
                seen = _look(context, names, ask)
            except OrchestratorError as error:
                if told is None:
                    raise
                if not as_json:
                    board.show(_away(error), error.what)
                elif error.what != told:
                    click.echo(_away(error), nl=False, err=True)
                told = error.what
            else:
                if not as_json:
                    board.show(_text(context, seen, everything=not names), seen.landmarks())
                elif seen.landmarks() != told:
                    print_line(seen.json())
                told = seen.landmarks()
            context.world.clock.sleep(_EVERY)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(Interrupted.exit_code) from None


def _away(error: OrchestratorError) -> str:
    return f"error: {error.what}\nhint:  {error.hint}; the watch goes on until Ctrl-C\n"


def _look(context: Context, names: tuple[str, ...], ask: bool) -> _Seen:
    found = alive(context.world, containers(context.world, context.project, names, setups=True))
    probes = _probes(context, found) if ask else {}
    found = unanswered(found, [id_ for id_, said in probes.items() if said.startswith("failed")])
    uses, why = _uses(context, found), diagnosed(context.world, found)
    return _Seen(found, probes, uses, why, drifted(context.world, found))


def _probes(context: Context, found: Sequence[Container]) -> dict[str, str]:
    """Imported only here: the registry, which says what to ask and expect, takes longer to import than all the rest."""
    from orchestrator.app.asking import probe

    return probe(context.world, found, context.world.library.registry(context.registries).models)


def _uses(context: Context, found: Sequence[Container]) -> dict[str, int]:
    """NVML is asked only where a GPU is in use, because its import takes as long as all the rest."""
    if not any(c.gpus and c.running for c in found):
        return {}
    from orchestrator.app.use import used

    return used(context.world, found)


def _text(context: Context, seen: _Seen, *, everything: bool) -> str:
    now = context.world.clock.now()
    table = status_table(seen.containers, now, seen.probes, seen.uses, seen.why, look())
    fleet = _notes(context, seen.containers) if everything else ()
    notes = [*drift_notes(seen.containers, seen.drifts), *fleet, *_kept(context)]
    return (table or f"nothing runs in project {context.project}\n") + "".join(f"note: {note}\n" for note in notes)


def _notes(context: Context, found: Sequence[Container]) -> Iterator[str]:
    """How what runs differs from the fleet."""
    listed = context.fleet.fleet.models if context.fleet else {}
    there = {c.model for c in found}
    yield from (f"{name} is in the fleet and has no container" for name in listed if name not in there)
    strangers = sorted(there - set(listed)) if listed else []
    yield from (f"{name} is not in the fleet; the next 'orchestrator up' would remove it" for name in strangers)


def _kept(context: Context) -> Iterator[str]:
    """What a failure would bring back."""
    for kept in context.world.workspace.kept(context.project):
        back = f"'orchestrator up {kept.model}' brings it back if this one fails"
        yield f"{kept.service}: {kept.image} served before; {back}"
