"""What ``.ci/bench`` measures of vLLM: what ``up`` adds to the engine's own start, from the time stamps of each run.

The demo on the CPU, in the image of ours. Neither figure holds vLLM's own loading, nor the question's own duration.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench_server import Figure

from tests.integration.engine import Engine
from tests.integration.moments import moments

ORCHESTRATOR = (sys.executable, "-m", "orchestrator", "--project", "bench-vllm")
CONTAINER = "bench-vllm-demo-vllm"
READY = "demo-vllm: ready, answered"


@dataclass(frozen=True)
class VllmBench:
    """The demo on vLLM. ``state``: the folder of what was applied."""

    engine: Engine
    state: Path

    @property
    def env(self) -> dict[str, str]:
        return {**self.engine.env, "ORCHESTRATOR_STATE_DIR": str(self.state)}

    def start(self, rounds: int = 5) -> Iterator[Figure]:
        """A first run makes volumes and caches, and does not count."""
        taken = [self._up() for _ in range(rounds + 1)][1:]
        before, after, whole = ([times[n] for times in taken] for n in range(3))
        alike = f"the whole `up` {statistics.median(whole):.1f} s"
        for title, seconds, limit in (("vLLM's start", before, 1.5), ("vLLM's readiness", after, 0.3)):
            told = f"{statistics.median(seconds):.2f} s ({min(seconds):.2f}-{max(seconds):.2f})"
            yield Figure(title, told, alike, rounds, statistics.median(seconds), "s", limit)

    def _up(self) -> tuple[float, float, float]:
        """Start of ``up`` to the engine's process; its first 200 to "ready", less the question; all of it."""
        argv = [*ORCHESTRATOR, "up", "demo", "--mode", "vllm"]
        began = time.time()
        with subprocess.Popen(
            argv, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as running:
            assert running.stderr is not None  # noqa: S101 (a pipe was asked for)
            ready = next((time.time() for line in running.stderr if READY in line), 0.0)
            running.stderr.read()
        if not ready:
            sys.exit(f"{' '.join(argv)}: the demo did not become ready")
        found = moments(self.engine, CONTAINER)
        subprocess.run([*ORCHESTRATOR, "down", "demo"], env=self.env, check=True, stderr=subprocess.DEVNULL)
        return (
            found.started - began,
            (found.asked - found.answered) + (ready - found.told),
            ready - began,
        )


def prepare(engine: Engine, work: Path) -> VllmBench:
    """Builds the image."""
    bench = VllmBench(engine, work / "vllm")
    subprocess.run([*ORCHESTRATOR, "image", "build", "vllm-cpu"], env={**os.environ, **bench.env}, check=True)
    return bench
