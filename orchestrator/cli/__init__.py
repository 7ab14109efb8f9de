"""The command line. One file per verb, imported when it is used; the only place that prints and exits."""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator import __version__
from orchestrator.cli.context import Context
from orchestrator.cli.terminal import colours
from orchestrator.cli.verb import Verbs
from orchestrator.errors import Interrupted, OrchestratorError, RequestError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from orchestrator.ports import World

#: verb to its one line of help; kept here so that --help imports no verb
_VERBS = {
    "models": "List, show, validate and check registry entries.",
    "inventory": "Show this host's GPUs, Docker and Compose.",
    "recommend": "Show which models a GPU can run, and with what limits.",
    "init": "Write a first fleet file for this host.",
    "plan": "Show what 'up' would do, with causes.",
    "render": "Write docker-compose files for a host.",
    "lock": "Pin weights by commit and images by digest, in a file.",
    "pull": "Fetch models' images and weights ahead of time.",
    "up": "Start models and follow them until they have answered.",
    "status": "Show what runs.",
    "logs": "Show what a model's container printed.",
    "ask": "Send a prompt, and an image, to a running model.",
    "restart": "Restart models.",
    "stop": "Stop models; their containers stay.",
    "start": "Start stopped models.",
    "sleep": "Free the GPU of vLLM models for a while.",
    "wake": "Wake models that sleep.",
    "down": "Remove models' containers; weights stay.",
    "doctor": "Check this machine, and say what to do.",
    "verify": "Ask models on each engine what is known, and record the evidence.",
    "report": "Write the compatibility report, in English or Russian.",
    "image": "List and build our images.",
    "export": "Print connection settings for clients.",
    "completion": "Print the script for completion in a shell.",
}


class _Lazy(Verbs):
    """A group whose commands are modules, imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        command = importlib.import_module(f"orchestrator.cli.{cmd_name}").command
        assert isinstance(command, click.Command)  # noqa: S101 (every verb's module has one)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_VERBS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Of verbs what is written here, so that none is imported for it; all else by click."""
        from click.shell_completion import CompletionItem

        if not incomplete.startswith("-"):
            return [CompletionItem(verb, help=line) for verb, line in _VERBS.items() if verb.startswith(incomplete)]
        return super().shell_complete(ctx, incomplete)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--project",
    envvar="ORCHESTRATOR_PROJECT",
    help="Compose project.  [default: the fleet's, else orchestrator]",
)
@click.option(
    "--registry",
    multiple=True,
    type=click.Path(),
    envvar="ORCHESTRATOR_REGISTRY",
    metavar="DIR",
    help="A folder of your own entries; may be given several times. They add to the built-in ones and override them.",
)
@click.option(
    "--fleet",
    type=click.Path(path_type=Path),
    envvar="ORCHESTRATOR_FLEET",
    metavar="FILE",
    help="The fleet file.  [default: orchestrator.yaml, if it is there]",
)
@click.option("--no-fleet", is_flag=True, help="Leave the fleet file aside.")
@click.option("--verbose", is_flag=True, help="Show the output of builds and pulls, and tracebacks.")
@click.version_option(__version__, prog_name="orchestrator")
@click.pass_context
def cli(
    ctx: click.Context,
    project: str | None,
    registry: tuple[str, ...],
    fleet: Path | None,
    no_fleet: bool,
    verbose: bool,
) -> None:
    """Run vision-language and OCR models in containers on your own GPUs."""
    ctx.color = colours(sys.stdout)
    ctx.obj = Context.of(ctx.obj, verbose, project, registry).with_fleet(fleet, aside=no_fleet)


def run(arguments: Sequence[str], world: World | None = None) -> int:
    """Run one command; returns the exit code of the contract. ``world`` replaces the real one in tests."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        result = cli.main(list(arguments), prog_name="orchestrator", standalone_mode=False, obj=world)
    except click.exceptions.Exit as error:
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted", "", "'orchestrator status' shows what runs")
        return Interrupted.exit_code
    except Exception as error:
        code = _explain(error)
        if "--verbose" in arguments:
            raise
        return code
    return result if isinstance(result, int) else 0


def _explain(error: Exception) -> int:
    """Say what went wrong; returns the exit code."""
    match error:
        case OrchestratorError():
            _say(error.what, error.where, error.hint)
            return error.exit_code
        case click.NoSuchOption(option_name=name) if name in {o for p in cli.params for o in p.opts}:
            _say(f"{name} goes before the verb", "", f"'orchestrator {name} ...'")
            return RequestError.exit_code
        case click.ClickException():
            context = getattr(error, "ctx", None)
            path = context.command_path if context else "orchestrator"
            _say(error.format_message(), "", f"'{path} --help' explains")
            return RequestError.exit_code
    _say(f"internal error: {type(error).__name__}: {error}", "", "this is a bug; --verbose shows where it happened")
    return OrchestratorError.exit_code


def _say(what: str, where: str, hint: str) -> None:
    print(f"error: {what}", file=sys.stderr)
    if where:
        print(f"where: {where}", file=sys.stderr)
    if hint:
        print(f"hint:  {hint}", file=sys.stderr)
