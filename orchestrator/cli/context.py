"""What every verb is given, and the options that several verbs share."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orchestrator.cli import completing
from orchestrator.plan.request import DEFAULT_PROJECT, check_project

if TYPE_CHECKING:
    from orchestrator.app.planning import Source
    from orchestrator.fleet.file import FleetFile
    from orchestrator.ports import World

#: the fleet file that is found by itself
FLEET = "orchestrator.yaml"
#: the lock, beside the fleet file
LOCK = "orchestrator.lock.yaml"

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Context:
    """The global options, and the world."""

    world: World
    verbose: bool
    asked_project: str | None
    asked_registries: tuple[Path, ...]
    fleet_path: Path | None
    """The fleet file; None where there is none, or it is left aside."""

    @classmethod
    def of(cls, world: World | None, verbose: bool, project: str | None, registries: tuple[str, ...]) -> Context:
        """The real world unless another is given. RequestError for a project that Compose would rename."""
        if project is not None:
            check_project(project)
        if world is None:
            from orchestrator.app.world import RealWorld

            world = RealWorld(lambda holder: click.echo(f"waiting for {holder}", err=True))
        return cls(world, verbose, project, tuple(Path(folder) for folder in registries), None)

    def with_fleet(self, path: Path | None, *, aside: bool) -> Context:
        """With the fleet file named, else with the one in the current folder, unless it is to be left aside."""
        here = Path(FLEET)
        return replace(self, fleet_path=None if aside else path or (here if here.exists() else None))

    @cached_property
    def fleet(self) -> FleetFile | None:
        """What the fleet file says. It is read only by those who ask: its reader takes a while to import."""
        return self.world.library.fleet(self.fleet_path) if self.fleet_path else None

    @property
    def project(self) -> str:
        """The project asked for, else the fleet's, else the usual one."""
        if self.asked_project is not None:
            return self.asked_project
        fleet = self.fleet
        return fleet.fleet.project if fleet else DEFAULT_PROJECT

    @property
    def registries(self) -> tuple[Path, ...]:
        """The fleet's folders of entries, then those asked for."""
        fleet = self.fleet
        return (*(fleet.registries if fleet else ()), *self.asked_registries)

    @property
    def source(self) -> Source:
        """Where models are looked up."""
        from orchestrator.app.planning import Source

        return Source(self.registries, self.fleet, self.lock)

    @property
    def lock(self) -> Path:
        """The lock file, whether or not it is there."""
        return (self.fleet_path or Path(FLEET)).with_name(LOCK)


def names(command: _Command) -> _Command:
    """Names of models, as many as one likes; for many verbs none is all of the fleet."""
    return _names(completing.models)(command)


def present_names(command: _Command) -> _Command:
    """Names of models or services that have a container, as many as one likes."""
    return _names(completing.present)(command)


def _names(complete: completing.Completion) -> Callable[[_Command], _Command]:
    return click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete)


def mode(command: _Command) -> _Command:
    """Which engine."""
    return click.option(
        "--mode",
        type=click.Choice(["auto", "vllm", "transformers"]),
        default="auto",
        show_default=True,
        help="Engine to use.",
    )(command)


def inventory(command: _Command) -> _Command:
    """Another host's inventory."""
    return click.option(
        "--inventory",
        type=click.Path(path_type=Path),
        envvar="ORCHESTRATOR_INVENTORY",
        metavar="FILE",
        help="GPUs from a file instead of this host's driver.",
    )(command)


def gpu(command: _Command) -> _Command:
    """Which GPU, or group of GPUs."""
    words = "The GPU to use: its position or UUID; several, joined by commas, share the model."
    return click.option("--gpu", default="", metavar="ID", help=words)(command)


def packing(command: _Command) -> _Command:
    """How to choose GPUs."""
    strategy = click.option(
        "--strategy",
        type=click.Choice(["pack", "spread"]),
        help="Leave whole GPUs free, or load them alike.  [default: the fleet's, else pack]",
    )
    return strategy(click.option("--optimal", is_flag=True, help="Improve the placement with OR-tools.")(command))


def publishing(command: _Command) -> _Command:
    """Who may ask."""
    address = click.option(
        "--address",
        default="",
        metavar="IP",
        help="Publish on this address of the host, with an API key, instead of 127.0.0.1; 0.0.0.0 for all.",
    )
    key = click.option(
        "--api-key/--no-api-key", default=None, help="Whether callers on 127.0.0.1 need the API key as well."
    )
    return address(key(command))


def unpinned(command: _Command) -> _Command:
    """Consent to code of unknown revision."""
    return click.option(
        "--allow-unpinned", is_flag=True, help="Run a repository's own code without a pinned revision."
    )(command)


def as_json(command: _Command) -> _Command:
    """JSON instead of text."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON of a stable shape.")(command)


def print_json(value: object) -> None:
    """JSON on stdout."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=_plain()))


def print_line(value: object) -> None:
    """One line of JSON on stdout, there at once."""
    print(json.dumps(value, ensure_ascii=_plain()), flush=True)


def _plain() -> bool:
    """Whether stdout's encoding may lack letters."""
    return not sys.stdout.encoding.lower().startswith("utf")


def confirmed(question: str, yes: bool) -> bool:
    """Ask on a terminal; elsewhere only ``--yes`` agrees."""
    if yes:
        return True
    return sys.stdin.isatty() and sys.stderr.isatty() and click.confirm(question, err=True)
