"""How the stub breaks, by knobs in the environment.

STUB_BREAK, after loading: ``log NAME CODE`` prints /opt/orchestrator/logs/NAME.txt, which a real engine wrote, and
exits with the code; ``disk`` writes into /cache until there is no room, ``memory`` takes memory until the kernel ends
it, and ``instruction`` runs one that no CPU has. ``memory`` waits for the file /locks/limited. STUB_BREAK_SERVING: the
same while it serves, when there is a file /locks/break.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

_BLOCK = bytes(1 << 20)
#: x86's ud2, and AArch64's udf: both are defined to be undefined
_UNDEFINED = b"\x0f\x0b\x00\x00"


def break_down(knob: str = "STUB_BREAK") -> None:
    """Break as the knob says; returns if it says nothing."""
    match os.environ.get(knob, "").split():
        case ["log", name, code]:
            sys.stderr.write(Path(f"/opt/orchestrator/logs/{name}.txt").read_text(encoding="utf-8"))
            sys.stderr.flush()
            os._exit(int(code))  # also from a thread
        case ["disk"]:
            with Path("/cache/weights").open("wb") as file:
                while True:
                    file.write(_BLOCK)
        case ["memory"]:
            while not Path("/locks/limited").exists():
                time.sleep(0.05)
            taken = []
            while True:
                taken.append(bytearray(_BLOCK))
        case ["instruction"]:
            page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
            page.write(_UNDEFINED)
            ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()


def break_serving(beats: Callable[[], int]) -> None:
    """Break when told so, but not before the gate has seen that it serves: the second question comes after that."""
    while not Path("/locks/break").exists() or beats() < 2:
        time.sleep(0.05)
    break_down("STUB_BREAK_SERVING")
