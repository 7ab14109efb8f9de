"""``orchestrator wake``."""

from __future__ import annotations

import click

from orchestrator.app.sleeping import wake
from orchestrator.cli.context import Context, present_names
from orchestrator.cli.progress import Progress
from orchestrator.cli.verb import Verb
from orchestrator.errors import OrchestratorError


@click.command(
    cls=Verb,
    examples={
        "Take the GPU back": "orchestrator wake qwen2-vl-7b",
    },
)
@present_names
@click.pass_obj
def command(context: Context, names: tuple[str, ...]) -> None:
    """Wake models that sleep, where their GPU still has the memory, and ask them."""
    failed = wake(context.world, context.project, names, context.registries, Progress(context.verbose).event)
    if failed:
        raise OrchestratorError(
            f"not ready: {', '.join(failed)}",
            hint=f"'orchestrator logs {names[0]}' shows what the engine said",
        )
