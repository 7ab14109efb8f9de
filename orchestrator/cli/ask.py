"""``orchestrator ask``."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.app.lifecycle import ask
from orchestrator.cli import completing
from orchestrator.cli.context import Context
from orchestrator.cli.verb import Verb
from orchestrator.errors import RequestError


@click.command(
    cls=Verb,
    examples={
        "Have it read a picture": 'orchestrator ask got-ocr2 "Read the text." --image page.png',
        "A short answer to a question without one": 'orchestrator ask qwen2-vl-2b "Say yes." --max-tokens 4',
    },
)
@click.argument("name", shell_complete=completing.present)
@click.argument("prompt")
@click.option("--image", type=click.Path(path_type=Path), metavar="FILE", help="An image to ask about.")
@click.option("--max-tokens", type=click.IntRange(min=1), default=256, show_default=True, help="Longest answer.")
@click.pass_obj
def command(context: Context, name: str, prompt: str, image: Path | None, max_tokens: int) -> None:
    """Send a prompt, and an image, to a running model and print its answer."""
    try:
        picture = image.read_bytes() if image else None
    except OSError as error:
        raise RequestError(
            f"can't read the image: {error.strerror}", where=str(image), hint="check its name and its permissions"
        ) from error
    click.echo(ask(context.world, context.project, name, prompt, picture, max_tokens))
