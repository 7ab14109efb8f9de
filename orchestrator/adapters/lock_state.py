"""Who has the host's lock file open, and what its note says of who took it."""

from __future__ import annotations

import os
import re
from pathlib import Path

_PID = re.compile(r"\(pid (\d+)\)$")


def note_pid(note: str) -> str:
    """The process id in the note of a holder; "" where there is none."""
    match = _PID.search(note)
    return match[1] if match else ""


def keepers(path: Path) -> tuple[str, ...]:
    """The processes that have the file open, but this one: ``docker (pid 12)``. Those of other users need root."""
    try:
        wanted = path.stat()
    except OSError:
        return ()
    own = str(os.getpid())
    processes = (p for p in Path("/proc").glob("[0-9]*") if p.name != own)
    return tuple(f"{_name(p)} (pid {p.name})" for p in processes if _has_open(p, wanted))


def _has_open(process: Path, wanted: os.stat_result) -> bool:
    try:
        for descriptor in (process / "fd").iterdir():
            try:
                found = descriptor.stat()
            except OSError:
                continue
            if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                return True
    except OSError:
        return False
    return False


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text(errors="replace").strip()
    except OSError:
        return "a process"
