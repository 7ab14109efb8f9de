"""``orchestrator init``."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import click

from orchestrator.app.initialise import First, initialise
from orchestrator.cli.context import FLEET, Context
from orchestrator.cli.verb import Verb
from orchestrator.plan.request import DEFAULT_PROJECT


@click.command(
    cls=Verb,
    examples={
        "A fleet for this host, in this folder": "orchestrator init",
        "In another place, with entries of your own": "orchestrator --registry models --fleet gpu01.yaml init",
    },
)
@click.pass_obj
def command(context: Context) -> None:
    """Write a first fleet file with the models that fit on this host together, and the host's inventory.

    Nothing is overwritten, and nothing is started.
    """
    path = context.fleet_path or Path(FLEET)
    folders = tuple(Path(os.path.relpath(folder, path.parent)).as_posix() for folder in context.asked_registries)
    first = First(
        path,
        context.asked_project or _slug(path.resolve().parent.name) or DEFAULT_PROJECT,
        _slug(socket.gethostname().partition(".")[0]) or "host",
        folders,
    )
    for written in initialise(context.world, first, context.asked_registries):
        click.echo(f"written: {written}", err=True)
    click.echo("'orchestrator plan' shows what 'orchestrator up' would do with it", err=True)


def _slug(name: str) -> str:
    """A name that Compose and file systems take as it is; "" where nothing is left of it."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].rstrip("-")
