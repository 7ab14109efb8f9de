"""Help of every verb, and what a quick command may import."""

from __future__ import annotations

import importlib
import subprocess
import sys

import click
import pytest

from orchestrator import __version__
from orchestrator.cli import _VERBS
from tests.fakes import FakeWorld
from tests.functional.cli import Command, command, world

HEAVY = frozenset({"pydantic", "docker", "requests", "jinja2", "pynvml", "ruamel", "yaml", "difflib", "asyncio"})


@pytest.fixture
def do(capsys: pytest.CaptureFixture[str]) -> Command:
    return command(world(), capsys)


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_lists_every_verb(do: Command, flag: str) -> None:
    said = do(flag)
    assert (said.code, said.err) == (0, "")
    commands = said.out.partition("Commands:\n")[2]
    assert [line.split()[0] for line in commands.splitlines() if line.startswith("  ") and line[2] != " "] == [*_VERBS]


@pytest.mark.parametrize("verb", _VERBS)
def test_every_verb_explains_itself(do: Command, verb: str) -> None:
    said = do(verb, "--help")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"Usage: orchestrator {verb}")
    assert "--help" in said.out
    options = importlib.import_module(f"orchestrator.cli.{verb}").command.params
    assert [o.name for o in options if isinstance(o, click.Option) and not o.help] == []


@pytest.mark.parametrize(
    "verb",
    [*(("models", verb) for verb in ("list", "show", "validate", "check")), ("image", "list"), ("image", "build")],
)
def test_every_second_verb_explains_itself(do: Command, verb: tuple[str, str]) -> None:
    assert do(*verb, "--help").out.startswith(f"Usage: orchestrator {' '.join(verb)}")


def test_version(do: Command) -> None:
    assert do("--version").out == f"orchestrator, version {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["models", "nothing", "at", "all"], [""], ["up", ""], ["--project"]])
def test_nothing_sensible_is_exit_code_2(do: Command, arguments: list[str]) -> None:
    assert do(*arguments).code == 2


@pytest.mark.parametrize("text", ["\x1b[31m", "a\nb", "\U0001f600" * 200, "$(id)", "../../etc/passwd"])
def test_no_argument_is_a_crash(do: Command, text: str) -> None:
    for arguments in (["up", text], ["plan", text], ["models", "show", text], ["--project", text, "status"], [text]):
        do(*arguments).refused(2)
    for verb in ("status", "stop", "down", "logs"):
        do(verb, text).refused(1)


def test_an_error_can_be_shown_with_its_traceback(do: Command) -> None:
    with pytest.raises(Exception, match="no model"):
        do("--verbose", "up", "nobody")


@pytest.mark.parametrize("arguments", [["--help"], ["status"], ["status", "--json"]])
def test_a_quick_command_imports_nothing_heavy(arguments: list[str]) -> None:
    """A missing socket stands for Docker: the imports are the same, and nothing outside is needed."""
    program = (
        "import sys\n"
        "from orchestrator.cli import run\n"
        f"run({arguments!r})\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)\n"
    )
    environment = {"DOCKER_HOST": "unix:///nowhere/docker.sock", "PATH": "/usr/bin:/bin", "HOME": "/nowhere"}
    found = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(found.stderr.splitlines()[-1].split())
    assert "click" in loaded
    assert not loaded & HEAVY


def test_the_fake_world_is_one() -> None:
    assert isinstance(world(), FakeWorld)
