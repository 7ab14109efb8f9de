"""``orchestrator models``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from orchestrator.cli.context import Context, as_json
from orchestrator.report.models import model_text, models_table


@click.group(invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List, show and validate registry entries."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(_list)


@command.command("list")
@as_json
@click.pass_obj
def _list(context: Context, as_json: bool = False) -> None:
    """Show all entries: the built-in ones and yours."""
    specs = tuple(context.world.library.registry(context.registries).models.values())
    if as_json:
        click.echo(
            json.dumps(
                {"schema": 1, "models": [s.model_dump(mode="json") for s in specs]},
                indent=2,
                ensure_ascii=False,
            )
        )
    else:
        click.echo(models_table(specs), nl=False)


@command.command("show")
@click.argument("name")
@as_json
@click.pass_obj
def _show(context: Context, name: str, as_json: bool) -> None:
    """Show everything known of one entry."""
    spec = context.world.library.registry(context.registries).get(name)
    click.echo(spec.model_dump_json(indent=2) if as_json else model_text(spec), nl=as_json)


@command.command("validate")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.pass_obj
def _validate(context: Context, path: Path | None) -> None:
    """Check a folder of entries (default: those of --registry), and report every problem of every file."""
    folders = (path,) if path else context.registries
    registry = context.world.library.registry(folders)
    click.echo(f"{len(registry.models)} entries are valid")
