"""Phases of a start as they are shown; answers that are noticed at once; a dead engine behind a green container."""

from __future__ import annotations

import json
import re
import signal
import statistics
import time

import pytest

from tests.integration.cli import Cli
from tests.integration.engine import wait_for

PORT = 24100
OURS = "orchestrator-tiny-transformers"
#: the engine's process in its container, found by its command line and sent a signal
_SIGNAL = (
    "import os, sys, pathlib\n"
    "for p in pathlib.Path('/proc').glob('[0-9]*/cmdline'):\n"
    "    words = p.read_bytes().split(b'\\0')\n"
    "    if words[1:3] == [b'-m', b'server']: os.kill(int(p.parent.name), int(sys.argv[1]))\n"
)
#: seconds that an answer may go unnoticed; the machine of the tests has more to do than that
NOTICED, BUSY = 0.3, 1.0


def hit(cli: Cli, number: signal.Signals) -> None:
    cli.engine.run("docker", "exec", OURS, "python3", "-c", _SIGNAL, str(int(number)))


def green(cli: Cli) -> bool:
    return str(cli.inspect(cli.ids()[OURS])["State"]["Health"]["Status"]) == "healthy"


def noticed(cli: Cli, seconds: float) -> float:
    """Seconds from when the engine could answer to when ``up`` asks it."""
    cli.entry("tiny", port=PORT, environment={"STUB_LOAD_SECONDS": str(seconds)})
    cli.run("up", "tiny", "--yes")
    log = cli.run("logs", "tiny").out
    could, asked = (float(re.findall(rf"{what} at ([\d.]+)", log)[0]) for what in ("could answer", '"GET /v1/models.*'))
    cli.run("down", "tiny")
    return asked - could


def test_an_answer_is_noticed_at_once(cli: Cli) -> None:
    late = [noticed(cli, seconds) for seconds in (0.2, 1.7, 3.1, 6.3, 7.9)]
    print(f"noticed after {', '.join(f'{x:.3f}' for x in late)} s")
    assert statistics.median(late) <= NOTICED
    assert max(late) <= BUSY


def test_phases_on_a_program_s_stdout(cli: Cli) -> None:
    cli.entry("tiny", port=PORT, environment={"STUB_LOAD_SECONDS": "12"})
    events = [json.loads(line) for line in cli.run("up", "tiny", "--json").out.splitlines()]
    phases = [event["phase"] for event in events if event["event"] == "phase"]
    assert phases[0] == "starting"
    assert "load" in phases
    kinds = [event["event"] for event in events]
    assert (kinds[0], kinds[-2:]) == ("plan", ["ready", "end"])
    assert events[-1]["models"][0]["ready"] is True, "though Docker may not know yet"


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_dead_engine_behind_a_green_container_is_shown_dead(cli: Cli, number: signal.Signals) -> None:
    cli.entry("tiny", port=PORT)
    cli.run("up", "tiny")
    wait_for(lambda: green(cli), "Docker's own word")
    watch = cli.start("status", "--watch")
    hit(cli, number)
    begun = time.monotonic()
    probe = cli.run("status", "--probe", code=None)
    took = time.monotonic() - begun
    assert " ready " not in probe.out, probe
    print(f"status --probe: {took:.1f} s")
    assert took <= 5
    if number == signal.SIGSTOP:
        assert probe.code == 1
        assert "unresponsive" in probe.out
        wait_for(lambda: "unresponsive" in watch.out.read_text(), "status --watch", seconds=15)
        print(f"status --watch: {time.monotonic() - begun:.1f} s")
    watch.kill_all()
    watch.end()
    if number == signal.SIGSTOP:
        hit(cli, signal.SIGKILL)
