"""``orchestrator plan``."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.app.up import Options, plan
from orchestrator.cli.context import Context, as_json, inventory, mode, names, print_json, unpinned
from orchestrator.plan.request import Mode, Request
from orchestrator.report.plan import plan_json, plan_text


@click.command()
@names
@click.option("--all", "everything", is_flag=True, help="Every model of the registry.")
@mode
@click.option("--gpu", default="", metavar="ID", help="The GPU to use: its position or its UUID.")
@inventory
@unpinned
@click.option("--explain", is_flag=True, help="Show what each memory claim is made of.")
@as_json
@click.pass_obj
def command(
    context: Context,
    names: tuple[str, ...],
    everything: bool,
    mode: Mode,
    gpu: str,
    inventory: Path | None,
    allow_unpinned: bool,
    explain: bool,
    as_json: bool,
) -> None:
    """Show what 'up' would do: engine, GPU, port and name of each model, and the steps with their causes."""
    request = Request(
        names, project=context.project, mode=mode, gpu=gpu, allow_unpinned=allow_unpinned, move_ports=True
    )
    decided = plan(context.world, request, Options(context.registries, inventory), everything=everything)
    if as_json:
        print_json(plan_json(decided.plan, decided.placements))
    else:
        click.echo(plan_text(decided.plan, decided.placements, explain=explain), nl=False)
