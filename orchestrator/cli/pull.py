"""``orchestrator pull``."""

from __future__ import annotations

import click

from orchestrator.app.pulling import pull
from orchestrator.cli.context import Context, mode, names, unpinned
from orchestrator.cli.progress import JsonLines, Progress
from orchestrator.cli.verb import Verb
from orchestrator.errors import Interrupted
from orchestrator.plan.request import Mode, Request


@click.command(
    cls=Verb,
    examples={
        "Fetch tonight what starts tomorrow": "orchestrator pull qwen2-vl-2b got-ocr2",
    },
)
@names
@mode
@unpinned
@click.option("--json", "as_json", is_flag=True, help="Print what happens as lines of JSON.")
@click.pass_obj
def command(context: Context, names: tuple[str, ...], mode: Mode, allow_unpinned: bool, as_json: bool) -> None:
    """Fetch models' images and weights ahead of time, without names of the fleet. What was cut goes on where it was."""
    request = Request(names, project=context.project, mode=mode, allow_unpinned=allow_unpinned)
    with Progress(context.verbose, talks=frozenset({"image", "weights"})) as progress:
        try:
            pull(context.world, request, context.source, JsonLines().event if as_json else progress.event)
        except KeyboardInterrupt:
            again = f"'orchestrator pull {' '.join(names)}' goes on"
            raise Interrupted("interrupted; what was fetched is kept", hint=again) from None
