"""kill -9 of ``up`` in the middle, then ``up`` again: it always comes to the same good end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.cli import DEMO, Cli, Running, answers, read_yaml, steps
from tests.integration.engine import Engine, wait_for

PORT = 24300
OURS = "orchestrator-tiny-transformers"
SERVICE = "tiny-transformers"


def has_volumes(engine: Engine) -> bool:
    with engine.client() as client:
        return bool(client.api.volumes()["Volumes"])


def has_network(engine: Engine) -> bool:
    with engine.client() as client:
        return bool(client.api.networks(names=["orchestrator_default"]))


def has_container(engine: Engine) -> bool:
    """Whether a container of ours is there, begun or not: one that is just created is nearly always seen so."""
    with engine.client() as client:
        return bool(client.api.containers(all=True, filters={"label": "io.orchestrator.schema"}))


def is_replacing(engine: Engine) -> bool:
    """Whether Compose has made the new container beside the old one, under a name for the time being."""
    with engine.client() as client:
        rows = client.api.containers(all=True, filters={"label": "io.orchestrator.schema"})
        return any(row["Names"][0] != f"/{OURS}" for row in rows)


def kill_up_alone(running: Running) -> None:
    running.process.kill()


def kill_the_session(running: Running) -> None:
    running.kill_all()


def kill_when(cli: Cli, seen: Callable[[Engine], bool], kill: Callable[[Running], None], *arguments: str) -> None:
    """Start ``up`` and kill it as soon as ``seen`` is true."""
    running = cli.start(*arguments)
    wait_for(lambda: seen(cli.engine), seen.__name__, every=0.005)
    kill(running)
    assert running.end().code == -9


def settled(cli: Cli) -> None:
    """One container, of the right name, that serves; and nothing is left to be done."""
    again = cli.run("up", "tiny", "--no-wait", "--yes")  # the old one may serve by now
    wait_for(lambda: answers(PORT), f"the model after {again}")
    assert list(cli.ids()) == [OURS], again
    assert steps(cli.run("up", "tiny", "--no-wait").out) == {SERVICE: "keep"}


@pytest.mark.parametrize(
    ("seen", "kill"),
    [
        (has_volumes, kill_the_session),
        (has_network, kill_the_session),
        (has_container, kill_the_session),
        (has_container, kill_up_alone),
    ],
)
def test_killed_while_creating(cli: Cli, seen: Callable[[Engine], bool], kill: Callable[[Running], None]) -> None:
    cli.entry("tiny", port=PORT)
    kill_when(cli, seen, kill, "up", "tiny")
    assert (cli.state / "orchestrator.lock").read_text().startswith("'orchestrator up tiny'"), "the lock is stale"
    settled(cli)


@pytest.mark.parametrize("kill", [kill_up_alone, kill_the_session])
def test_killed_while_replacing(cli: Cli, kill: Callable[[Running], None]) -> None:
    cli.entry("tiny", port=PORT)
    cli.run("up", "tiny", "--no-wait")
    cli.entry("tiny", port=PORT, max_model_len=1024)
    kill_when(cli, is_replacing, kill, "up", "tiny", "--yes")
    settled(cli)
    assert "1024" in cli.inspect(OURS)["Config"]["Cmd"]


def test_killed_while_following(cli: Cli) -> None:
    cli.entry("tiny", port=PORT)
    running = cli.start("up", "tiny")
    running.says(f"{SERVICE}: starting")
    running.process.kill()
    running.end()
    before = cli.ids()
    again = cli.run("up", "tiny")
    assert steps(again.out) == {SERVICE: "keep"}
    assert f"{SERVICE}: ready, answered" in again.err
    assert cli.ids() == before


def test_killed_while_building(cli: Cli, cpu_image: str) -> None:
    cli.engine.run("docker", "image", "rm", cpu_image)
    running = cli.start("up", "demo")
    running.says(f"{cpu_image}: build: image is missing")
    running.kill_all()
    running.end()
    assert not cli.engine.objects(), "nothing is made before there is an image"
    again = cli.run("up", "demo", "--no-wait", timeout=300)
    assert steps(again.out)[cpu_image] == "build"
    wait_for(lambda: answers(read_yaml(DEMO)["engines"]["transformers"]["port"]), "the demo")


def test_killed_while_stopping(cli: Cli) -> None:
    """A ``down`` that is killed is finished by the next one."""
    cli.entry("tiny", port=PORT)
    cli.run("up", "tiny", "--no-wait")
    running = cli.start("down", "tiny")
    running.says(f"{SERVICE}: remove")
    running.kill_all()
    running.end()
    cli.start("down", "tiny").end()
    assert not cli.ids()
    cli.run("up", "tiny", "--no-wait")
    wait_for(lambda: answers(PORT), "the model")
