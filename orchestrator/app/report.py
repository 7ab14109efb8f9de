"""``report``: the compatibility report of a registry, with what was heard and verified on this host."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orchestrator.app.checking import heard_before
from orchestrator.ports import World
from orchestrator.report.compatibility import Report, compatibility


def report(world: World, registries: Sequence[Path]) -> Report:
    """The report. Docker is not needed."""
    specs = tuple(world.library.registry(registries).models.values())
    seen = world.workspace
    return compatibility(heard_before(world, specs), seen.measurements(), seen.verifications().remarks)
