"""``orchestrator models``."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.app.checking import check, heard_before
from orchestrator.cli import completing
from orchestrator.cli.context import Context, as_json, names, print_json
from orchestrator.cli.terminal import look
from orchestrator.cli.verb import Verbs
from orchestrator.lockfile import pinned
from orchestrator.report.checking import check_json, check_text
from orchestrator.report.models import model_text, models_json, models_table


@click.group(cls=Verbs, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List, show, validate and check registry entries."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(_list)


@command.command(
    "list",
    examples={
        "All entries, and what is known of each": "orchestrator models list",
        "With your own folder": "orchestrator --registry models models list",
    },
)
@as_json
@click.pass_obj
def _list(context: Context, as_json: bool = False) -> None:
    """Show all entries: the built-in ones and yours."""
    specs = tuple(context.world.library.registry(context.registries).models.values())
    pairs = heard_before(context.world, specs)
    if as_json:
        print_json({"schema": 1, "models": models_json(specs, pairs)})
    else:
        click.echo(models_table(specs, pairs, look()), nl=False)


@command.command(
    "show",
    examples={
        "Everything known of one": "orchestrator models show dots-ocr",
    },
)
@click.argument("name", shell_complete=completing.models)
@as_json
@click.pass_obj
def _show(context: Context, name: str, as_json: bool) -> None:
    """Show everything known of one entry, with what the lock pins of it."""
    library = context.world.library
    (spec,) = pinned([library.registry(context.registries).get(name)], library.lock(context.lock))
    pairs = heard_before(context.world, [spec])
    if as_json:
        print_json({"schema": 1, **models_json([spec], pairs)[0]})
    else:
        click.echo(model_text(spec, pairs, look()), nl=False)


@command.command(
    "validate",
    examples={
        "A folder of your own entries, in CI": "orchestrator models validate models",
    },
)
@click.argument("path", required=False, type=click.Path(path_type=Path))
@as_json
@click.pass_obj
def _validate(context: Context, path: Path | None, as_json: bool) -> None:
    """Check a folder of entries (default: those of --registry), and report every problem of every file."""
    folders = (path,) if path else context.registries
    registry = context.world.library.registry(folders)
    if as_json:
        print_json({"schema": 1, "models": list(registry.models)})
    else:
        click.echo(f"{len(registry.models)} entries are valid")


@command.command(
    "check",
    examples={
        "Ask the engines whose images are here": "orchestrator models check",
        "Only about one model": "orchestrator models check moondream2 --json",
    },
)
@names
@as_json
@click.pass_obj
def _check(context: Context, names: tuple[str, ...], as_json: bool) -> int:
    """Ask the engines, inside their images, what they serve (default: all models).

    Exit code 1 if one contradicts the registry, or can't be asked although its image is here.
    """
    registry = context.world.library.registry(context.registries)
    specs = tuple(map(registry.get, dict.fromkeys(names))) if names else tuple(registry.models.values())
    pairs = check(context.world, specs, lambda text: click.echo(text, err=True))
    if as_json:
        print_json(check_json(pairs))
    else:
        click.echo(check_text(pairs, look()), nl=False)
    return int(any(pair.failed or pair.contradicted for pair in pairs))
