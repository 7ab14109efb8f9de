"""docs/man is what its script makes of the help, and a formatter of manual pages has nothing to say against it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.functional.test_cli_examples import verbs

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs" / "man").iterdir())


def test_the_pages_are_fresh() -> None:
    done = subprocess.run([sys.executable, ".ci/man", "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_verb_has_a_page_with_its_examples() -> None:
    for path, verb in verbs():
        page = (ROOT / "docs" / "man" / f"orchestrator-{path.replace(' ', '-')}.1").read_text(encoding="utf-8")
        assert page.count(".nf\n") == 1 + len(verb.examples)


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_the_pages_are_formatted_without_a_warning() -> None:
    argv = ["groff", "-man", "-Tutf8", "-Kutf8", "-ww", "-z", *map(str, PAGES)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
