"""The README's tour works line by line, as written."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.integration.cli import REPOSITORY, Cli
from tests.integration.engine import Engine

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SECONDS = 120


def _tour() -> list[str]:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    lines = [line.removeprefix("$ ") for block in _BLOCK.findall(text) for line in block.splitlines()]
    return [line for line in lines if not line.startswith("make ")]


def test_the_tour(engine: Engine, cpu_image: str, tmp_path: Path) -> None:
    cli = Cli(engine, tmp_path)
    assert cli.run("up", "demo").code == 0, "what make demo does before the tour"
    lines = _tour()
    assert len(lines) > 10, "the README has lost its tour"
    for line in lines:
        words = shlex.split(line)
        assert words[0] == "orchestrator", line
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=REPOSITORY,
            env=cli.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr, line
