"""``sleep`` and ``wake`` on a real engine: a model gives its place on the GPU to another and gets it back.

vLLM is the stub, which answers as vLLM 0.32.0 does; the card is the scripted NVML library's. What a real GPU gives back
is not seen here.
"""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from orchestrator.inventory import MIB
from tests.integration.cli import REPOSITORY, Cli, read_yaml, steps, write_yaml
from tests.integration.engine import Engine, wait_for
from tests.integration.nvml.library import Card, script
from tests.integration.stub_image import STUB_IMAGE

PHI, NEW = "phi", "new"
CONTAINER = f"orchestrator-{PHI}-vllm"
PORT = 24460
TOTAL, RESERVED = 16384, 300
#: MiB that phi holds less than it claims, and what it holds asleep
SPARE, ASLEEP = 700, 1100
GO = "/tmp/go"
#: kills the engine in its container
KILL = """
import glob, os
for path in glob.glob("/proc/[0-9]*/cmdline"):
    if open(path).read().split("\\0")[1:3] == ["-m", "server"]:
        os.kill(int(path.split("/")[2]), 9)
"""


@pytest.fixture
def here(cli: Cli, library: Path) -> Cli:
    """A card of 16 GiB; phi on vLLM, and new, which finds no room beside it."""
    cli.extra |= {
        "LD_LIBRARY_PATH": str(library),
        "NVML_SCRIPT": str(cli.folder / "nvml.script"),
        "CUDA_VISIBLE_DEVICES": "",
    }
    entry(cli)
    cli.entry(
        NEW, port=PORT + 1, devices=("gpu",), parameters=2_300_000_000, environment={"STUB_TOTAL_MIB": str(TOTAL)}
    )
    tell(cli, 0)
    return cli


def entry(cli: Cli, **environment: str) -> None:
    """phi's entry: the registry's own of Qwen2-VL on vLLM, served by the stub."""
    found = read_yaml(REPOSITORY / "orchestrator" / "registry" / "models" / "qwen2-vl-2b.yaml")
    engine = found["engines"]["vllm"]
    engine |= {"image": STUB_IMAGE, "port": PORT, "sleep_mode": True}
    engine["environment"] = {"STUB_TOTAL_MIB": str(TOTAL), **environment}
    found |= {"name": PHI, "engines": {"vllm": engine}}
    found["source"]["revision"] = "0" * 40
    found["probe"].pop("expect", None)
    write_yaml(cli.registry / f"{PHI}.yaml", found)


def tell(cli: Cli, held: int) -> None:
    """Let the driver say that so many MiB are in use."""
    place = Path(cli.extra["NVML_SCRIPT"])
    draft = place.with_suffix(".new")
    draft.write_text(script(Card("GPU-a", "Stub", TOTAL, TOTAL - RESERVED - held, RESERVED)))
    draft.rename(place)


def go(engine: Engine) -> None:
    engine.run("docker", "exec", CONTAINER, "touch", GO)


def post(path: str) -> None:
    """As somebody with curl would."""
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}{path}", method="POST")
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200


def state(cli: Cli) -> str:
    return str(cli.status(PHI)[PHI]["state"])


def docker_says(cli: Cli) -> tuple[str, str]:
    """Docker's own word of the container's health, and the phase in the gate's last line."""
    health = cli.inspect(CONTAINER)["State"]["Health"]
    last: dict[str, Any] = json.loads(health["Log"][-1]["Output"])
    return health["Status"], last["phase"]


def test_a_place_on_the_gpu_is_given_away_and_comes_back(here: Cli, engine: Engine) -> None:
    entry(here, STUB_SLEEP_UNTIL=GO)
    assert here.run("up", PHI).err.count("ready, answered") == 1
    claim = here.status()[PHI]["claim_bytes"] // MIB
    tell(here, claim - SPARE)
    here.run("plan", NEW, code=3)

    sleeping = here.start("sleep", PHI)
    sleeping.says(f"{PHI}-vllm: sleep: asked for")
    tell(here, ASLEEP)
    go(engine)
    done = sleeping.end()
    assert done.code == 0, done
    assert f"asleep, {(claim - SPARE - ASLEEP) / 1024:.2f} GiB of GPU GPU-a came back" in done.err

    found = here.status()[PHI]
    assert (found["state"], found["ready"], found["claim_bytes"] // MIB) == ("asleep", False, claim)
    assert "phi is asleep" in here.run("ask", PHI, "hi", code=1).err
    wait_for(lambda: docker_says(here) == ("healthy", "asleep"), "Docker to know it", every=0.2)

    assert steps(here.run("up", NEW).out)[f"{NEW}-transformers"] == "create"
    before = here.ids(), here.started()
    refused = here.run("wake", PHI, code=3).err
    assert "phi can't wake: it claims" in refused
    assert f"orchestrator-{NEW}-transformers claims" in refused
    assert f"'orchestrator stop {NEW}' makes room" in refused
    assert "phi can't wake" in here.run("up", PHI, code=3).err
    assert (here.ids(), here.started()) == before
    seen = here.status()
    assert {name: entry["state"] for name, entry in seen.items()} == {PHI: "asleep", NEW: "ready"}
    assert not seen[PHI]["drift"]

    here.run("stop", NEW)
    woken = here.run("wake", PHI).err
    assert f"{PHI}-vllm: ready, answered" in woken
    assert state(here) == "ready"
    assert "saw 0 images" in here.run("ask", PHI, "hi").out
    assert here.ids()[CONTAINER] == before[0][CONTAINER], "no restart"
    assert here.started()[CONTAINER] == before[1][CONTAINER]


def test_one_put_to_sleep_by_hand_is_seen_and_woken_by_up(here: Cli) -> None:
    here.run("up", PHI)
    post("/sleep?level=1")
    assert state(here) == "asleep"
    assert here.run("sleep", PHI).err.startswith(f"{PHI}-vllm: sleep: it is asleep already")
    up = here.run("up", PHI)
    assert steps(up.out) == {f"{PHI}-vllm": "wake"}
    assert f"{PHI}-vllm: ready, answered" in up.err
    assert state(here) == "ready"
    assert steps(here.run("up", PHI).out) == {f"{PHI}-vllm": "keep"}

    post("/sleep?level=2")
    refused = here.run("wake", PHI, code=1).err
    assert "without keeping its weights" in refused
    here.run("restart", PHI)
    wait_for(lambda: state(here) == "ready", "the restart")


@pytest.mark.parametrize(("verb", "end"), [("sleep", "asleep"), ("wake", "ready")])
def test_one_that_was_cut_off_is_finished_by_the_next(here: Cli, engine: Engine, verb: str, end: str) -> None:
    """Killed between the order and the answer; what the engine began goes on."""
    entry(here, **{f"STUB_{verb.upper()}_UNTIL": GO})
    here.run("up", PHI)
    if verb == "wake":
        post("/sleep?level=1")
    cut = here.start(verb, PHI)
    cut.says(f"{PHI}-vllm: {verb}: asked for")
    wait_for(busy, "the order to be taken", every=0.1)
    cut.kill_all()
    cut.end()
    assert here.status(PHI)[PHI]["state"] in {"ready", "asleep"}
    again = here.start(verb, PHI)
    again.says(f"{PHI}-vllm: {verb}: ")
    go(engine)
    done = again.end()
    assert done.code == 0, done
    assert state(here) == end


def busy() -> bool:
    """Whether the engine is at it: it does not answer a question about it."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/is_sleeping", timeout=0.5):
            return False
    except TimeoutError:
        return True


def test_an_engine_that_ends_asleep_waits_for_its_memory(here: Cli, engine: Engine) -> None:
    free = "/cache/free"
    entry(here, STUB_FREE_MIB=free)
    here.run("up", PHI, "--no-wait")
    put = ("docker", "exec", CONTAINER, "sh", "-c")
    engine.run(*put, f"echo {TOTAL} > {free}")
    here.run("up", PHI)
    here.run("sleep", PHI)
    engine.run(*put, f"echo 2000 > {free}")
    engine.run("docker", "exec", CONTAINER, "python3", "-c", KILL)
    wait_for(lambda: state(here) == "waiting-memory", "the gate to wait", every=0.2)
    lines = engine.run("docker", "logs", CONTAINER).stderr
    assert f"gate: waiting-memory: GPU-a: 2000 of {TOTAL} MiB free" in lines
    engine.run(*put, f"echo {TOTAL} > {free}")
    wait_for(lambda: state(here) == "ready", "the engine to be back", every=0.2)
