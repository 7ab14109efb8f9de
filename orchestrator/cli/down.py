"""``orchestrator down``."""

from __future__ import annotations

import click

from orchestrator.app.teardown import Doomed, Wanted, down
from orchestrator.cli.context import Context, confirmed, present_names
from orchestrator.cli.progress import Progress
from orchestrator.cli.verb import Verb
from orchestrator.errors import FileProblems, RequestError


@click.command(
    cls=Verb,
    examples={
        "Remove one model, and prove that its memory is back": "orchestrator down qwen2-vl-2b",
        "Remove all of the project, without a question": "orchestrator down --all --yes",
        "Remove the weights as well": "orchestrator down --all --purge",
    },
)
@present_names
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Every model of the project, and what crashes left of it.",
)
@click.option("--purge", is_flag=True, help="Remove the volumes with weights and caches too, if nobody uses them.")
@click.option("--yes", is_flag=True, help="Do not ask before --all and --purge.")
@click.pass_obj
def command(context: Context, names: tuple[str, ...], everything: bool, purge: bool, yes: bool) -> None:
    """Remove models' containers, prove that they are gone, and touch nothing else. Weights and caches stay.

    Without names it is about the whole project where there is a fleet file, as with --all.
    """
    everything = everything or (not names and context.fleet_path is not None)
    if everything == bool(names):
        raise RequestError("name the models to remove, or use --all", hint="'orchestrator status' shows what runs")

    def agree(doomed: Doomed) -> bool:
        if not everything and not purge:
            return True
        volumes = [f"the volume {name} ({size / 10**9:.1f} GB)" for name, size in doomed.sizes.items()]
        return confirmed(f"Remove {', '.join([c.name for c in doomed.containers] + volumes)}?", yes)

    def known() -> tuple[str, ...]:
        try:
            return tuple(context.world.library.registry(context.registries).models)
        except FileProblems:  # what runs can be taken down all the same
            return ()

    wanted = Wanted(context.project, names, purge)
    if not down(context.world, wanted, known, agree, Progress(context.verbose).event):
        click.echo(f"nothing to remove in project {context.project}", err=True)
