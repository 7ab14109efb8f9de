"""Starts on one GPU stay strictly one at a time, whoever starts the containers; nothing healthy is recreated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from tests.integration.cli import Cli, answers, prepare_volumes, steps
from tests.integration.engine import Engine, wait_for
from tests.integration.stub_image import STUB_IMAGE

PORT = 24400
NAMES = ("alpha", "beta", "gamma", "delta")


PORTS = {name: PORT + at for at, name in enumerate((*NAMES, "endless", "next", "free"))}


def entries(cli: Cli, *names: str, **environment: str) -> None:
    for name in names:
        cli.entry(name, port=PORTS[name], devices=("gpu",), environment={"STUB_LOAD_SECONDS": "0.5", **environment})


def container(name: str) -> str:
    return f"orchestrator-{name}-transformers"


def serve(*names: str) -> None:
    """Wait until all of them answer; sooner than Docker's next look at their health."""
    wait_for(lambda: all(answers(PORTS[name]) for name in names), f"{names} to serve", every=0.1)


def loads(engine: Engine, name: str) -> list[tuple[str, str]]:
    """When the stub began to load and when it was ready, for each start; by the engine's clock, as sortable text."""
    log = engine.run("docker", "logs", "--timestamps", container(name)).stdout
    stamps = re.findall(r"^(\S+) (loading weights|ready)$", log, re.MULTILINE)
    words = [word for _, word in stamps]
    assert words == ["loading weights", "ready"] * (len(words) // 2), log
    times = [time for time, _ in stamps]
    return list(zip(times[::2], times[1::2], strict=True))


def one_at_a_time(engine: Engine, names: Sequence[str], starts: int) -> None:
    """No two loads overlapped, by the loaders' own markers and by the times in their logs."""
    seen = engine.run("docker", "run", "--rm", "--volume", "orchestrator-locks:/locks", STUB_IMAGE, "ls", "/locks")
    assert "gpu-GPU-aaaa.lock" in seen.stdout
    assert "violations" not in seen.stdout
    spans = sorted(span for name in names for span in loads(engine, name))
    assert len(spans) == len(names) * starts
    assert all(ready < begin for (_, ready), (begin, _) in pairwise(spans)), spans


def test_four_models_on_one_gpu(cli: Cli, engine: Engine) -> None:
    """Rendered and started by Compose alone, then after a restart of the engine, then looked at again by both."""
    cli.gpus("GPU-aaaa")
    entries(cli, *NAMES)
    files = cli.folder / "rendered"
    cli.run("render", *NAMES, "--output", str(files))
    prepare_volumes(engine)
    compose = ("docker", "compose", "--file", str(files / "compose.yaml"), "up", "--detach")
    engine.run(*compose)
    serve(*NAMES)
    one_at_a_time(engine, NAMES, starts=1)
    assert {tuple(entry["gpus"]) for entry in cli.status().values()} == {("GPU-aaaa",)}

    engine.restart()
    serve(*NAMES)
    one_at_a_time(engine, NAMES, starts=2)

    before = cli.ids(), cli.started()
    engine.run(*compose)
    assert steps(cli.run("up", *NAMES).out) == {f"{name}-transformers": "keep" for name in NAMES}
    assert (cli.ids(), cli.started()) == before


def test_one_gpu_waits_and_the_other_does_not(cli: Cli, engine: Engine) -> None:
    cli.gpus("GPU-aaaa", "GPU-bbbb")
    entries(cli, "endless", STUB_NEVER_READY="1")
    entries(cli, "next", "free")
    cli.run("up", "endless", "--gpu", "GPU-aaaa", "--no-wait")
    wait_for(lambda: "gate: starting" in cli.run("logs", "endless").out, "the endless loader", every=0.1)
    cli.run("up", "next", "--gpu", "GPU-aaaa", "--no-wait")
    assert "ready, answered" in cli.run("up", "free", "--gpu", "GPU-bbbb").err

    wait_for(lambda: cli.status("next")["next"]["state"] == "queued", "the first look at the queue", every=0.1)
    waiting = cli.status()["next"]
    assert container("endless") in waiting["remark"], "it says who holds the GPU"
    assert cli.status()["endless"]["state"] == "starting"
    cli.run("down", "endless")
    serve("next")
    one_at_a_time(engine, ["next"], starts=1)


def test_a_power_cut_with_models_up(cli: Cli, engine: Engine) -> None:
    """The kernel forgets the locks of the dead; what comes back is serial too."""
    cli.gpus("GPU-aaaa")
    names = NAMES[:2]
    entries(cli, *names)
    cli.run("up", *names, "--no-wait")
    serve(*names)
    before = cli.ids()
    engine.restart(power_cut=True)
    serve(*names)
    assert cli.ids() == before
    one_at_a_time(engine, names, starts=2)
