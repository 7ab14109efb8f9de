"""GPU reservations: each container is handed exactly the device that was planned for it."""

from __future__ import annotations

from tests.integration.cli import Cli, steps
from tests.integration.engine import Engine

PORT = 24500
#: in 32 bits more than half of a card, so that two do not fit on one
LARGE = 4_000_000_000


def visible(engine: Engine, container: str) -> list[str]:
    """What the engine told the container's first process of GPUs."""
    environ = engine.run("docker", "exec", container, "cat", "/proc/1/environ").stdout.split("\0")
    return [line.partition("=")[2] for line in environ if line.startswith("NVIDIA_VISIBLE_DEVICES=")]


def test_each_container_sees_its_own_gpu_only(cli: Cli, engine: Engine) -> None:
    cli.gpus("GPU-aaaa", "GPU-bbbb")
    for port, name in enumerate(("one", "two"), PORT):
        cli.entry(name, port=port, devices=("gpu",), parameters=LARGE)
    cli.entry("host", port=PORT + 2)
    cli.run("up", "one", "two", "host", "--no-wait")
    seen = {name: visible(engine, f"orchestrator-{name}-transformers") for name in ("one", "two", "host")}
    assert seen == {"one": ["GPU-aaaa"], "two": ["GPU-bbbb"], "host": []}

    status = cli.status()
    for name, gpus in seen.items():
        assert status[name]["gpus"] == gpus
        host = cli.inspect(status[name]["container_id"])["HostConfig"]
        asked = [(r["Driver"], r["DeviceIDs"], r["Capabilities"], r["Count"]) for r in host["DeviceRequests"] or ()]
        assert asked == [("nvidia", gpus, [["gpu"]], 0)] * len(gpus)
    assert status["one"]["claim_bytes"] > LARGE * 4
    assert status["host"]["claim_bytes"] == 0


def test_a_third_model_does_not_fit_and_starts_nothing(cli: Cli, engine: Engine) -> None:
    cli.gpus("GPU-aaaa", "GPU-bbbb")
    names = [
        cli.entry(name, port=port, devices=("gpu",), parameters=LARGE)
        for port, name in enumerate(("one", "two", "three"), PORT)
    ]
    refused = cli.run("up", *names, code=3)
    assert "does not fit" in refused.err
    assert not engine.objects()


def test_another_gpu_is_asked_for(cli: Cli, engine: Engine) -> None:
    cli.gpus("GPU-aaaa", "GPU-bbbb")
    cli.entry("one", port=PORT, devices=("gpu",))
    cli.run("up", "one", "--gpu", "1", "--no-wait")
    assert visible(engine, "orchestrator-one-transformers") == ["GPU-bbbb"]
    assert steps(cli.run("up", "one", "--no-wait").out) == {"one-transformers": "keep"}, "it stays where it is"

    moved = cli.run("up", "one", "--gpu", "GPU-aaaa", "--no-wait", "--yes")
    assert "GPU changed: GPU-bbbb -> GPU-aaaa" in moved.err
    assert visible(engine, "orchestrator-one-transformers") == ["GPU-aaaa"]
