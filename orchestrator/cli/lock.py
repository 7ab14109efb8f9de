"""``orchestrator lock``."""

from __future__ import annotations

import click

from orchestrator.app.locking import lock, unlocked
from orchestrator.cli.context import Context, names
from orchestrator.cli.verb import Verb
from orchestrator.errors import OrchestratorError, RequestError
from orchestrator.plan.request import Request


@click.command(
    cls=Verb,
    examples={
        "Pin what the fleet is made of": "orchestrator lock",
        "Take what is newest now": "orchestrator lock --upgrade",
        "In CI: whether all is pinned": "orchestrator lock --check",
    },
)
@names
@click.option("--upgrade", is_flag=True, help="Ask for what is locked already as well.")
@click.option("--check", is_flag=True, help="Ask nobody and write nothing; exit code 1 if something is not locked.")
@click.pass_obj
def command(context: Context, names: tuple[str, ...], upgrade: bool, check: bool) -> None:
    """Pin weights by commit and images by digest, in orchestrator.lock.yaml (default: of the fleet, else all).

    What is missing there is added, what is there stays. Images that are built here are not in it: a digest of their
    sources is their label.
    """
    if check and upgrade:
        raise RequestError("--check and --upgrade exclude each other", hint="leave one of them out")
    request = Request(names, project=context.project)
    if check:
        missing = unlocked(context.world, request, context.source, context.lock)
        if missing:
            what = "\n".join(["not locked", *(f"  {one.name} ({', '.join(one.models)})" for one in missing)])
            again = " ".join(["orchestrator lock", *names])
            raise OrchestratorError(what, where=str(context.lock), hint=f"'{again}' adds it")
        click.echo(f"{context.lock}: nothing is missing", err=True)
        return
    done = lock(context.world, request, context.source, context.lock, upgrade=upgrade)
    for one in done.changed:
        old, new = done.old.of(one), done.new.of(one)
        click.echo(f"{one.name}: {f'{old.value} -> ' if old else ''}{new.value if new else ''}")
    click.echo(f"{context.lock}: {len(done.changed)} of {len(done.wanted)} changed", err=True)
