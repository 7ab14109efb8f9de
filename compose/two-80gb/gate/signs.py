"""Looks at what an engine does that says nothing: bytes of weights on the disk, and the work of its processes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from .progress import Look

_PARTIAL = ".incomplete"


class Signs:
    """Of the engine that leads ``session``. ``weights``: the repository's folder in the hub's cache."""

    def __init__(self, session: int, weights: Path | None) -> None:
        self._session = session
        self._weights = weights
        self._began = time.time()
        self._tick = os.sysconf("SC_CLK_TCK")

    def look(self) -> Look:
        """The machine now. What can't be read counts as nothing."""
        size, downloading = self._files()
        work = list(self._work())
        return Look(time.time(), size, downloading, sum(cpu for cpu, _ in work), sum(read for _, read in work))

    def _files(self) -> tuple[int | None, bool]:
        if self._weights is None:
            return None, False
        size, downloading = 0, False
        try:
            with os.scandir(self._weights / "blobs") as blobs:
                for blob in blobs:
                    found = blob.stat()
                    partial = blob.name.endswith(_PARTIAL)
                    if partial and found.st_mtime < self._began - 1:
                        continue  # left by an earlier download
                    # a file may be as long as it will be before its bytes are there
                    size += min(found.st_size, 512 * found.st_blocks)
                    downloading |= partial
        except OSError:
            return size, downloading  # no such folder yet, or a file was renamed meanwhile
        return size, downloading

    def _work(self) -> Iterator[tuple[float, int]]:
        """CPU seconds, and bytes read from disk, of each process of the session."""
        for process in Path("/proc").glob("[0-9]*"):
            try:
                # After the name, which may hold anything: state, parent, group, session, ..., user and system time.
                fields = (process / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if int(fields[3]) == self._session:
                    yield (int(fields[11]) + int(fields[12])) / self._tick, _read_bytes(process)
            except OSError:
                continue  # gone meanwhile


def _read_bytes(process: Path) -> int:
    try:
        lines = (process / "io").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("read_bytes:")), 0)
