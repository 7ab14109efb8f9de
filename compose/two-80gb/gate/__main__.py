"""Entry of the gate: as a folder, ``python3 /opt/orchestrator/gate``, or ``python -m orchestrator.gate``."""

from __future__ import annotations

import importlib
import sys

if not __package__:
    # Run as a folder, Python puts that folder first on its path, where our module names could hide others.
    # Put the parent there instead and become a package of it, so that relative imports work in both ways.
    parent, _, package = __file__.rpartition("/")[0].rpartition("/")
    sys.path[0] = parent or ("/" if __file__.startswith("/") else ".")
    __package__ = package  # the import system reads it from this name
    importlib.import_module(package)


def main(argv: list[str]) -> int:
    """Run one verb and return the exit code of the process."""
    if argv[:1] == ["health"]:
        from .health import main as health  # noqa: PLC0415  # argparse and subprocess would double its start time

        return health(argv[1:])
    from .command import main as command  # noqa: PLC0415  # see above

    return command(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
