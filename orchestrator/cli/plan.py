"""``orchestrator plan``."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.app.up import Options, plan
from orchestrator.cli.context import (
    Context,
    as_json,
    gpu,
    inventory,
    mode,
    names,
    packing,
    print_json,
    publishing,
    unpinned,
)
from orchestrator.cli.terminal import look
from orchestrator.cli.verb import Verb
from orchestrator.errors import FitError
from orchestrator.plan.packing import Strategy
from orchestrator.plan.request import Mode, Request
from orchestrator.report.plan import plan_json, plan_text


@click.command(
    cls=Verb,
    examples={
        "What 'up' would do": "orchestrator plan qwen2-vl-2b got-ocr2",
        "What a claim is made of": "orchestrator plan qwen2-vl-2b --mode vllm --explain",
        "What another host could serve": "orchestrator plan --all --allow-unpinned --inventory gpu01.yaml",
    },
)
@names
@click.option("--all", "everything", is_flag=True, help="Every model of the registry.")
@mode
@gpu
@packing
@publishing
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
    strategy: Strategy | None,
    optimal: bool,
    address: str,
    api_key: bool | None,
    inventory: Path | None,
    allow_unpinned: bool,
    explain: bool,
    as_json: bool,
) -> int:
    """Show what 'up' would do: engine, GPU, port and name of each model, and the steps with their causes.

    Without names it is about the fleet.

    With --all, models that do not fit beside the others are left out and named; the exit code is then 3.
    """
    request = Request(
        names,
        project=context.project,
        mode=mode,
        gpu=gpu,
        allow_unpinned=allow_unpinned,
        move_ports=True,
        partial=everything,
        strategy=strategy,
        address=address,
        api_key=api_key,
    )
    options = Options(context.source, inventory, optimal=optimal)
    decided = plan(context.world, request, options, everything=everything, elsewhere=True)
    if as_json:
        print_json(plan_json(decided.plan, decided.placements))
    else:
        click.echo(plan_text(decided.plan, decided.placements, look(), explain=explain), nl=False)
    return FitError.exit_code if decided.placements.left_out else 0
