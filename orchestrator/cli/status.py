"""``orchestrator status``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from orchestrator.app.status import alive, containers, unanswered
from orchestrator.cli.context import Context, as_json, names, print_json
from orchestrator.diagnosing import diagnosed
from orchestrator.observation import Container
from orchestrator.report.status import status_json, status_table

_EVERY = 2.0


@click.command()
@names
@as_json
@click.option("--watch", is_flag=True, help="Show it anew every two seconds, until Ctrl-C.")
@click.option("--probe", "ask", is_flag=True, help="Ask every ready model a real question.")
@click.pass_obj
def command(context: Context, names: tuple[str, ...], as_json: bool, watch: bool, ask: bool) -> int:
    """Show what runs, or only the models named. Exit code 1 if one of them is dead."""
    while True:
        found = alive(context.world, containers(context.world, context.project, names))
        probes = _probes(context, found) if ask else {}
        found = unanswered(found, [id_ for id_, said in probes.items() if said.startswith("failed")])
        if watch:
            click.clear()
        _show(context, found, probes, _uses(context, found), as_json)
        if not watch:
            return int(any(c.failed or c.phase == "unresponsive" for c in found))
        context.world.clock.sleep(_EVERY)


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


def _show(
    context: Context, found: Sequence[Container], probes: dict[str, str], uses: dict[str, int], as_json: bool
) -> None:
    why = diagnosed(context.world, found)
    if as_json:
        print_json(status_json(found, probes, uses, why))
    elif found:
        click.echo(status_table(found, context.world.clock.now(), probes, uses, why), nl=False)
    else:
        click.echo(f"nothing runs in project {context.project}")
    if not as_json:
        for kept in context.world.workspace.kept(context.project):
            click.echo(
                f"note: {kept.service}: {kept.image} served before; "
                f"'orchestrator up {kept.model}' brings it back if this one fails"
            )
