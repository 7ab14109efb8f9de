"""``down`` and ``doctor`` on a real engine: what they prove, what they find of leftovers made by hand, what they spare.

GPU memory is that of the scripted NVML library, read through the real pynvml; the processes are real.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.compose import OWNER
from tests.integration.cli import Cli, Done, answers
from tests.integration.engine import wait_for
from tests.integration.nvml.library import Card, script

PORT = 24700
OURS = "orchestrator-tiny-transformers"
SERVICE = "tiny-transformers"
CARD = "GPU-aaaa"
TOTAL, RESERVED = 32607, 500
WEIGHTS = "orchestrator-weights"


@dataclass
class Driver:
    """What the driver says of the one card; who holds how many MiB of it, by pid."""

    place: Path

    def tell(self, held: Mapping[int, int], free: int | None = None) -> None:
        left = TOTAL - RESERVED - sum(held.values()) if free is None else free
        card = Card(CARD, "Stub RTX 5090", TOTAL, left, RESERVED, compute=dict(held))
        fresh = self.place.with_suffix(".new")
        fresh.write_text(script(card))
        fresh.rename(self.place)


@pytest.fixture
def driver(cli: Cli, library: Path) -> Driver:
    """A driver that tells of one card that nobody uses."""
    found = Driver(cli.folder / "nvml.script")
    cli.extra |= {"LD_LIBRARY_PATH": str(library), "NVML_SCRIPT": str(found.place)}
    found.tell({})
    return found


@pytest.fixture
def bystander() -> Iterator[int]:
    """A process of this host, in no container."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def up(cli: Cli, *, gpu: bool = False, name: str = "tiny", port: int = PORT, **environment: str) -> None:
    cli.entry(name, port=port, devices=("gpu",) if gpu else ("cpu",), environment=environment)
    cli.run("up", name, "--no-wait")


def docker(cli: Cli, *words: str) -> str:
    return cli.engine.run("docker", *words).stdout.strip()


def findings(cli: Cli, *arguments: str, code: int | None = None) -> list[dict[str, Any]]:
    found = json.loads(cli.run("doctor", "--json", *arguments, code=code).out)
    assert found["schema"] == 1
    return list(found["findings"])


def details(found: list[dict[str, Any]], check: str) -> list[str]:
    return [f["detail"] for f in found if f["check"] == check and f["verdict"] != "ok"]


def gone(done: Done) -> str:
    """The line of what was proved."""
    return next(line for line in done.err.splitlines() if line.startswith(f"{SERVICE}: gone, "))


# down


def test_down_says_what_it_proved(cli: Cli) -> None:
    up(cli)
    wait_for(lambda: answers(PORT), "the model")
    assert f"{SERVICE}: gone, container and name are gone, port {PORT} is free" in gone(cli.run("down", "tiny"))
    left = cli.engine.objects()
    assert not left.containers
    assert not left.networks
    assert len(left.volumes) == 3
    assert "it was down already" in cli.run("down", "tiny").err


def test_gpu_memory_that_comes_back_late(cli: Cli, driver: Driver) -> None:
    up(cli, gpu=True)
    pid = cli.process(OURS)
    driver.tell({pid: 11469})
    running = cli.start("down", "tiny")
    wait_for(lambda: not cli.ids(), "the container to go")
    assert running.process.poll() is None, "it goes on looking"
    driver.tell({}, free=20000)
    driver.tell({})
    done = running.end()
    assert done.code == 0, done
    assert "11.20 GiB of GPU 0 came back" in gone(done)


def test_what_a_neighbour_does_is_no_excuse_and_no_hindrance(cli: Cli, driver: Driver, bystander: int) -> None:
    up(cli, gpu=True)
    mine = cli.process(OURS)
    driver.tell({mine: 4096, bystander: 2048})
    running = cli.start("down", "tiny")
    wait_for(lambda: not cli.ids(), "the container to go")
    driver.tell({bystander: 6000})
    done = running.end()
    assert done.code == 0, done
    assert "4.00 GiB of GPU 0 came back" in gone(done)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("verb", ["down", "stop"])
def test_interrupted_while_an_engine_takes_its_time(cli: Cli, verb: str, number: int) -> None:
    """The answer comes at once, and the next command converges."""
    cli.entry("tiny", port=PORT)
    cli.run("up", "tiny", "--no-wait")
    # as its container, but deaf to SIGTERM
    labels = cli.inspect(OURS)["Config"]["Labels"] | {
        "io.orchestrator.service": "slow-transformers",
        "io.orchestrator.model": "slow",
    }
    words = [word for key, value in labels.items() if key.startswith("io.") for word in ("--label", f"{key}={value}")]
    deaf = ["--entrypoint", "sh", cli.inspect(OURS)["Config"]["Image"], "-c", "trap '' TERM; while :; do sleep 1; done"]
    docker(cli, "run", "--detach", "--name", "orchestrator-slow-transformers", *words, *deaf)
    running = cli.start(verb, "tiny", "slow")
    running.says(f"{SERVICE}: {'removed' if verb == 'down' else 'stopped'}")
    running.signal(number)
    done = running.end(timeout=10)
    assert done.code == 130, done
    assert "still there: " in done.err
    assert f"'orchestrator {verb} slow-transformers' goes on" in done.err
    docker(cli, "kill", "orchestrator-slow-transformers")
    cli.run("down", "--all", "--yes")
    assert not cli.ids()


# What was left


def test_down_all_finds_everything_also_without_the_state_folder(cli: Cli) -> None:
    up(cli)
    image = cli.inspect(OURS)["Config"]["Image"]
    own = {"schema": "1", "project": "orchestrator", "service": "lost-vllm", "model": "lost", "engine": "vllm"}
    labels = [word for key, value in own.items() for word in ("--label", f"io.orchestrator.{key}={value}")]
    docker(cli, "create", "--name", "orchestrator-lost-vllm", *labels, image)
    docker(cli, "create", "--name", "old", "--label", "io.orchestrator.schema=0", *labels[2:4], image)
    docker(cli, "run", "--detach", "--label", "io.orchestrator.helper", "--entrypoint", "sleep", image, "1000")
    docker(cli, "create", "--name", "others", "--label", "io.orchestrator.schema=1", image)
    docker(cli, "run", "--detach", "--name", "web", "--entrypoint", "sleep", image, "1000")
    for path in sorted(cli.state.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    done = cli.run("down", "--all", "--yes")
    assert set(cli.ids()) == {"others", "web"}, done
    assert not cli.engine.objects().networks
    assert "nothing to remove" in cli.run("down", "--all", "--yes").err


def test_weights_go_only_when_asked_and_unused(cli: Cli) -> None:
    up(cli)
    image = cli.inspect(OURS)["Config"]["Image"]
    docker(
        cli,
        "run",
        "--rm",
        "--entrypoint",
        "dd",
        "-v",
        f"{WEIGHTS}:/w",
        image,
        *["if=/dev/zero", "of=/w/a", "bs=1M", "count=2"],
    )
    docker(cli, "create", "--name", "reader", "-v", f"{WEIGHTS}:/w", image)
    refused = cli.run("down", "--all", "--purge", "--yes", code=1)
    assert "weights can't be removed while containers use them: reader; nothing was changed" in refused.err
    assert OURS in cli.ids()
    docker(cli, "rm", "reader")
    assert "declined" in cli.run("down", "tiny", "--purge", code=1).err
    done = cli.run("down", "tiny", "--purge", "--yes")
    assert f"volume {WEIGHTS}: gone, 0.0 GB came back" in done.err
    assert not cli.engine.objects()


# doctor


def test_doctor_finds_and_fix_mends_what_does_not_run(cli: Cli) -> None:
    up(cli)
    image = cli.inspect(OURS)["Config"]["Image"]
    schema = ["--label", "io.orchestrator.schema=1", "--label", "io.orchestrator.project=lab"]
    docker(cli, "create", "--name", "never", *schema, image)
    docker(cli, "run", "--name", "ended", *schema, "--entrypoint", "true", image)
    docker(cli, "run", "--detach", "--name", "runs", *schema, "--entrypoint", "sleep", image, "1000")
    docker(cli, "run", "--name", "helps", "--label", "io.orchestrator.helper", "--entrypoint", "true", image)
    docker(
        cli,
        "network",
        "create",
        "--label",
        "com.docker.compose.network=default",
        "--label",
        "com.docker.compose.project=lab",
        "lab_default",
    )
    docker(cli, "run", "--rm", "--user", "0", "--entrypoint", "chown", "-v", f"{WEIGHTS}:/w", image, "0:0", "/w")
    (cli.state / "preparing").write_text("orchestrator-gone")
    (cli.state / "orchestrator.lock").write_text("'orchestrator up tiny' of root (pid 4194304)")
    before = cli.started()

    found = findings(cli)
    assert {d.split(":")[0] for d in details(found, "leftovers")} == {
        "never",
        "ended",
        "helps",
        "lab_default",
        "runs runs, and no document describes it",
    }
    assert f"{WEIGHTS}: it belongs to 0:0 instead of {OWNER}" in details(found, "volumes")
    assert "orchestrator-gone: marked as unprepared, and gone" in details(found, "volumes")
    assert "died without giving it back" in details(found, "lock")[0]
    assert set(cli.ids()) >= {"never", "ended", "helps"}, "without --fix nothing is changed"

    done = cli.run("doctor", "--fix", code=None)
    for words in (
        "container never: gone",
        "container ended: gone",
        "helper helps: gone",
        "network lab_default: gone",
        f"volume {WEIGHTS}: given to {OWNER}",
        "mark orchestrator-gone: gone",
        "lock ",
    ):
        assert words in done.err, (words, done)
    assert set(cli.ids()) == {OURS, "runs"}
    assert cli.started() == {name: before[name] for name in (OURS, "runs")}, "what runs was not touched"
    after = findings(cli)
    assert details(after, "leftovers") == ["runs runs, and no document describes it"]
    assert details(after, "volumes") == []
    assert details(after, "lock") == []
    assert "gone" not in cli.run("doctor", "--fix", code=None).err


def test_a_container_that_lost_its_gpu(cli: Cli, driver: Driver) -> None:
    up(cli, gpu=True, STUB_FREE_MIB="/cache/free")
    docker(cli, "exec", OURS, "sh", "-c", "echo 24000 > /cache/free")
    assert details(findings(cli), "GPU access") == []
    docker(cli, "exec", OURS, "sh", "-c", "echo fail > /cache/free")
    found = [f for f in findings(cli) if f["check"] == "GPU access"]
    assert [f["verdict"] for f in found] == ["problem"]
    assert f"{OURS} can't reach its GPU any more, while the host can: NVIDIA-SMI has failed" in found[0]["detail"]
    assert f"'orchestrator restart {SERVICE}' gives it back" in found[0]["hint"]


def test_a_lock_that_outlives_its_holder_is_named(cli: Cli) -> None:
    cli.state.mkdir(exist_ok=True)
    lock = cli.state / "orchestrator.lock"
    lock.write_text("'orchestrator up tiny' of root (pid 4194304)")
    with subprocess.Popen(["flock", "--no-fork", str(lock), "sleep", "1000"]) as keeper:
        try:
            wait_for(lambda: "holds the lock" in str(details(findings(cli), "lock")), "the lock to be held")
            (said,) = details(findings(cli), "lock")
            assert "'orchestrator up tiny' of root (pid 4194304) is dead, and what it started holds the lock" in said
            assert f"(pid {keeper.pid})" in said
        finally:
            keeper.kill()
