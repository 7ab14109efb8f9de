"""The dependency families of our images, and which of them every run of the tests builds."""

from __future__ import annotations

import pytest

from tests.integration.cli import REPOSITORY

LOCKS = REPOSITORY / "templates" / "images" / "transformers" / "requirements"
FAMILIES = tuple(sorted(lock.name.removesuffix("-cpu.txt") for lock in LOCKS.glob("*-cpu.txt")))
NEWEST, OLDER = "tf5", "tf448"


def needs(family: str) -> tuple[pytest.MarkDecorator, ...]:
    """The marks of a test in a family's image: ``make test`` leaves out those of the families that it doesn't build."""
    return () if family in {NEWEST, OLDER} else (pytest.mark.every_family,)
