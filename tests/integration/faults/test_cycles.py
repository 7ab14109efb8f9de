"""Many cycles of ``up`` and ``down``: nothing is left, and nothing grows."""

from __future__ import annotations

import json
import statistics
import sys

import pytest

from tests.integration.cli import REPOSITORY, Cli
from tests.integration.faults.results import record
from tests.integration.faults.standing import nothing_more, standing

#: cycles after which everything was imported, cached and opened that ever will be
WARM = 5
#: Blocks of memory for each cycle: an event or a container that is kept is more than that.
BLOCKS = 10
#: Bytes in all: Python takes memory from the system in pieces of that size.
BYTES = 1 << 20


@pytest.mark.parametrize("cycles", [20, pytest.param(200, marks=pytest.mark.long)])
def test_nothing_is_left_and_nothing_grows(cli: Cli, cycles: int) -> None:
    cli.entry("tiny", port=24910)
    cli.run("up", "tiny")
    cli.run("down", "tiny")
    before = standing(cli)
    report = cli.folder / "held"
    shell = cli.beside("cycling", sys.executable, "-m", f"{__package__}.cycling", PYTHONPATH=str(REPOSITORY))
    shell.run(str(cycles), str(report), timeout=30 * cycles)
    held = [json.loads(line) for line in report.read_text().splitlines()]
    files, threads = ([cycle[kind] for cycle in held] for kind in ("files", "threads"))
    blocks = _growth([cycle["blocks"] for cycle in held[WARM:]])
    size = held[-1]["bytes"] - held[WARM]["bytes"]
    print(f"{files=} {threads=} {blocks=:.2f} {size=}", [cycle["blocks"] for cycle in held])
    steady = max(files[WARM:]) <= files[WARM] and max(threads[WARM:]) <= threads[WARM]
    holds = len(held) == cycles and steady and blocks <= BLOCKS and size <= BYTES
    try:
        nothing_more(cli, before)
    except AssertionError:
        holds = False
        raise
    finally:
        record(
            "cycles",
            "crashes",
            what=f"{len(held)} cycles of `up` and `down` in one process: containers, networks, volumes, files, locks, "
            "links, namespaces, control groups, mounts, processes and packet filter rules; open files, threads, memory",
            result=f"nothing left; {files[-1] - files[WARM]:+d} open files, {threads[-1]} thread, "
            f"{size / 1000:+.0f} kB in all",
            limit=f"as before; {BYTES / 1000:.0f} kB in all",
            holds=holds,
        )
    assert holds


def _growth(values: list[int]) -> float:
    """For each cycle, by the straight line that fits best: single outliers don't matter."""
    return statistics.linear_regression(range(len(values)), values).slope
