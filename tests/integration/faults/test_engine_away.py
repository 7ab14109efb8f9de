"""Docker is stopped and started under a running ``up`` and under ``status --watch``."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.integration.cli import Cli, Done
from tests.integration.engine import Engine, wait_for
from tests.integration.faults.results import record

OURS = "orchestrator-tiny-transformers"
LIVE = "--live-restore"
ENDS = {0: "it went on", 1: "an error", 4: "an error"}


@pytest.fixture
def restored(engine: Engine) -> Iterator[None]:
    """After the test the engine runs as it did before."""
    yield
    engine.restart()


def restart(engine: Engine, *options: str) -> None:
    engine.stop()
    engine.start(*options)


def clear(done: Done) -> None:
    """It went on, or it says that Docker is away, and what to do."""
    assert done.code in {0, 1, 4}, done
    assert "Traceback" not in done.err
    assert "internal error" not in done.err
    if done.code:
        assert "Docker" in done.err, done
        assert "\nhint:  " in done.err, done


@pytest.mark.parametrize("options", [(), pytest.param((LIVE,), marks=pytest.mark.long)])
@pytest.mark.parametrize(("words", "when"), [("tiny-transformers: create", "creating"), ("starting", "following")])
def test_docker_restarts_under_up(cli: Cli, restored: None, words: str, when: str, options: tuple[str, ...]) -> None:
    if options:
        restart(cli.engine, *options)
    cli.entry("tiny", port=24930, environment={"STUB_LOAD_SECONDS": "3"})
    running = cli.start("up", "tiny")
    running.says(words)
    restart(cli.engine, *options)
    done = running.end()
    print(done)
    clear(done)
    again = cli.run("up", "tiny")
    assert list(cli.ids()) == [OURS], again
    assert cli.status()["tiny"]["ready"] is True
    assert not list(cli.state.glob("*/previous/*"))
    cli.run("down", "--all", "--purge", "--yes")
    assert not cli.engine.objects()
    record(
        f"docker-restarts-{when}{'-live' if options else ''}",
        "crashes",
        what=f"Docker restarts {'(live-restore) ' if options else ''}while `up` is {when}, then `up`",
        result=f"{ENDS[done.code]} (exit code {done.code}); the next `up` came to a model that answers",
        limit="a clear end, and the next one converges",
        holds=True,
    )


def test_docker_restarts_under_the_watch(cli: Cli, restored: None) -> None:
    cli.entry("tiny", port=24930)
    cli.run("up", "tiny")
    watch = cli.start("status", "--watch")
    wait_for(lambda: " ready " in watch.out.read_text(), "the watch")
    cli.engine.stop()
    wait_for(lambda: "error: no Docker Engine answers" in watch.out.read_text(), "the watch to say so")
    seen = len(watch.out.read_text())
    cli.engine.start()
    wait_for(lambda: " ready " in watch.out.read_text()[seen:], "the watch to see it again")
    watch.signal(signal.SIGINT)
    done = watch.end()
    assert done.code == 130, done
    assert "Traceback" not in done.err
    record(
        "docker-restarts-under-the-watch",
        "crashes",
        what="Docker restarts under `status --watch`",
        result="it says that Docker is away, and shows the models again when it is back; Ctrl-C ends it",
        limit="goes on",
        holds=True,
    )
