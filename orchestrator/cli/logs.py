"""``orchestrator logs``."""

from __future__ import annotations

import sys

import click

from orchestrator.app.lifecycle import logs
from orchestrator.cli import completing
from orchestrator.cli.context import Context
from orchestrator.cli.verb import Verb


@click.command(
    cls=Verb,
    examples={
        "The last lines, and what comes": "orchestrator logs qwen2-vl-2b --tail 50 --follow",
    },
)
@click.argument("name", shell_complete=completing.present)
@click.option("--follow", "-f", is_flag=True, help="Go on with what it prints next.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines.")
@click.pass_obj
def command(context: Context, name: str, follow: bool, tail: int | None) -> None:
    """Show what a model's container printed: the gate's lines and the engine's."""
    for chunk in logs(context.world, context.project, name, follow=follow, tail=tail):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
