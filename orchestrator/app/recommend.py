"""``recommend``: the host to advise for, and the advice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orchestrator.inventory import GIB, Gpu, Host
from orchestrator.plan.advice import Advice
from orchestrator.plan.advice import recommend as advise
from orchestrator.ports import World


def host_of(world: World, gpu_memory: float | None, inventory: Path | None) -> Host:
    """The host to advise for: one GPU of so many GiB, an inventory file, or this machine as the driver tells it."""
    if gpu_memory is not None:
        total = int(gpu_memory * GIB)
        return Host(f"a GPU of {gpu_memory:g} GiB", (Gpu("0", f"GPU of {gpu_memory:g} GiB", total, total),))
    if inventory is not None:
        return world.library.inventory(inventory)
    gpus, driver, note = world.gpus.read()
    return Host("this host", gpus, note, driver=driver)


def recommend(world: World, registries: Sequence[Path], host: Host) -> tuple[Advice, ...]:
    """Advice for every entry of the registry."""
    return advise(tuple(world.library.registry(registries).models.values()), host)
