"""``orchestrator sleep``."""

from __future__ import annotations

import click

from orchestrator.app.sleeping import sleep
from orchestrator.cli.context import Context, present_names
from orchestrator.cli.progress import Progress
from orchestrator.cli.verb import Verb


@click.command(
    cls=Verb,
    examples={
        "Lend the GPU to another model": "orchestrator sleep qwen2-vl-7b",
    },
)
@present_names
@click.pass_obj
def command(context: Context, names: tuple[str, ...]) -> None:
    """Free the GPU of vLLM models whose entry sets sleep_mode: the weights move to the host's memory."""
    sleep(context.world, context.project, names, Progress(context.verbose).event)
