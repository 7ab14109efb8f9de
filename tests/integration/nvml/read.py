"""The process that a test looks through: NvmlReader on the library that LD_LIBRARY_PATH names.

python -m tests.integration.nvml.read ROOT SCRIPT, with a JSON list of scripts on standard input.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from orchestrator.adapters.nvml import NvmlReader


def main() -> None:
    root, place = Path(sys.argv[1]), Path(sys.argv[2])
    reader, found = NvmlReader(root), []
    for script in json.load(sys.stdin):
        place.write_text(script)
        gpus, driver, note = reader.read()
        found.append([[asdict(gpu) for gpu in gpus], driver, note])
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
