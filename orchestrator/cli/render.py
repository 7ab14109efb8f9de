"""``orchestrator render``."""

from __future__ import annotations

import difflib
import os
import shlex
from dataclasses import replace
from pathlib import Path

import click

from orchestrator.app.render import Difference, render
from orchestrator.cli.context import FLEET, Context, inventory, mode, names, publishing, unpinned
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
    done = render(
        context.world,
        request,
        source,
        inventory,
        folder,
        everything=everything,
        write=not check,
        command_line=_command_line(context, request, inventory, folder, everything=everything),
    )
    for error in done.omitted:
        click.echo(f"left out: {error.what}", err=True)
    if check and done.differences:
        for difference in done.differences:
            click.echo(_diff(difference), nl=False)
        raise OrchestratorError(
            f"stale in {folder}: {len(done.differences)} of its files",
            hint="run the same command without --check",
        )
    click.echo(f"{done.count} files in {folder} {'are fresh' if check else 'written'}", err=True)


def _command_line(context: Context, request: Request, inventory: Path | None, folder: Path, *, everything: bool) -> str:
    """What renders the same again from the current folder, however it was said this time."""
    file, here, fleet = context.fleet_path, Path(FLEET), context.fleet
    project = context.asked_project
    key = {None: [], True: ["--api-key"], False: ["--no-api-key"]}[request.api_key]
    words = [
        "orchestrator",
        *(["--fleet", _path(file)] if file and file != here else []),
        *(["--no-fleet"] if not file and here.exists() else []),
        *(["--project", project] if project and project != replace(context, asked_project=None).project else []),
        *(word for entries in context.asked_registries for word in ("--registry", _path(entries))),
        "render",
        *(["--all"] if everything and not fleet else sorted(set(request.models))),
        *(["--mode", request.mode] if request.mode != "auto" else []),
        *(["--allow-unpinned"] if request.allow_unpinned else []),
        *(["--address", request.address] if request.address else []),
        *key,
        *_unless("--inventory", inventory, fleet.host if fleet else None),
        *_unless("--output", folder, fleet.output if fleet else None),
    ]
    return shlex.join(words)


def _unless(option: str, path: Path | None, known: Path | None) -> tuple[str, ...]:
    """The option, unless it says what is known without it."""
    return (option, _path(path)) if path and not (known and _path(path) == _path(known)) else ()


def _path(path: Path) -> str:
    """From the current folder. Where else this machine has it is nobody's business: there its name has to do."""
    if not path.is_absolute():
        return os.path.normpath(path)
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else path.name


def _diff(difference: Difference) -> str:
    try:
        old, new = (data.decode().splitlines(keepends=True) for data in (difference.old, difference.new))
    except UnicodeDecodeError:
        return f"{difference.path} is not text, and differs\n"
    lines = difflib.unified_diff(old, new, f"{difference.path} (on disk)", f"{difference.path} (rendered)")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
