"""``orchestrator recommend``."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.app.recommend import host_of, recommend
from orchestrator.cli.context import Context, as_json, inventory, print_json
from orchestrator.cli.terminal import look
from orchestrator.cli.verb import Verb
from orchestrator.report.recommend import recommend_json, recommend_text


@click.command(
    cls=Verb,
    examples={
        "What this host could serve": "orchestrator recommend",
        "What a card of 16 GiB could": "orchestrator recommend --gpu-memory 16",
    },
)
@click.option("--gpu-memory", type=click.FloatRange(min=0.5), metavar="GIB", help="For one GPU of so many GiB.")
@inventory
@as_json
@click.pass_obj
def command(context: Context, gpu_memory: float | None, inventory: Path | None, as_json: bool) -> None:
    """Show which models run on which engine with what limits, on this host or on a GPU of a given size."""
    host = host_of(context.world, gpu_memory, inventory)
    advice = recommend(context.world, context.registries, host)
    if as_json:
        print_json(recommend_json(advice, host))
    else:
        click.echo(recommend_text(advice, host, look()), nl=False)
