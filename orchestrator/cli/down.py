"""``orchestrator down``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from orchestrator.app.lifecycle import down
from orchestrator.cli.context import Context, confirmed, names
from orchestrator.cli.progress import Progress
from orchestrator.errors import RequestError
from orchestrator.observation import Container


@click.command()
@names
@click.option("--all", "everything", is_flag=True, help="Every model of the project.")
@click.option("--yes", is_flag=True, help="Do not ask before --all.")
@click.pass_obj
def command(context: Context, names: tuple[str, ...], everything: bool, yes: bool) -> None:
    """Remove models' containers, and nothing that is not ours. Weights and caches stay."""
    if everything == bool(names):
        raise RequestError("name the models to remove, or use --all", hint="'orchestrator status' shows what runs")

    def agree(containers: Sequence[Container]) -> bool:
        if not everything:
            return True
        return confirmed(f"Remove {', '.join(c.name for c in containers)}?", yes)

    count = down(context.world, context.project, names, agree, Progress(context.verbose).event)
    click.echo(f"{count} removed" if count else f"nothing to remove in project {context.project}", err=True)
