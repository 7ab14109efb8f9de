"""What the docs show: YAML that is YAML, commands that exist, and a repository that a team can make from them alone."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import click
import pytest
from ruamel.yaml import YAML

from orchestrator.cli import cli
from orchestrator.errors import EnvironmentProblem
from orchestrator.lockfile import parse_lock
from tests.builders import gpu
from tests.fakes import FakeWorld
from tests.functional.cli import Command, command, world

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("fleet.md", "operations.md")
ADOPTION = "## A repository for your team"
_BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def blocks(text: str, language: str) -> list[str]:
    """Fenced blocks, without the indent of a list that they stand in."""
    found = ((indent, block) for indent, kind, block in _BLOCK.findall(text) if kind == language)
    return ["".join(line.removeprefix(indent) for line in block.splitlines(keepends=True)) for indent, block in found]


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def shown(text: str) -> Iterator[list[str]]:
    """Words of every call of ``orchestrator``: at prompts, and in examples of programs that run it."""
    whole = [block.replace("\\\n", " ") for block in blocks(text, "console")]
    lines = [line[2:] for block in whole for line in block.splitlines() if line.startswith("$ ")]
    lines += re.findall(r"(?:run|entry): (orchestrator .*)", "\n".join(blocks(text, "yaml")))
    for line in lines:
        for part in re.split(r"&&|\|", line.partition(" #")[0]):
            words = shlex.split(part)
            if words[:1] == ["orchestrator"]:
                yield words[1:]


def unknown(words: list[str]) -> list[str]:
    """The options and verbs of a call that don't exist."""
    given: click.Command = cli
    known, wrong = {option for p in given.params for option in (*p.opts, *p.secondary_opts)}, []
    for word in words:
        if word.startswith("--"):
            wrong += [word] if word not in known else []
        elif isinstance(given, click.Group) and given.list_commands(click.Context(given)):
            found = given.get_command(click.Context(given), word)
            if found is not None:
                given = found
                known |= {option for p in given.params for option in (*p.opts, *p.secondary_opts)}
    return wrong if given is not cli else [*wrong, "no verb"]


@pytest.mark.parametrize("page", PAGES)
def test_examples_are_yaml(page: str) -> None:
    for block in blocks(text_of(page), "yaml"):
        assert YAML(typ="safe", pure=True).load(block), block


@pytest.mark.parametrize("page", PAGES)
def test_commands_exist(page: str) -> None:
    calls = list(shown(text_of(page)))
    assert len(calls) >= 5
    assert {" ".join(words): unknown(words) for words in calls if unknown(words)} == {}


@pytest.mark.parametrize("words", [["lokc"], ["lock", "--upgraed"], ["--flet", "x", "lock"], ["models", "--nothing"]])
def test_a_command_that_does_not_exist_is_noticed(words: list[str]) -> None:
    assert unknown(words)


def test_a_team_adopts_it_from_the_docs_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Every call of the section, in its order, in an empty folder."""
    here: FakeWorld = world(gpu("GPU-a", total=80.0))
    do: Command = command(here, capsys)
    calls = list(shown(text_of("fleet.md").partition(ADOPTION)[2]))
    assert [words[0] for words in calls] == ["init", "plan", "lock", "render", "up", *["lock", "render"] * 2]
    with chdir(tmp_path):
        for words in calls:
            if words[-1] == "--check":
                here.docker.broken = EnvironmentProblem("the machine of a CI has no Docker")
            said = do(*words)
            assert said.code == 0, (words, said)
    assert (tmp_path / "compose/compose.yaml").is_file()
    assert here.log, "up has started something"


def test_the_shown_lock_is_one() -> None:
    (text,) = [block for block in blocks(text_of("fleet.md"), "yaml") if "repositories:" in block]
    assert parse_lock("", text).images


def hooks() -> Any:
    (text,) = [block for block in blocks(text_of("fleet.md"), "yaml") if "repos:" in block]
    return YAML(typ="safe", pure=True).load(text)["repos"][0]["hooks"]


def test_hooks_are_not_handed_file_names() -> None:
    assert all(hook["language"] == "system" and hook["pass_filenames"] is False for hook in hooks())
