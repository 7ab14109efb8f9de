"""A fake world and the command line in it. A file of tests whose world is another overrides ``here``."""

from __future__ import annotations

import pytest

from tests.fakes import FakeWorld
from tests.functional.cli import Command, command, world


@pytest.fixture
def here() -> FakeWorld:
    return world()


@pytest.fixture
def do(here: FakeWorld, capsys: pytest.CaptureFixture[str]) -> Command:
    return command(here, capsys)
