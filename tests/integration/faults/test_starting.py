"""Engines that don't come up, each in its own way: ``up`` names them all, and the one that is well serves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.integration.cli import Cli, Running
from tests.integration.engine import Engine, wait_for
from tests.integration.faults.campaign import Seen, judge, left
from tests.integration.faults.starting import STARTS, Start

PORT = 24800
GOOD = "good"
GPUS = ("GPU-aaaa", "GPU-bbbb")
#: one of each kind is mended and started again
MENDED = ("gated", "no-disk", "gpu-memory-at-load")
LIMITED = "orchestrator-killed-by-the-kernel-transformers"


def write(cli: Cli, image: str, fault: Start, port: int, *, broken: bool = True) -> None:
    cli.entry(
        fault.name,
        port=port,
        image=image,
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


@pytest.fixture
def started(cli: Cli, quick_stub: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and events of one ``up`` of everything."""
    small_disk(cli.engine)
    cli.gpus(*GPUS)
    for port, fault in enumerate(STARTS, PORT):
        write(cli, quick_stub, fault, port)
    cli.entry(GOOD, port=PORT + len(STARTS), image=quick_stub, devices=("gpu",))
    running = cli.start("up", *(fault.name for fault in STARTS), GOOD, "--json")
    limit_memory(cli)
    return events(running)


def test_engines_that_do_not_come_up(cli: Cli, quick_stub: str, started: tuple[int, list[dict[str, Any]]]) -> None:
    code, told = started
    assert of(told, f"{GOOD}-transformers", "ready"), "the one that is well serves"
    shown = cli.status(code=1)
    before = cli.engine.objects()
    cli.run("down", *(fault.name for fault in STARTS))
    lost = left(cli, before)
    wrong = []
    for fault in STARTS:
        service = f"{fault.name}-transformers"
        (failed,) = of(told, service, "failed")
        state = shown[fault.name]
        seen = Seen(
            code=code,
            said=failed["text"],
            cause=failed["cause"],
            seconds=failed["seconds"],
            left=lost,
            ready=bool(of(told, service, "ready")) or state["ready"],
        )
        assert (state["state"], state["cause"]["class"]) == ("parked", failed["cause"]), state
        try:
            judge(fault, seen)
        except AssertionError as error:
            wrong.append(error)
    assert not wrong, "\n".join(map(str, wrong))
    mended(cli, quick_stub)


def mended(cli: Cli, image: str) -> None:
    """What was broken starts as if nothing had been."""
    cli.run("down", "--all", "--yes")
    cli.engine.run("docker", "volume", "rm", "orchestrator-cache")
    for port, fault in enumerate(STARTS, PORT):
        if fault.name in MENDED:
            write(cli, image, fault, port, broken=False)
    cli.run("up", *MENDED)
    assert all(entry["ready"] for entry in cli.status(*MENDED).values())
