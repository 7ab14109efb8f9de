#!/usr/bin/env python3
"""Stands in for nvidia-smi: answers --query-gpu=FIELDS --format=csv,noheader,nounits from the environment.

The GPUs are those of NVIDIA_VISIBLE_DEVICES. STUB_FREE_MIB is their free memory, a number or the path of a
file that holds one (so that a test can change it; all is free until there is one); STUB_TOTAL_MIB their size, 24576
unless given. STUB_FREE_MIB=fail, also from the file: exit 9.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> int:
    total = int(os.environ.get("STUB_TOTAL_MIB", "24576"))
    free_text = os.environ.get("STUB_FREE_MIB", str(total))
    if "/" in free_text:
        free_text = Path(free_text).read_text().strip() if Path(free_text).exists() else str(total)
    if free_text == "fail":
        print("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.")
        return 9
    free = int(free_text)
    fields = next(
        (a.split("=", 1)[1] for a in sys.argv if a.startswith("--query-gpu=")),
        "uuid,memory.free,memory.total",
    )
    for index, uuid in enumerate(filter(None, os.environ.get("NVIDIA_VISIBLE_DEVICES", "").split(","))):
        known = {
            "index": index,
            "uuid": uuid,
            "name": "Stub",
            "memory.free": free,
            "memory.used": total - free,
            "memory.total": total,
        }
        print(", ".join(str(known.get(name.strip(), "[N/A]")) for name in fields.split(",")))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
