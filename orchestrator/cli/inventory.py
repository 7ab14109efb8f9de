"""``orchestrator inventory``."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.app.planning import this_host
from orchestrator.cli.context import Context, as_json, print_json
from orchestrator.cli.terminal import look
from orchestrator.cli.verb import Verb
from orchestrator.report.inventory import inventory_json, inventory_text, inventory_yaml


@click.command(
    cls=Verb,
    examples={
        "What this host has": "orchestrator inventory",
        "Keep it for 'plan' and 'render' elsewhere": "orchestrator inventory --output hosts/gpu01.yaml",
    },
)
@as_json
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write an inventory file for 'plan' and 'render'.",
)
@click.pass_obj
def command(context: Context, as_json: bool, output: Path | None) -> None:
    """Show this host's GPUs, and the versions of Docker, Compose and the driver."""
    host = this_host(context.world)
    if output is not None:
        context.world.library.save_file(output, inventory_yaml(host).encode())
        click.echo(f"written to {output}", err=True)
    elif as_json:
        print_json(inventory_json(host))
    else:
        click.echo(inventory_text(host, look()), nl=False)
