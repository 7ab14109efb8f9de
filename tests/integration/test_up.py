"""The main job, on a real engine: one model per container, up, asked, seen, changed, down."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli import DEMO, Cli, answers, read_yaml, steps
from tests.integration.engine import Engine, wait_for

PORT = 24100
VOLUMES = {"orchestrator-weights", "orchestrator-cache", "orchestrator-locks"}
PROBE = Path(__file__).parents[2] / "orchestrator" / "probe.png"


def hardened(container: dict[str, Any]) -> None:
    """What every container of ours has to be, by the engine's own word."""
    config, host = container["Config"], container["HostConfig"]
    assert config["User"] == "2000:0"
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["CapAdd"] is None
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Privileged"] is False
    assert host["Init"] is True
    assert host["ShmSize"] == 256 << 20
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert {bound["HostIp"] for port in host["PortBindings"].values() for bound in port} == {"127.0.0.1"}


def test_the_demo_is_built_served_asked_and_removed(cli: Cli, cpu_image: str) -> None:
    cli.engine.run("docker", "image", "rm", cpu_image)  # its layers stay in the build cache
    up = cli.run("up", "demo", timeout=300)
    assert steps(up.out) == {cpu_image: "build", **dict.fromkeys(VOLUMES, "volume"), "demo-transformers": "create"}
    assert f"{cpu_image}: built" in up.err
    assert "demo-transformers: ready, answered" in up.err

    assert cli.run("ask", "demo", "Read the text.", "--image", str(PROBE)).out.strip() == "PROBE7"
    seen = cli.status()["demo"]
    assert (seen["state"], seen["ready"], seen["engine"]) == ("ready", True, "transformers")
    assert seen["url"] == f"http://127.0.0.1:{read_yaml(DEMO)['engines']['transformers']['port']}"
    container = cli.inspect(seen["container_id"])
    hardened(container)
    assert [m["Type"] for m in container["Mounts"]] == ["volume"] * 3, "the gate comes with our own image"
    assert re.search(rf"{re.escape(cpu_image)} +built", cli.run("image", "list").out)

    assert steps(cli.run("up", "demo").out) == {"demo-transformers": "keep"}
    cli.run("down", "demo")
    assert cli.engine.objects().volumes >= VOLUMES, "weights and caches stay"


def test_a_second_up_keeps_and_a_changed_entry_replaces_with_consent(cli: Cli, tmp_path: Path) -> None:
    cli.entry("tiny", port=PORT)
    cli.run("up", "tiny")
    before = cli.ids(), cli.started()
    again = cli.run("up", "tiny")
    assert "keep  tiny-transformers  nothing changed" in again.out
    assert "tiny-transformers: ready, answered" in again.err
    assert (cli.ids(), cli.started()) == before
    wait_for(lambda: "healthy" in cli.run("status").out, "Docker's own word, which is later")
    table = cli.run("status").out.splitlines()
    assert table[0].split() == ["MODEL", "ENGINE", "STATE", "HEALTH", "GPU", "CLAIM", "ADDRESS", "UP"]
    assert table[1].split()[:-1] == ["tiny", "transformers", "ready", "healthy", "CPU", "-", f"127.0.0.1:{PORT}"]

    (tmp_path / "mine").mkdir()
    cli.entry("tiny", port=PORT, max_model_len=1024, folder=tmp_path / "mine")
    folders = ("--registry", str(cli.registry), "--registry", str(tmp_path / "mine"))
    cause = "command changed: --max-model-len 2048 -> 1024"
    refused = cli.run(*folders, "up", "tiny", code=1)
    assert cause in refused.out
    assert "declined; nothing was changed" in refused.err
    assert (cli.ids(), cli.started()) == before
    assert answers(PORT)

    replaced = cli.run(*folders, "up", "tiny", "--yes", "--no-wait")
    assert f"tiny-transformers: replace: {cause}" in replaced.err
    wait_for(lambda: answers(PORT), "the new container")
    assert cli.ids().keys() == before[0].keys()
    assert cli.ids() != before[0]


def test_stop_start_restart_logs_and_down(cli: Cli, engine: Engine) -> None:
    cli.entry("tiny", port=PORT)
    cli.run("up", "tiny", "--no-wait")
    wait_for(lambda: answers(PORT), "the model")
    container = cli.ids()
    log = cli.run("logs", "tiny").out
    assert "gate: starting" in log
    assert "ready" in log
    assert len(cli.run("logs", "tiny", "--tail", "1").out.splitlines()) == 1

    cli.run("stop", "tiny")
    assert cli.status()["tiny"]["state"] == "stopped"
    assert not answers(PORT)
    cli.run("start", "tiny")
    wait_for(lambda: answers(PORT), "the model after start")
    first = cli.started()
    cli.run("restart", "tiny")
    wait_for(lambda: answers(PORT), "the model after restart")
    assert cli.started() != first
    cli.run("stop", "tiny")
    assert steps(cli.run("up", "tiny", "--no-wait").out) == {"tiny-transformers": "start"}
    wait_for(lambda: answers(PORT), "the model after up")
    assert cli.ids() == container

    assert f"tiny-transformers: gone, container and name are gone, port {PORT} is free" in cli.run("down", "tiny").err
    assert "nothing runs" in cli.run("status").out
    left = engine.objects()
    assert not left.containers
    assert not left.networks
    assert left.volumes == VOLUMES
    assert cli.run("down", "tiny").err == "tiny: gone, it was down already\n"


def test_two_models_at_once(cli: Cli) -> None:
    names = [cli.entry("tiny", port=PORT), cli.entry("other", port=PORT + 1, shm_mib=64)]
    up = cli.run("up", *names)
    for name in names:
        assert f"{name}-transformers: ready, answered" in up.err
        assert cli.run("ask", name, "?", "--image", str(PROBE)).out == f"stub {name} saw 1 images\n"
    seen = cli.status()
    assert {name: seen[name]["url"] for name in names} == {
        "tiny": f"http://127.0.0.1:{PORT}",
        "other": f"http://127.0.0.1:{PORT + 1}",
    }
    assert list(cli.status("other")) == ["other"]
    hardened(cli.inspect(seen["tiny"]["container_id"]))
    assert cli.inspect(seen["other"]["container_id"])["HostConfig"]["ShmSize"] == 64 << 20


def test_nothing_secret_is_in_inspect(cli: Cli) -> None:
    """A token of the caller's environment stays there; that of a file is only mounted."""
    cli.extra |= {"HF_TOKEN": "hf_thisissecret", "HUGGING_FACE_HUB_TOKEN": "hf_thisissecret"}
    cli.entry("tiny", port=PORT)
    cli.run("up", "tiny", "--no-wait")
    assert "hf_thisissecret" not in json.dumps(cli.inspect(cli.ids()["orchestrator-tiny-transformers"]))
    written = [p.read_text(errors="replace") for p in cli.state.rglob("*") if p.is_file()]
    assert written
    assert not any("hf_thisissecret" in text for text in written)


def test_a_parked_engine_is_told_at_once_and_mended_by_its_entry(cli: Cli) -> None:
    cli.entry("tiny", port=PORT, environment={"STUB_EXIT": "2"})
    reason = "The engine refused its configuration (exit code 2)."
    up = cli.run("up", "tiny", code=1)
    assert f"tiny-transformers: failed, parked: {reason}" in up.err
    assert "error: not ready: tiny-transformers" in up.err

    table = cli.run("status", code=1).out
    assert "parked" in table
    assert reason in table
    seen = cli.status(code=1)["tiny"]
    assert (seen["state"], seen["ready"]) == ("parked", False)
    assert seen["remark"] == f"{reason} Correct the registry entry. (wrong-configuration)"
    assert seen["cause"]["class"] == "wrong-configuration"
    assert "is not ready: parked" in cli.run("ask", "tiny", "?", code=1).err

    cli.entry("tiny", port=PORT)
    assert steps(cli.run("up", "tiny", "--no-wait").out) == {"tiny-transformers": "replace"}
    wait_for(lambda: answers(PORT), "the mended model")


def test_a_server_of_another_name_is_not_ready(cli: Cli) -> None:
    cli.entry("tiny", port=PORT, environment={"STUB_WRONG_NAME": "else"})
    up = cli.run("up", "tiny", code=1)
    assert "tiny-transformers: failed, it serves else instead of tiny" in up.err
    assert "failed: it serves else" in cli.run("status", "--probe", code=1).out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_up_says_what_goes_on(cli: Cli, number: signal.Signals) -> None:
    cli.entry("tiny", port=PORT, environment={"STUB_NEVER_READY": "1"})
    running = cli.start("up", "tiny")
    running.says("tiny-transformers: starting")
    running.signal(number)
    done = running.end(10)
    assert done.code == 130, done
    assert "Traceback" not in done.err
    assert "what was begun for tiny goes on starting" in done.err
    assert "'orchestrator down tiny' takes it down" in done.err
    assert cli.status()["tiny"]["state"] == "starting"


def test_a_timeout_leaves_it_starting(cli: Cli) -> None:
    cli.entry("tiny", port=PORT, environment={"STUB_NEVER_READY": "1"})
    up = cli.run("up", "tiny", "--timeout", "1", code=1)
    assert "not ready after 1 s; it goes on starting" in up.err
    assert cli.status()["tiny"]["state"] == "starting"


def test_doctor_and_inventory_see_the_real_engine(cli: Cli, tmp_path: Path) -> None:
    cli.entry("tiny", port=PORT)
    version = cli.engine.run("docker", "version", "--format", "{{.Server.Version}}").stdout.strip()
    findings = {f["check"]: f for f in json.loads(cli.start("doctor", "--json").end().out)["findings"]}
    assert (findings["Docker Engine"]["verdict"], findings["Docker Engine"]["detail"]) == ("ok", version)
    assert findings["Compose"]["verdict"] == "ok"
    assert findings["ports"]["verdict"] == "ok"
    assert findings["containers"]["detail"] == "0 of ours, none failed"

    seen = json.loads(cli.run("inventory", "--json").out)
    assert seen["docker"] == version
    cli.run("inventory", "--output", str(tmp_path / "host.yaml"))
    planned = cli.run("plan", "tiny", "--inventory", str(tmp_path / "host.yaml")).out
    assert steps(planned) == {**dict.fromkeys(VOLUMES, "volume"), "tiny-transformers": "create"}
    assert not cli.engine.objects(), "plan does nothing"
