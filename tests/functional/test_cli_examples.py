"""Every verb's help ends in examples, and each of them is a command line that is understood."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator

import click
import pytest

from orchestrator.cli import _VERBS, cli
from orchestrator.cli.verb import Verb
from tests.functional.cli import Command


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with the words that lead to it."""
    for name in _VERBS:
        command = importlib.import_module(f"orchestrator.cli.{name}").command
        within = command.commands.items() if isinstance(command, click.Group) else [("", command)]
        for second, found in within:
            yield f"{name} {second}".strip(), found


def verbs() -> Iterator[tuple[str, Verb]]:
    """Those with examples, which are all of them."""
    return ((path, found) for path, found in commands() if isinstance(found, Verb))


EXAMPLES = [(path, line) for path, verb in verbs() for line in verb.examples.values()]


def test_every_verb_shows_examples() -> None:
    """By ``@click.command(cls=Verb, examples={what it does: command line})``."""
    assert [path for path, found in commands() if not isinstance(found, Verb)] == []


@pytest.mark.parametrize(("path", "line"), EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_an_example_is_understood(path: str, line: str) -> None:
    """By click's own parser; nothing is run."""
    found = re.search(r"\borchestrator ([^)>|&;]*)", line)
    assert found, line
    context, words, used = click.Context(cli, info_name="orchestrator"), shlex.split(found[1]), ["orchestrator"]
    command: click.Command = cli
    while isinstance(command, click.Group):
        inside = command.make_context(used[-1], words, parent=None if command is cli else context)
        words = [*inside._protected_args, *inside.args]
        name, following, words = command.resolve_command(inside, words)
        assert following is not None
        assert name is not None
        used.append(name)
        command, context = following, inside
    command.make_context(used[-1], words, parent=context)
    assert " ".join(used[1:]) == path, "an example of another verb"


@pytest.mark.parametrize(("path", "verb"), list(verbs()), ids=[path for path, _ in verbs()])
def test_help_ends_in_examples_as_they_are_typed(do: Command, path: str, verb: Verb) -> None:
    shown = do(*path.split(), "--help").out.partition("\nExamples:\n")[2].splitlines()
    assert shown == [text for words, line in verb.examples.items() for text in (f"  {words}:", f"    {line}")]
    assert 1 <= len(verb.examples) <= 4
    assert max(map(len, shown)) <= 100


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (["statsu"], "Did you mean 'status'?"),
        (["modls", "list"], "Did you mean 'models'?"),
        (["models", "lst"], "Did you mean 'list'?"),
        (["image", "biuld"], "Did you mean 'build'?"),
        (["up", "a-model", "--timout", "3"], "Did you mean '--timeout'?"),
        (["plan", "--strategi", "pack"], "Did you mean '--strategy'?"),
    ],
)
def test_what_is_misspelt_is_told_with_the_near_word(do: Command, arguments: list[str], near: str) -> None:
    do(*arguments).refused(2, near, "--help' explains")


def test_what_is_near_to_nothing_is_told_without_one(do: Command) -> None:
    said = do("frobnicate")
    said.refused(2, "No such command 'frobnicate'.")
    assert "mean" not in said.err
