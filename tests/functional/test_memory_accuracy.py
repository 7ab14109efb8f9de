"""docs/memory-accuracy.md says what the registry and the arithmetic say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / ".ci" / "memory-accuracy"


def test_the_table_of_claims_is_fresh() -> None:
    done = subprocess.run([sys.executable, str(PROGRAM), "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
