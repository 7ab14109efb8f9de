"""Entry of the gate: as a folder, ``python3 /opt/orchestrator/gate``, or ``python -m orchestrator.gate``."""

from __future__ import annotations

import importlib
import os
import sys


def package() -> str:
    """The name under which our modules can be imported, whichever way we were started.

    Run as a folder, Python puts that folder first on its path, where our module names could hide others. The parent
    goes there instead. (Setting ``__package__`` would do too, but from Python 3.12 on that prints a warning, and
    Docker keeps what a health check prints.)
    """
    if __package__:
        return __package__
    here = os.path.abspath(__file__)  # noqa: PTH100  # importing pathlib would be felt in a health check
    parent, _, name = here.rpartition("/")[0].rpartition("/")
    sys.path[0] = parent or "/"
    return name


def main(argv: list[str]) -> int:
    """Run one verb and return the exit code of the process."""
    # Loaded by need: argparse and subprocess would double the time of a health check.
    if argv[:1] == ["health"]:
        return int(importlib.import_module(f"{package()}.health").main(argv[1:]))
    return int(importlib.import_module(f"{package()}.command").main(argv))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
