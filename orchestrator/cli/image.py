"""``orchestrator image``."""

from __future__ import annotations

import click

from orchestrator.app.images import build, states
from orchestrator.cli import completing
from orchestrator.cli.context import Context, as_json, print_json
from orchestrator.cli.progress import Progress
from orchestrator.cli.terminal import look
from orchestrator.cli.verb import Verbs
from orchestrator.report.table import table


@click.group(cls=Verbs)
def command() -> None:
    """List and build the images that are built here."""


@command.command(
    "list",
    examples={
        "What is built here, and whether it is there": "orchestrator image list",
    },
)
@as_json
@click.pass_obj
def _list(context: Context, as_json: bool) -> None:
    """Show the images that this version can build, and whether they are there."""
    found = states(context.world)
    if as_json:
        rows = [{"name": s.name, "image": s.reference, "state": s.state.partition(":")[0]} for s in found]
        print_json({"schema": 1, "images": rows})
    else:
        cells = [(s.name, s.reference, s.state) for s in found]
        click.echo(table(cells, ("NAME", "IMAGE", "STATE"), look(), prose=True), nl=False)


@command.command(
    "build",
    examples={
        "Build an image ahead of time": "orchestrator image build tf5-cuda",
    },
)
@click.argument("name", shell_complete=completing.images)
@click.pass_obj
def _build(context: Context, name: str) -> None:
    """Build an image, whether it is there or not."""
    with Progress(context.verbose) as progress:
        for event in build(context.world, name):
            progress.event(event)
