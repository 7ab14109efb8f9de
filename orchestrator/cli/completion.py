"""``orchestrator completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from orchestrator.cli.verb import Verb

#: the variable by which the shell's function asks this program; the name is click's rule
VARIABLE = "_ORCHESTRATOR_COMPLETE"


@click.command(
    cls=Verb,
    examples={
        "In bash, for this session": 'eval "$(orchestrator completion bash)"',
        "In bash, for good": "orchestrator completion bash > ~/.local/share/bash-completion/completions/orchestrator",
        "In zsh, for good, where ~/.zfunc is in fpath": "orchestrator completion zsh > ~/.zfunc/_orchestrator",
        "In fish, for good": "orchestrator completion fish > ~/.config/fish/completions/orchestrator.fish",
    },
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that completes verbs, options and names in a shell."""
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 (click knows all three)
    click.echo(found(ctx.find_root().command, {}, "orchestrator", VARIABLE).source().rstrip())
