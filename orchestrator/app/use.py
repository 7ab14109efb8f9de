"""What containers hold of their GPUs now. Apart from the measurements: ``status`` has no time for the planner."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.observation import Container
from orchestrator.ports import World


def used(world: World, containers: Sequence[Container]) -> dict[str, int]:
    """Bytes that each container holds of the GPU where it holds most, by its id, as far as the driver tells."""
    gpus, _, _ = world.gpus.read()
    found: dict[str, int] = {}
    for use in world.gpus.uses(gpus, {c.id for c in containers}):
        if use.bytes is not None and use.container_id:
            found[use.container_id] = max(use.bytes, found.get(use.container_id, 0))
    return found
