"""``orchestrator``, but that the gate it mounts into containers makes hardly a pause between restarts."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[3])

from orchestrator.__main__ import main
from orchestrator.adapters.library import Files
from orchestrator.app.world import RealWorld

#: how to run it
HASTY = (sys.executable, __file__)
#: as the gate's command line has them
PAUSES = b"default=(5.0, 20.0, 60.0)"


class Hasty(Files):
    """The files beside the documents."""

    def beside(self, folder: str) -> dict[str, bytes]:
        """With other pauses in the gate."""
        files = dict(super().beside(folder))
        if folder == "gate":
            assert files["command.py"].count(PAUSES) == 1, "the gate has its pauses elsewhere now"
            files["command.py"] = files["command.py"].replace(PAUSES, b"default=(0.05,)")
        return files


if __name__ == "__main__":
    RealWorld.library = property(lambda _: Hasty())  # type: ignore[assignment]
    main()
