"""Cycles of ``up`` and ``down`` in one process: ``python -m tests.integration.faults.cycling CYCLES FILE``.

After each cycle it adds a line of JSON to FILE: what the process holds by then.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import urllib.parse
from pathlib import Path

from orchestrator.cli import run

_PAGE = os.sysconf("SC_PAGE_SIZE")


def held() -> dict[str, int]:
    """Open files, threads, bytes of memory that are in use, and blocks of it that Python gave out.

    Without urllib's cache of the last 128 URLs, which would go on filling for 30 cycles.
    """
    urllib.parse.clear_cache()
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
    files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (Path.iterdir would be one of them)
    return {"files": files, "threads": threading.active_count(), "bytes": resident, "blocks": sys.getallocatedblocks()}


def main(cycles: str, file: str) -> int:
    """Until it is done, or one of the commands fails; returns that one's exit code."""
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
