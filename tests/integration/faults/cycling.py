"""Cycles of ``up`` and ``down`` in one process: ``python -m tests.integration.faults.cycling CYCLES FILE``.

After each cycle it adds a line of JSON to FILE: what the process holds by then.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.cli import run

#: urllib keeps the last URLs, so many at most (seen with Python 3.11); filling up takes 30 cycles
_URLS = 128
_PAGE = os.sysconf("SC_PAGE_SIZE")


def held() -> dict[str, int]:
    """Open files, threads, bytes of memory that are in use, and blocks of it that Python gave out."""
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
    files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (Path.iterdir would be one of them)
    return {"files": files, "threads": threading.active_count(), "bytes": resident, "blocks": sys.getallocatedblocks()}


def main(cycles: str, file: str) -> int:
    """Until it is done, or one of the commands fails; returns that one's exit code."""
    for number in range(_URLS):
        urlsplit(f"http+docker://localhost/v1.41/containers/{number:064x}/json?stdout=1&stderr=1#")
    with Path(file).open("a") as report:
        for _ in range(int(cycles)):
            for words in (["up", "tiny"], ["down", "tiny"]):
                if code := run(words):
                    return code
            report.write(json.dumps(held()) + "\n")
            report.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
