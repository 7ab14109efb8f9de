"""Which container the memory of a GPU belongs to: NVML tells host pids, and the kernel tells the container of a pid."""

from __future__ import annotations

import pwd
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from orchestrator.evidence import Holder, Use
from orchestrator.inventory import Gpu

#: one folder of a cgroup's path: ``<id>`` or ``docker-<id>.scope``, with Docker's full container id
_FOLDER = re.compile(r"(?:.*[-:])?([0-9a-f]{64})(?:\.scope)?")


def containers_in(text: str) -> tuple[str, ...]:
    """Ids of the containers that a ``/proc/PID/cgroup`` names, the outermost first; () for none.

    Known forms: cgroup v1 (a line per controller) and v2 (one line), both of Docker's cgroup drivers (``/docker/ID``
    and ``/system.slice/docker-ID.scope``), other parents, rootless Docker, and containers inside containers.
    """
    found: dict[str, None] = {}
    for line in text.splitlines():
        _, _, path = line.partition(":")[2].partition(":")
        found |= {match[1]: None for folder in path.split("/") if (match := _FOLDER.fullmatch(folder))}
    return tuple(found)


def container_of(pid: int, known: Collection[str] = (), root: Path = Path("/")) -> str:
    """Id of the container that a process of this host is in; "" for none, or for a process that can't be looked at.

    With containers inside containers it is the one in ``known`` (ids that our Docker told), else the outermost.
    """
    try:
        found = containers_in((root / "proc" / str(pid) / "cgroup").read_text(errors="replace"))
    except OSError:  # it has ended, or the host hides processes of others
        return ""
    return next((container for container in found if container in known), found[0] if found else "")


def owners(gpus: Sequence[Gpu], known: Collection[str] = (), root: Path = Path("/")) -> dict[int, str]:
    """The container of every process on these GPUs, by pid."""
    return {process.pid: container_of(process.pid, known, root) for gpu in gpus for process in gpu.processes}


def uses(gpus: Sequence[Gpu], containers: Mapping[int, str]) -> tuple[Use, ...]:
    """What each container holds of each GPU, sorted. ``containers``: ids by pid; a pid that is missing is in none."""
    found: dict[tuple[str, str], int | None] = {}
    for gpu in gpus:
        for process in gpu.processes:
            key = containers.get(process.pid, ""), gpu.id
            before = found.get(key, 0)
            found[key] = None if before is None or process.used is None else before + process.used
    return tuple(Use(*key, found[key]) for key in sorted(found))


def holders(gpus: Sequence[Gpu], known: Collection[str] = (), root: Path = Path("/")) -> tuple[Holder, ...]:
    """Every process on these GPUs, and whose it is."""
    return tuple(
        Holder(
            process.pid,
            gpu.id,
            process.used,
            _command(root / "proc" / str(process.pid)) or process.name,
            _user(root / "proc" / str(process.pid)),
            container_of(process.pid, known, root),
        )
        for gpu in gpus
        for process in gpu.processes
    )


def _command(process: Path) -> str:
    """The program and its first word, which tells one Python from another; "" where it can't be seen."""
    try:
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    return " ".join(word for word in words[:3] if word)[:80]


def _user(process: Path) -> str:
    try:
        owner = process.stat().st_uid
    except OSError:
        return ""
    try:
        return pwd.getpwuid(owner).pw_name
    except KeyError:
        return str(owner)
