"""``orchestrator export``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click

from orchestrator.app.exporting import network, served
from orchestrator.cli.context import Context, as_json, present_names, print_json
from orchestrator.cli.verb import Verb
from orchestrator.errors import RequestError
from orchestrator.report.clients import Served, clients_json, litellm_text, open_webui_text, openai_text

_CLIENTS: Mapping[str, Callable[[Sequence[Served]], str]] = {
    "open-webui": open_webui_text,
    "litellm": litellm_text,
    "openai": openai_text,
}


@click.command(
    cls=Verb,
    examples={
        "For OpenAI's library and all that reads its variables": 'eval "$(orchestrator export openai qwen2-vl-2b)"',
        "All models behind LiteLLM on this host": "orchestrator export litellm --output config.yaml",
        "Open WebUI in a container": "orchestrator export open-webui --from-container --output webui.sh",
        "For a program of your own": "orchestrator export openai --json",
    },
)
@click.argument("client", type=click.Choice(list(_CLIENTS)))
@present_names
@click.option("--from-container", is_flag=True, help="The client is in a container on this host.")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Write to a file.")
@as_json
@click.pass_obj
def command(
    context: Context, client: str, names: tuple[str, ...], from_container: bool, output: Path | None, as_json: bool
) -> None:
    """Print settings by which a client finds the models that run (default: all). They name keys' files, never keys."""
    found = served(context.world, context.project, names, from_container=from_container)
    joined = network(context.project) if from_container else ""
    _notes(found, joined)
    if as_json:
        print_json(clients_json(client, found, joined))
        return
    if client == "openai" and len(found) > 1:
        raise RequestError(
            "OpenAI's variables name one server, and there are several: " + ", ".join(one.service for one in found),
            hint="name one of them, or use --json",
        )
    text = _CLIENTS[client](found)
    if output is None:
        click.echo(text, nl=False)
    else:
        context.world.library.save_file(output, text.encode())
        click.echo(f"written to {output}", err=True)


def _notes(found: Sequence[Served], joined: str) -> None:
    """On stderr, so that the settings can be used as they are printed."""
    late = [one.service for one in found if not one.ready]
    if late:
        click.echo(f"note: not ready yet: {', '.join(late)}", err=True)
    if joined:
        click.echo(
            f"note: the client's container has to be on the network {joined}: 'docker network connect {joined} NAME'",
            err=True,
        )
