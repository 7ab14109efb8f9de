"""Models that had answered and do no longer: what ``status`` says of them, and how soon."""

from __future__ import annotations

import re
import statistics
import time

from tests.integration.cli import Cli, Running
from tests.integration.engine import wait_for
from tests.integration.faults.campaign import Seen, judge, left, named
from tests.integration.faults.hasty import HASTY
from tests.integration.faults.results import record
from tests.integration.faults.serving import SERVING, Serving

PORT = 24940
#: seconds in which a dead engine is to be seen
BY_PROBE, BY_WATCH = 5.0, 15.0
#: seconds that an answer may go unnoticed; a machine that has more to do than that may be late once
NOTICED, BUSY = 0.3, 1.0
LOADS = (1.2, 2.7, 4.1, 5.3, 6.9)


def container(name: str) -> str:
    return f"orchestrator-{name}-transformers"


def green(cli: Cli, name: str) -> bool:
    return str(cli.inspect(cli.ids()[container(name)])["State"]["Health"]["Status"]) == "healthy"


def figure(name: str, what: str, seconds: float, limit: float, result: str = "") -> None:
    text = result or f"{seconds:.1f} s"
    record(name, "figures", what=what, result=text, limit=f"{limit:g} s", holds=seconds <= limit)


def broken(cli: Cli, fault: Serving, watch: Running) -> Seen:
    """Break one model, and see what is said of it."""
    fault.hit(cli.engine, container(fault.name))
    begun = time.monotonic()
    done = cli.run("status", fault.name, "--probe", code=None)
    took = time.monotonic() - begun
    if fault.name == "engine-hung":
        figure("seen-by-probe", "a hung engine behind a green container, by `status --probe`", took, BY_PROBE)
        wait_for(lambda: "unresponsive" in watch.out.read_text(), "status --watch", seconds=60)
        late = time.monotonic() - begun
        figure("seen-by-watch", "the same, by `status --watch`", late, BY_WATCH)
        assert (took <= BY_PROBE, late <= BY_WATCH) == (True, True), (took, late)
    said = done.out + done.err
    ready = re.search(rf"^{fault.name} +\S+ +ready ", said, re.MULTILINE) is not None
    return Seen(code=done.code, said=said, cause=named(said), seconds=took, ready=ready)


def test_what_is_broken_is_shown(cli: Cli) -> None:
    for port, fault in enumerate(SERVING, PORT):
        cli.entry(fault.name, port=port, environment=fault.knobs)
    before = cli.engine.objects()
    names = [fault.name for fault in SERVING]
    cli.run("up", *(fault.name for fault in SERVING if not fault.knobs))
    patient, cli.program = cli.program, HASTY
    cli.run("up", *(fault.name for fault in SERVING if fault.knobs))
    cli.program = patient
    wait_for(lambda: all(green(cli, name) for name in names), "Docker's own word")
    watch = cli.start("status", "--watch")
    found = {fault.name: broken(cli, fault, watch) for fault in SERVING}
    watch.kill_all()
    watch.end()
    cli.run("down", "--all", "--yes")
    lost = left(cli, before)
    for fault in SERVING:
        judge(fault, found[fault.name], lost)


def test_an_answer_is_noticed_at_once(cli: Cli) -> None:
    names = [
        cli.entry(f"after-{seconds}".replace(".", "-"), port=port, environment={"STUB_LOAD_SECONDS": str(seconds)})
        for port, seconds in enumerate(LOADS, PORT)
    ]
    cli.run("up", *names)
    late = sorted(noticed(cli, name) for name in names)
    words = f"{statistics.median(late):.2f} s ({late[0]:.2f} to {late[-1]:.2f})"
    figure("ready-noticed", "ready is noticed after the engine could answer", statistics.median(late), NOTICED, words)
    assert statistics.median(late) <= NOTICED
    assert late[-1] <= BUSY


def noticed(cli: Cli, name: str) -> float:
    """Seconds from when the engine could answer to when ``up`` asks it."""
    log = cli.run("logs", name).out
    could, asked = (float(re.findall(rf"{what} at ([\d.]+)", log)[0]) for what in ("could answer", '"GET /v1/models.*'))
    return asked - could
