"""``init``: a first fleet file from what fits on this host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.app.planning import decide, this_host
from orchestrator.fleet.schema import text as schema
from orchestrator.plan.placement import Known
from orchestrator.plan.request import Request
from orchestrator.ports import World
from orchestrator.report.fleet import SCHEMA_FILE, fleet_yaml
from orchestrator.report.inventory import inventory_yaml


@dataclass(frozen=True, slots=True)
class First:
    """What the file is to say beside the models. ``registries``: folders of entries, relative to the file."""

    path: Path
    project: str
    host: str
    registries: tuple[str, ...]


def initialise(world: World, first: First, registries: Sequence[Path]) -> tuple[Path, ...]:
    """Write the fleet file, the host's inventory and the schema for editors; RequestError if any of them exists."""
    entries = tuple(world.library.registry(tuple(registries)).models.values())
    specs = tuple(spec for spec in entries if not spec.source.unpinned_code)
    host = this_host(world)
    numbered = tuple(replace(gpu, index=gpu.index or str(at)) for at, gpu in enumerate(host.gpus))
    host = replace(host, name=first.host, gpus=numbered)
    request = Request(tuple(spec.name for spec in specs), first.project, move_ports=True, partial=True)
    found = decide(world, request, specs, host, Known())
    inventory = f"hosts/{first.host}.yaml"
    files = {
        first.path.name: fleet_yaml(found.placements, entries, first.project, inventory, first.registries),
        inventory: inventory_yaml(host),
        SCHEMA_FILE: schema(),
    }
    return world.library.create(first.path.parent, {name: text.encode() for name, text in files.items()})
