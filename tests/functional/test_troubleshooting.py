"""docs/troubleshooting.md is what its script makes of the table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from orchestrator.diagnosis import FAILURES

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_fresh_and_has_every_class() -> None:
    done = subprocess.run(
        [sys.executable, ".ci/troubleshooting", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    assert [line[3:] for line in page.splitlines() if line.startswith("## ")][:-1] == list(FAILURES)
