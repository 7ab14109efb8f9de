"""``orchestrator start``."""

from __future__ import annotations

import click

from orchestrator.app.lifecycle import change
from orchestrator.cli.context import Context, present_names
from orchestrator.cli.progress import Progress
from orchestrator.cli.verb import Verb


@click.command(
    cls=Verb,
    examples={
        "Start a model that was stopped": "orchestrator start qwen2-vl-2b",
    },
)
@present_names
@click.pass_obj
def command(context: Context, names: tuple[str, ...]) -> None:
    """Start stopped models."""
    tell = Progress(context.verbose).event
    change(context.world, context.project, names, "start", tell, everything=context.fleet_path is not None)
