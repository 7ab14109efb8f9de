"""Who listens on TCP ports of this host, from /proc. Without root, other users' processes stay "a process"."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_LISTEN = "0A"
_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")


def listeners() -> Mapping[int, str]:
    """Port to holder, for people: ``process nginx (pid 12)``."""
    sockets = _listening()
    owners = _owners(set(sockets))
    return {port: owners.get(inode, "a process") for inode, port in sockets.items()}


def _listening() -> dict[str, int]:
    """Inode of each listening socket, and its port."""
    found: dict[str, int] = {}
    for table in _TABLES:
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN:
                found[fields[9]] = int(fields[1].rpartition(":")[2], 16)
    return found


def _owners(inodes: set[str]) -> dict[str, str]:
    owners: dict[str, str] = {}
    for process in Path("/proc").glob("[0-9]*"):
        if len(owners) == len(inodes):
            break
        for inode in _sockets(process) & inodes:
            owners.setdefault(inode, f"process {_name(process)} (pid {process.name})")
    return owners


def _sockets(process: Path) -> set[str]:
    found = set()
    try:
        for descriptor in (process / "fd").iterdir():
            target = str(descriptor.readlink())
            if target.startswith("socket:["):
                found.add(target[8:-1])
    except OSError:
        pass
    return found


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "unknown"
