"""``orchestrator image``."""

from __future__ import annotations

import click

from orchestrator.app.images import build, states
from orchestrator.cli.context import Context
from orchestrator.cli.progress import Progress
from orchestrator.report.table import table


@click.group()
def command() -> None:
    """List and build the images that are built here."""


@command.command("list")
@click.pass_obj
def _list(context: Context) -> None:
    """Show the images that this version can build, and whether they are there."""
    click.echo(
        table([(s.name, s.reference, s.state) for s in states(context.world)], ("NAME", "IMAGE", "STATE")),
        nl=False,
    )


@command.command("build")
@click.argument("name")
@click.pass_obj
def _build(context: Context, name: str) -> None:
    """Build an image, whether it is there or not."""
    progress = Progress(context.verbose)
    for event in build(context.world, name):
        progress.event(event)
