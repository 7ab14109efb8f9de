"""``orchestrator report``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import click

from orchestrator.app.report import report
from orchestrator.cli.context import Context, as_json
from orchestrator.cli.verb import Verb
from orchestrator.report.compatibility_json import report_json
from orchestrator.report.compatibility_text import TEMPLATES, language, report_markdown
from orchestrator.report.language import Lang


@click.command(
    cls=Verb,
    examples={
        "For a wiki": "orchestrator report --output compatibility.md",
        "In Russian": "orchestrator report --lang ru",
        "For a program": "orchestrator report --json",
    },
)
@click.option("--lang", type=click.Choice(["en", "ru"]), default="en", show_default=True, help="Language of the texts.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["markdown", "json"]),
    help="Markdown (the default), or JSON of a stable shape.",
)
@as_json
@click.option(
    "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write it to a file, whole or not at all."
)
@click.pass_obj
def command(
    context: Context, lang: Lang, form: Literal["markdown", "json"] | None, as_json: bool, output: Path | None
) -> None:
    """Write the compatibility report: which models run on which engine, and how that is known.

    It rests on the registry, on what 'models check' heard and on what 'verify' recorded on this host.
    """
    if as_json and form == "markdown":
        raise click.UsageError("--json and --format markdown exclude each other")
    files = context.world.library.reports()
    spoken = language(lang, files)
    found = report(context.world, context.registries)
    if as_json or form == "json":
        text = json.dumps(report_json(found, spoken), indent=2, ensure_ascii=False) + "\n"
    else:
        text = report_markdown(found, spoken, files[TEMPLATES[lang]])
    if output is None:
        click.echo(text, nl=False)
        return
    context.world.library.save_file(output, text.encode())
    click.echo(f"written to {output}", err=True)
