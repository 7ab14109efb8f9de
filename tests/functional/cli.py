"""What the tests of the command line share: a run in a fake world, and what it said."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from orchestrator.adapters.library import Files
from orchestrator.cli import run
from orchestrator.inventory import Gpu
from orchestrator.ports import World
from tests.fakes import FakeWorld

PROBLEMS = re.compile(r"error: [1-9][0-9]* problems?\n  ")


@dataclass(frozen=True)
class Said:
    """Exit code and both streams of one command."""

    code: int
    out: str
    err: str

    def refused(self, code: int, *words: str) -> None:
        """One clear error on stderr: what and what to do (the problems of a file say it themselves), no traceback."""
        assert self.code == code, self
        assert self.err.count("error: ") == 1, self.err
        assert "\nhint:  " in self.err or PROBLEMS.match(self.err), self.err
        assert "Traceback" not in self.err
        for word in words:
            assert word in self.err, (word, self.err)


Command = Callable[..., Said]


def command(world: World, capsys: pytest.CaptureFixture[str]) -> Command:
    """``command("up", "demo")`` in that world."""

    def command(*arguments: str) -> Said:
        capsys.readouterr()
        code = run(arguments, world)
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return command


def world(*gpus: Gpu) -> FakeWorld:
    """A world with the real registry, templates and files, and everything else fake."""
    return FakeWorld(gpus=gpus, library=Files())
