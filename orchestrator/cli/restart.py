"""``orchestrator restart``."""

from __future__ import annotations

import click

from orchestrator.app.lifecycle import change
from orchestrator.cli.context import Context, names
from orchestrator.cli.progress import Progress


@click.command()
@names
@click.pass_obj
def command(context: Context, names: tuple[str, ...]) -> None:
    """Restart models, parked ones too."""
    tell = Progress(context.verbose).event
    change(context.world, context.project, names, "restart", tell, everything=context.fleet_path is not None)
