"""``orchestrator up``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from orchestrator.app.drifting import drifted
from orchestrator.app.planning import Decided
from orchestrator.app.returning import Outcome
from orchestrator.app.status import alive, containers, unanswered
from orchestrator.app.up import Options, Screen, up
from orchestrator.cli.context import (
    Context,
    confirmed,
    gpu,
    inventory,
    mode,
    names,
    packing,
    print_line,
    publishing,
    unpinned,
)
from orchestrator.cli.progress import JsonLines, Progress
from orchestrator.cli.terminal import look
from orchestrator.cli.verb import Verb
from orchestrator.diagnosing import diagnosed
from orchestrator.errors import OrchestratorError
from orchestrator.plan.packing import Strategy
from orchestrator.plan.request import Mode, Request
from orchestrator.plan.steps import Step
from orchestrator.report.plan import plan_json, plan_text
from orchestrator.report.status import status_json, status_table


@click.command(
    cls=Verb,
    examples={
        "Start two models, and wait until both have answered": "orchestrator up qwen2-vl-2b got-ocr2",
        "On vLLM, on the second GPU": "orchestrator up qwen2-vl-2b --mode vllm --gpu 1",
        "For the whole network, with an API key": "orchestrator up qwen2-vl-2b --address 0.0.0.0",
        "Only show what it would do": "orchestrator up qwen2-vl-2b --dry-run",
    },
)
@names
@mode
@gpu
@click.option("--port", type=int, default=0, metavar="N", help="The port, instead of the preferred one.")
@click.option(
    "--timeout", type=click.FloatRange(min=0), metavar="S", help="Give up after so many seconds, whatever goes on."
)
@click.option("--no-wait", is_flag=True, help="Return as soon as the containers exist.")
@click.option("--dry-run", is_flag=True, help="Print the plan and do nothing.")
@click.option("--yes", is_flag=True, help="Replace and remove models without asking.")
@click.option("--json", "as_json", is_flag=True, help="Print what happens as lines of JSON.")
@packing
@publishing
@inventory
@unpinned
@click.pass_obj
def command(
    context: Context,
    names: tuple[str, ...],
    mode: Mode,
    gpu: str,
    strategy: Strategy | None,
    optimal: bool,
    address: str,
    api_key: bool | None,
    port: int,
    timeout: float | None,
    no_wait: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    inventory: Path | None,
    allow_unpinned: bool,
) -> None:
    """Start models, each in a container of its own, and follow them until they have answered.

    Without names it brings up the fleet, and removes what runs in its project and is not in it.
    """
    request = Request(
        names,
        project=context.project,
        mode=mode,
        gpu=gpu,
        port=port,
        allow_unpinned=allow_unpinned,
        move_ports=not port,
        strategy=strategy,
        address=address,
        api_key=api_key,
    )
    source = context.source
    options = Options(source, inventory, dry_run, not no_wait, timeout, optimal)

    def agree(steps: Sequence[Step]) -> bool:
        return confirmed(f"{_ends(steps, comes_back=not no_wait)} Go on?", yes)

    def show(decided: Decided) -> None:
        if as_json:
            print_line({"schema": 1, "event": "plan", "plan": plan_json(decided.plan, decided.placements)})
        else:
            click.echo(plan_text(decided.plan, decided.placements, look()), nl=False)

    with Progress(context.verbose) as progress:
        tell = JsonLines().event if as_json else progress.event
        failed = up(context.world, request, options, Screen(show, tell, agree))
    if dry_run:
        return
    asked = source.fleet.chosen(names) if source.fleet else names
    every = containers(context.world, context.project, (), setups=as_json)
    found = alive(context.world, [c for c in every if c.model in asked])
    wrong = {o.service: o.wrong for o in failed if o.wrong}
    probes = {c.id: f"failed: {wrong[c.service]}" for c in found if c.ready and c.service in wrong}
    found = unanswered(found, probes)
    why = diagnosed(context.world, found)
    if as_json:
        late = [outcome.service for outcome in failed]
        models = status_json(found, probes, {}, why, drifted(context.world, found))["models"]
        print_line({"schema": 1, "event": "end", "models": models, "failed": late})
    else:
        click.echo(status_table(found, context.world.clock.now(), probes, {}, why, look()), nl=False)
    if failed:
        raise _not_ready(failed, asked[0])


def _ends(steps: Sequence[Step], *, comes_back: bool) -> str:
    """What ends with these steps, in words."""
    replaced, removed = (
        ", ".join(f"{step.subject} ({step.cause})" for step in steps if step.kind == kind)
        for kind in ("replace", "remove")
    )
    back = " It comes back if the new one fails." if comes_back else ""
    words = [f"This ends what serves now: {replaced}.{back}"] if replaced else []
    return " ".join([*words, *([f"This removes: {removed}."] if removed else [])])


def _not_ready(outcomes: Sequence[Outcome], name: str) -> OrchestratorError:
    """What failed, and what came back. Of what was removed for that the last lines were shown."""
    plain = [outcome.service for outcome in outcomes if not outcome.cause]
    back = [f"{outcome.service}: {outcome.cause}; {outcome.words}" for outcome in outcomes if outcome.cause]
    logs = f"'orchestrator logs {name}' shows what the engine said"
    return OrchestratorError(
        "; ".join([*([f"not ready: {', '.join(plain)}"] if plain else []), *back]),
        hint=logs if plain else "above are the last lines of what failed; mend it and run it again",
    )
