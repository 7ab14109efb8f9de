"""``render``: the files of a fleet, for a repository of the user's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.app.planning import Source, choose, rendered, this_host
from orchestrator.compose import BUILTIN_FOLDER, EXAMPLE_FILE, GATE_FOLDER, WRITTEN
from orchestrator.errors import OrchestratorError
from orchestrator.plan.request import Request
from orchestrator.ports import World


@dataclass(frozen=True, slots=True)
class Difference:
    """A file that on disk is not what would be rendered; empty where one of the two has no such file."""

    path: Path
    old: bytes
    new: bytes


@dataclass(frozen=True, slots=True)
class Rendered:
    """How many files, what differs from the disk, and what was left out."""

    count: int
    differences: tuple[Difference, ...]
    omitted: tuple[OrchestratorError, ...]


def render(
    world: World,
    request: Request,
    source: Source,
    inventory: Path | None,
    output: Path,
    *,
    everything: bool,
    write: bool,
    command_line: str = "",
) -> Rendered:
    """Render into a folder, or only compare with it. Files of models that are no longer rendered count as stale.

    ``command_line``: what does it again, for the files' headers.
    """
    chosen = choose(world, request, source, everything=everything)
    file = inventory or (source.fleet.host if source.fleet else None)
    host = world.library.inventory(file) if file else this_host(world)
    placements, files = rendered(world, chosen.request, chosen.specs, host, command_line)
    present = world.library.folder(output)
    stale = _ours(present) - set(files) if everything or chosen.request.whole else set()
    changed = [name for name in sorted({*files, *stale}) if present.get(name) != files.get(name)]
    differences = tuple(Difference(output / name, present.get(name, b""), files.get(name, b"")) for name in changed)
    if write:
        world.library.save(output, {name: files[name] for name in changed if name in files}, sorted(stale))
    return Rendered(len(files), differences, placements.omitted)


def _ours(present: Mapping[str, bytes]) -> set[str]:
    """Names of the files written here before: not a user's own, nor another host's in a folder below."""
    written = (name for name, data in present.items() if WRITTEN.encode() in data)
    top = {name for name in written if "/" not in name and name.endswith((".yaml", EXAMPLE_FILE))}
    folders = (GATE_FOLDER, *sorted({name.rpartition("/")[0] for name in present if name.startswith(BUILTIN_FOLDER)}))
    mounted = [f"{folder}/" for folder in folders if any(f'"./{folder}"'.encode() in present[name] for name in top)]
    return top | {name for name in present if name.startswith(tuple(mounted))}
