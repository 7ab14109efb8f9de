"""Engines that don't come up, each in its own way: ``up`` names them all, and the one that is well serves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.integration.cli import Cli, Running
from tests.integration.engine import Engine, wait_for
from tests.integration.faults.campaign import Seen, judge, left
from tests.integration.faults.hasty import HASTY
from tests.integration.faults.starting import STARTS, Start

PORT = 24800
GOOD = "good"
GPUS = ("GPU-aaaa", "GPU-bbbb")
#: so many at a time, because each asks for some of the machine while it runs
BATCHES = 3
#: one of each batch, and of each kind, is mended and started again
MENDED = ("gpu-memory-at-load", "no-disk", "missing-repository")
LIMITED = "orchestrator-killed-by-the-kernel-transformers"


def write(cli: Cli, fault: Start, *, broken: bool = True) -> None:
    cli.entry(
        fault.name,
        port=PORT + STARTS.index(fault),
        devices=("gpu",) if fault.gpu else ("cpu",),
        environment={"STUB_LOAD_SECONDS": "0", **({"STUB_BREAK": fault.knob} if broken else {})},
    )


def small_disk(engine: Engine) -> None:
    """The volume for caches, of 1 MiB."""
    options = ("type=tmpfs", "device=tmpfs", "o=size=1m,uid=2000,gid=0,mode=0775")
    words = [word for option in options for word in ("--opt", option)]
    engine.run("docker", "volume", "create", *words, "orchestrator-cache")


def limit_memory(cli: Cli) -> None:
    """64 MiB, once its container is there."""

    def running() -> str:
        id_ = cli.ids().get(LIMITED, "")
        return id_ if id_ and cli.inspect(id_)["State"]["Running"] else ""

    id_ = wait_for(running, LIMITED)
    cli.engine.run("docker", "update", "--memory", "64m", "--memory-swap", "64m", id_)
    cli.engine.run("docker", "exec", id_, "touch", "/locks/limited")


def events(running: Running) -> tuple[int, list[dict[str, Any]]]:
    done = running.end(240)
    assert "Traceback" not in done.err, done
    return done.code, [json.loads(line) for line in done.out.splitlines()]


def of(told: Sequence[Mapping[str, Any]], service: str, kind: str) -> list[Mapping[str, Any]]:
    return [event for event in told if event.get("subject") == service and event["event"] == kind]


@pytest.mark.parametrize("batch", range(BATCHES))
def test_engines_that_do_not_come_up(cli: Cli, batch: int) -> None:
    cli.program = HASTY
    small_disk(cli.engine)
    cli.gpus(*GPUS)
    faults = STARTS[batch::BATCHES]
    before = cli.engine.objects()
    for fault in faults:
        write(cli, fault)
    cli.entry(GOOD, port=PORT + len(STARTS), devices=("gpu",))
    running = cli.start("up", *(fault.name for fault in faults), GOOD, "--json")
    if any(fault.name in LIMITED for fault in faults):
        limit_memory(cli)
    code, told = events(running)
    assert of(told, f"{GOOD}-transformers", "ready"), "the one that is well serves"
    shown = cli.status(code=1)
    cli.run("down", "--all", "--yes")
    lost = left(cli, before)
    wrong = []
    for fault in faults:
        try:
            judge(fault, seen(fault, code, told, shown[fault.name]), lost)
        except AssertionError as error:
            wrong.append(error)
    assert not wrong, "\n".join(map(str, wrong))
    mended(cli, [fault for fault in faults if fault.name in MENDED])


def seen(fault: Start, code: int, told: Sequence[Mapping[str, Any]], shown: Mapping[str, Any]) -> Seen:
    """What ``up`` and ``status`` say of one of them; they have to agree."""
    service = f"{fault.name}-transformers"
    (failed,) = of(told, service, "failed")
    assert (shown["state"], shown["cause"]["class"]) == ("parked", failed["cause"]), shown
    ready = bool(of(told, service, "ready")) or shown["ready"]
    return Seen(code=code, said=failed["text"], cause=failed["cause"], seconds=failed["seconds"], ready=ready)


def mended(cli: Cli, faults: Sequence[Start]) -> None:
    """What was broken starts as if nothing had been."""
    cli.engine.run("docker", "volume", "rm", "orchestrator-cache")
    for fault in faults:
        write(cli, fault, broken=False)
    names = [fault.name for fault in faults]
    cli.run("up", *names)
    assert all(entry["ready"] for entry in cli.status(*names).values())
