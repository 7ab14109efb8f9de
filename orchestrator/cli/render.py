"""``orchestrator render``."""

from __future__ import annotations

import difflib
from pathlib import Path

import click

from orchestrator.app.render import Difference, render
from orchestrator.cli.context import Context, inventory, mode, names, publishing, unpinned
from orchestrator.cli.verb import Verb
from orchestrator.errors import OrchestratorError
from orchestrator.plan.request import Mode, Request


@click.command(
    cls=Verb,
    examples={
        "Files for a host, into your repository": "orchestrator render qwen2-vl-2b --inventory hosts/gpu01.yaml",
        "In CI: whether they are fresh": "orchestrator render qwen2-vl-2b --inventory hosts/gpu01.yaml --check",
    },
)
@names
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Every model of the registry; what can't run on the host is left out.",
)
@mode
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder to write to.  [default: the fleet's, else compose]",
)
@publishing
@inventory
@unpinned
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 and a diff if a file is stale.")
@click.pass_obj
def command(
    context: Context,
    names: tuple[str, ...],
    everything: bool,
    mode: Mode,
    output: Path | None,
    address: str,
    api_key: bool | None,
    inventory: Path | None,
    allow_unpinned: bool,
    check: bool,
) -> None:
    """Write docker-compose files: one per model, and compose.yaml that includes them all.

    Without names of the fleet, for its host; files of models that left it are removed.
    """
    request = Request(
        names,
        project=context.project,
        mode=mode,
        allow_unpinned=allow_unpinned,
        partial=everything,
        address=address,
        api_key=api_key,
    )
    source = context.source
    folder = output or (source.fleet.output if source.fleet else Path("compose"))
    done = render(context.world, request, source, inventory, folder, everything=everything, write=not check)
    for error in done.omitted:
        click.echo(f"left out: {error.what}", err=True)
    if check and done.differences:
        for difference in done.differences:
            click.echo(_diff(difference), nl=False)
        raise OrchestratorError(
            f"{len(done.differences)} files in {folder} are stale",
            hint="run the same command without --check",
        )
    click.echo(f"{done.count} files in {folder} {'are fresh' if check else 'written'}", err=True)


def _diff(difference: Difference) -> str:
    try:
        old, new = (data.decode().splitlines(keepends=True) for data in (difference.old, difference.new))
    except UnicodeDecodeError:
        return f"{difference.path} is not text, and differs\n"
    return "".join(difflib.unified_diff(old, new, f"{difference.path} (on disk)", f"{difference.path} (rendered)"))
