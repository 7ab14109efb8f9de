"""``orchestrator verify``."""

from __future__ import annotations

import click

from orchestrator.app.verifying import Wanted, verify
from orchestrator.cli.context import Context, mode, names, print_line, unpinned
from orchestrator.cli.progress import JsonLines, Progress
from orchestrator.cli.verb import Verb
from orchestrator.plan.request import Mode
from orchestrator.report.verifying import verified_json, verified_text


@click.command(
    cls=Verb,
    examples={
        "All of it, in the order of the test plan": "orchestrator verify --all",
        "Go on after a change, leaving out what is known": "orchestrator verify --all --resume",
        "One model on one engine": "orchestrator verify qwen2-vl-2b --mode vllm",
    },
)
@names
@click.option("--all", "everything", is_flag=True, help="Every model, in the order of the report's test plan.")
@mode
@click.option("--resume", is_flag=True, help="Leave out what was verified with the same versions, image and weights.")
@unpinned
@click.option("--json", "as_json", is_flag=True, help="Print what happens as lines of JSON.")
@click.pass_obj
def command(
    context: Context,
    names: tuple[str, ...],
    everything: bool,
    mode: Mode,
    resume: bool,
    allow_unpinned: bool,
    as_json: bool,
) -> int:
    """Bring models up one by one, on each of their engines, and ask them what is known.

    Times and memory are measured, and all of it is recorded as evidence. What runs is left alone. Exit code 1 if a
    pair failed or answered wrong.
    """
    wanted = Wanted(context.project, names, everything, mode, resume, allow_unpinned, context.source)
    for remark in context.world.workspace.verifications().remarks:
        click.echo(remark, err=True)
    with Progress(context.verbose, talks=frozenset({"image", "weights"})) as progress:
        found = verify(context.world, wanted, JsonLines().event if as_json else progress.event)
    if as_json:
        print_line({"schema": 1, "event": "end", "verifications": verified_json(found)})
    else:
        click.echo(verified_text(found), nl=False)
    return int(any(v.outcome in {"failed", "wrong"} for v in found))
