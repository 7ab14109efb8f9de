"""Somebody else is there already: other shells, other containers, other processes."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.cli import Cli, answers, steps
from tests.integration.engine import Engine, wait_for
from tests.integration.stub_image import STUB_IMAGE

PORT = 24200
OURS = "orchestrator-tiny-transformers"


@contextmanager
def listening(port: int) -> Iterator[str]:
    """Listen on the port; yields how the holder is to be called."""
    with socket.create_server(("127.0.0.1", port)):
        yield f"process {Path('/proc/self/comm').read_text().strip()} (pid {os.getpid()})"


@contextmanager
def publishing(engine: Engine, port: int) -> Iterator[str]:
    """Let a foreign container hold the port."""
    run_foreign(engine, "web", "--publish", f"127.0.0.1:{port}:80")
    yield "container web"


def run_foreign(engine: Engine, name: str, *options: str) -> None:
    engine.run("docker", "run", "--detach", "--init", "--name", name, *options, STUB_IMAGE, "sleep", "infinity")


@pytest.fixture(params=["process", "container"])
def holder(request: pytest.FixtureRequest, engine: Engine, stub_image: str) -> Iterator[str]:
    """The port is taken; the value says by whom."""
    with listening(PORT) if request.param == "process" else publishing(engine, PORT) as name:
        yield name


def test_from_a_taken_port_it_moves_to_the_next(cli: Cli, holder: str) -> None:
    cli.entry("tiny", port=PORT)
    moved = cli.run("up", "tiny", "--no-wait")
    assert f"port {PORT} is taken by {holder}, so it gets {PORT + 1}" in moved.out
    wait_for(lambda: answers(PORT + 1), "the model on the next port")


def test_a_foreign_container_of_our_name_is_untouched(cli: Cli, engine: Engine) -> None:
    run_foreign(engine, OURS)
    before, started = engine.objects(), cli.started()
    cli.entry("tiny", port=PORT)
    refused = cli.run("up", "tiny", code=3)
    assert f"the container name {OURS} is taken by a container that is not ours" in refused.err
    assert "--project" in refused.err
    assert cli.run("down", "tiny").err == "tiny: gone, it was down already\n"
    assert (engine.objects(), cli.started()) == (before, started)


@pytest.mark.parametrize("arguments", [("down", "tiny"), ("down", "--all", "--yes")])
def test_down_leaves_foreign_things_alone(cli: Cli, engine: Engine, arguments: tuple[str, ...]) -> None:
    """Also those that another Compose project of the same name made, and what has joined our network."""
    cli.entry("tiny", port=PORT)
    cli.run("up", "tiny", "--no-wait")
    ours = cli.ids()
    theirs = ("--label", "com.docker.compose.project=orchestrator")
    engine.run("docker", "network", "create", *theirs, "orchestrator_theirs")
    run_foreign(engine, "web", *theirs, "--label", "com.docker.compose.service=web")
    run_foreign(engine, "guest", "--network", "orchestrator_default")
    engine.run("docker", "stop", "--time", "1", "guest")
    foreign = cli.ids().keys() - ours.keys()

    cli.run(*arguments)
    assert cli.ids().keys() == foreign
    networks = engine.run("docker", "network", "ls", "--format", "{{.Name}}").stdout.split()
    assert {"orchestrator_theirs", "orchestrator_default"} <= set(networks)
    engine.run("docker", "start", "guest")


def test_three_ups_of_the_same_model(cli: Cli) -> None:
    cli.entry("tiny", port=PORT)
    runs = [cli.start("up", "tiny") for _ in range(3)]
    ended = [run.end() for run in runs]
    assert [done.code for done in ended] == [0, 0, 0], "\n".join(map(str, ended))
    assert list(cli.ids()) == [OURS]
    assert sorted(steps(done.out)["tiny-transformers"] for done in ended) == ["create", "keep", "keep"]
    holders = [f"waiting for 'orchestrator up tiny' of {getpass.getuser()} (pid {run.process.pid})" for run in runs]
    assert any(line in done.err for done in ended for line in holders), ended


def test_three_ups_of_different_models(cli: Cli) -> None:
    names = [cli.entry(name, port=PORT + at) for at, name in enumerate(("tiny", "other", "third"))]
    runs = [cli.start("up", name, "--no-wait") for name in names]
    ended = [run.end() for run in runs]
    assert [done.code for done in ended] == [0, 0, 0], "\n".join(map(str, ended))
    assert cli.ids().keys() == {f"orchestrator-{name}-transformers" for name in names}
    wait_for(lambda: all(answers(PORT + at) for at in range(3)), "all three")
    assert steps(cli.run("up", *names, "--no-wait").out) == {f"{name}-transformers": "keep" for name in names}


def test_two_projects_share_a_host(cli: Cli) -> None:
    cli.entry("tiny", port=PORT)
    cli.run("up", "tiny", "--no-wait")
    second = cli.run("--project", "second", "up", "tiny", "--no-wait")
    assert f"port {PORT} is taken by container {OURS}, so it gets {PORT + 1}" in second.out
    cli.run("--project", "second", "down", "--all", "--yes")
    assert list(cli.ids()) == [OURS]
