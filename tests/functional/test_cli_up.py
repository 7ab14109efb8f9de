"""``up`` from start to answer, and every way that it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from orchestrator import traits
from orchestrator.errors import DockerAway, EnvironmentProblem, FitError, OrchestratorError
from orchestrator.observation import Foreign, Gate, PortHolder
from orchestrator.plan.images import VLLM_CPU, built_image
from orchestrator.ports import DockerVersion
from tests.builders import READY, gpu
from tests.fakes import FakePulse, FakeWorld, parse
from tests.functional.cli import Command, Said

DEMO = "demo-transformers"
OFFICIAL, OURS = traits.VLLM_CPU_IMAGE, built_image(VLLM_CPU).reference


def nothing_started(here: FakeWorld, said: Said, code: int, *words: str) -> None:
    said.refused(code, *words)
    assert here.log == []
    assert here.docker.containers == {}
    assert here.workspace.files == {}


def test_a_first_start_is_shown_step_by_step(here: FakeWorld, do: Command) -> None:
    said = do("up", "demo")
    assert said.code == 0, said
    reference = next(iter(here.docker.images))
    assert said.out.startswith("Plan for project orchestrator on this host\n")
    assert said.err.splitlines() == [
        f"{reference}: build: image is missing",
        f"{reference}: built (0.0 s)",
        "orchestrator-cache: prepared (0.0 s)",
        "orchestrator-locks: prepared (0.0 s)",
        "orchestrator-weights: prepared (0.0 s)",
        f"{DEMO}: create: no container",
        f"{DEMO}: created (0.0 s)",
        f"{DEMO}: ready, answered (0.0 s)",
    ]
    assert said.out.splitlines()[-1].split()[:4] == ["demo", "transformers", "ready", "healthy"]
    ((base, model, prompt, image, tokens),) = here.models.asked
    assert (base, model, prompt, tokens) == ("http://127.0.0.1:24000", "demo", "Read the text.", 16)
    assert image is not None
    assert image.startswith(b"\x89PNG")


def test_a_second_start_keeps_and_asks_again(here: FakeWorld, do: Command) -> None:
    do("up", "demo")
    here.log.clear()
    said = do("up", "demo")
    assert said.code == 0
    assert "keep  demo-transformers  nothing changed" in said.out
    assert here.log == []
    assert len(here.models.asked) == 2


def test_a_later_start_keeps_the_earlier_in_the_fleet(here: FakeWorld, do: Command, tmp_path: Path) -> None:
    folder = own_entry(tmp_path, "name: demo", "name: second", port=25000)
    do("up", "demo")
    do("--registry", str(folder), "up", "second")
    assert fleet(here) == [f"{DEMO}.yaml", "second-transformers.yaml"]
    do("down", "demo")
    do("--registry", str(folder), "up", "second")
    assert fleet(here) == ["second-transformers.yaml"]


def fleet(here: FakeWorld) -> object:
    return parse(here.workspace.files["orchestrator"]["compose.yaml"])["include"]


def test_two_projects_live_side_by_side(here: FakeWorld, do: Command) -> None:
    do("up", "demo")
    said = do("--project", "other", "up", "demo")
    assert said.code == 0
    assert "port 24000 is taken by container orchestrator-demo-transformers, so it gets 24001" in said.out
    assert {c.name for c in here.docker.containers.values()} == {
        "orchestrator-demo-transformers",
        "other-demo-transformers",
    }


def test_a_dry_run_does_nothing(here: FakeWorld, do: Command) -> None:
    said = do("up", "demo", "--dry-run")
    assert said.code == 0
    assert "create  demo-transformers" in said.out
    assert here.log == []
    assert here.workspace.files == {}


def test_no_wait_asks_nothing(here: FakeWorld, do: Command) -> None:
    here.compose.born = lambda c: replace(c, state="running", health="starting", gate=Gate("starting"))
    said = do("up", "demo", "--no-wait")
    assert said.code == 0
    assert here.models.asked == []
    assert "starting" in said.out


def test_a_change_of_what_serves_needs_consent(here: FakeWorld, do: Command) -> None:
    do("up", "demo")
    here.log.clear()
    said = do("up", "demo", "--port", "25000")
    said.refused(1, "declined; nothing was changed", "--yes")
    assert here.log == []
    said = do("up", "demo", "--port", "25000", "--yes")
    assert said.code == 0
    assert "port changed: 24000 -> 25000" in said.out
    assert [c.port for c in here.docker.containers.values()] == [25000]


def test_a_parked_model_is_restarted(here: FakeWorld, do: Command) -> None:
    do("up", "demo")
    here.docker.change(DEMO, gate=Gate("parked", "it crashed 3 times"), health="unhealthy")
    said = do("up", "demo")
    assert said.code == 0
    assert "it is parked: it crashed 3 times" in said.out


def test_a_changed_image_replaces(here: FakeWorld, do: Command) -> None:
    do("up", "demo")
    here.builder.sources["tf5-cpu"] = "source-2"
    said = do("up", "demo", "--yes")
    assert said.code == 0
    assert "its sources changed" in said.out
    assert "image was rebuilt" in said.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["up"], ["no model named"]),
        (["up", "demmo"], ["there is no model 'demmo'", "did you mean demo?"]),
        (["up", "qwen"], ["did you mean qwen2-vl-2b or qwen2-vl-7b?"]),
        (["up", "Qwen2-VL-2B-Instruct"], ["did you mean qwen2-vl-2b?"]),
        (["up", "xyzzy", "demo", "plugh"], ["no model 'xyzzy' and no model 'plugh'", "known models: demo"]),
        (["up", "demo", "--port", "80"], ["port 80 can't be used", "need privileges"]),
        (["up", "demo", "--port", "-1"], ["port -1 can't be used"]),
        (["up", "demo", "--port", "65536"], ["port 65536 can't be used"]),
        (["up", "demo", "--port", "40000"], ["port 40000 lies in the ephemeral range 32768-60999"]),
        (["up", "demo", "--port", "many"], ["'many' is not a valid integer", "up --help"]),
        (["up", "demo", "qwen2-vl-2b", "--port", "25000"], ["--port is for one model, and 2 were named"]),
        (["up", "demo", "--gpu", "0"], ["there is no GPU '0'", "NVML: no driver"]),
        (["up", "demo", "--mode", "llama"], ["'llama' is not one of 'auto', 'vllm', 'transformers'"]),
        (["up", "demo", "--inventory", "nowhere.yaml"], ["can't read the file", "nowhere.yaml"]),
        (["up", "demo", "--timeout", "-1"], ["-1"]),
        (["up", "demo", "--frobnicate"], ["No such option", "--help' explains"]),
        (["--project", "Not A Name", "up", "demo"], ["'Not A Name' can't be a project name"]),
        (["--registry", "/nowhere", "up", "demo"], ["1 problem", "/nowhere: can't be read as a folder of models"]),
        (["up", "got-ocr2", "--mode", "vllm"], ["got-ocr2 can't run on vllm"]),
        (["up", "phi-3-vision"], ["no revision of it is pinned: phi-3-vision", "--allow-unpinned"]),
        (["updog"], ["No such command 'updog'", "orchestrator --help"]),
        (["--frobnicate"], ["No such option"]),
        (["up", "demo", "--project", "x"], ["--project goes before the verb", "'orchestrator --project ...'"]),
    ],
)
def test_wrong_requests(here: FakeWorld, do: Command, arguments: list[str], words: list[str]) -> None:
    here.gpus.gpus = ()
    nothing_started(here, do(*arguments), 2, *words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["qwen2-vl-2b"], ["qwen2-vl-2b needs a GPU, and this host has none", "where: NVML: no driver", "doctor"]),
        (["demo", "qwen2-vl-2b"], ["qwen2-vl-2b needs a GPU"]),
    ],
)
def test_what_does_not_fit_this_host(here: FakeWorld, do: Command, arguments: list[str], words: list[str]) -> None:
    nothing_started(here, do("up", *arguments), 3, *words)


def test_a_gpu_that_does_not_exist_names_those_that_do(here: FakeWorld, do: Command) -> None:
    here.gpus.gpus = (gpu("GPU-a"), gpu("GPU-b"))
    nothing_started(here, do("up", "qwen2-vl-2b", "--gpu", "7"), 2, "no GPU '7'", "0 (GPU-a), 1 (GPU-b)")


def test_a_model_that_is_too_large(here: FakeWorld, do: Command) -> None:
    here.gpus.gpus = (gpu("GPU-a", total=24, free=2),)
    said = do("up", "qwen2-vl-7b", "demo")
    nothing_started(here, said, 3, "qwen2-vl-7b does not fit", "the GPU has 1.75 GiB left", "are missing")


def test_a_port_that_a_process_holds(here: FakeWorld, do: Command) -> None:
    here.docker.listeners = (PortHolder(25000, "process nginx (pid 7)"),)
    nothing_started(here, do("up", "demo", "--port", "25000"), 3, "taken by process nginx (pid 7)")
    here.docker.listeners = (PortHolder(24000, "process nginx (pid 7)"),)
    assert "so it gets 24001" in do("up", "demo").out


def test_a_foreign_container_with_our_name(here: FakeWorld, do: Command) -> None:
    here.docker.foreign = (Foreign("abcdef0123456789", "orchestrator-demo-transformers"),)
    nothing_started(here, do("up", "demo"), 3, "not ours (abcdef012345)", "docker rename")


def test_no_docker(here: FakeWorld, do: Command) -> None:
    here.docker.broken = EnvironmentProblem("no Docker Engine answers", where="/x.sock", hint="start Docker")
    nothing_started(here, do("up", "demo"), 4, "no Docker Engine answers", "where: /x.sock")


def test_no_compose(here: FakeWorld, do: Command) -> None:
    here.compose.missing = EnvironmentProblem("Docker has no Compose plugin", where="/bin/docker", hint="install it")
    nothing_started(here, do("up", "demo"), 4, "no Compose plugin")


def test_podman_in_place_of_docker(here: FakeWorld, do: Command) -> None:
    here.docker.engine = DockerVersion("5.4.0", podman=True)
    nothing_started(here, do("up", "demo"), 4, "Podman 5.4.0 answers", "DOCKER_HOST")


def test_an_image_that_can_not_be_built(here: FakeWorld, do: Command) -> None:
    here.builder.sources = {"tf5-cuda": "source-1"}
    nothing_started(
        here, do("up", "demo"), 4, "is missing, and this version can't build it", "buildable here: tf5-cuda"
    )


def test_a_gated_model_without_a_token(here: FakeWorld, do: Command, tmp_path: Path) -> None:
    folder = own_entry(tmp_path, "licence: Apache-2.0", "licence: Apache-2.0\n  gated: true", builtin=False)
    said = do("--registry", str(folder), "up", "demo")
    nothing_started(here, said, 4, "demo is gated", "where: /state/orchestrator/secrets/hf_token")
    here.workspace.put("hf_token")
    assert do("--registry", str(folder), "up", "demo").code == 0


def test_another_orchestrator_holds_the_lock(here: FakeWorld, do: Command) -> None:
    here.workspace.busy = OrchestratorError("waited 900 s for the lock, which 'orchestrator up x' holds", hint="wait")
    nothing_started(here, do("up", "demo"), 1, "'orchestrator up x' holds")


def test_a_build_that_fails(here: FakeWorld, do: Command) -> None:
    here.builder.fails = OrchestratorError("building it failed; nothing was started", hint="--verbose")
    do("up", "demo").refused(1, "building it failed")
    assert here.docker.containers == {}


def test_compose_that_fails_leaves_nothing(here: FakeWorld, do: Command) -> None:
    here.compose.fails = FitError("a port was taken in the meantime", hint="run it again")
    do("up", "demo").refused(3, "a port was taken in the meantime")
    assert here.docker.containers == {}


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ({"gate": Gate("parked", "CUDA out of memory"), "health": "unhealthy"}, "parked: CUDA out of memory"),
        ({"state": "exited", "exit_code": 1, "gate": None, "health": ""}, "dead: exit code 1"),
    ],
)
def test_a_start_that_fails(here: FakeWorld, do: Command, state: dict[str, Any], word: str) -> None:
    here.compose.born = lambda c: replace(c, **{"state": "running", **state})
    said = do("up", "demo")
    said.refused(1, f"not ready: {DEMO}", f"{DEMO}: failed, {word}", "orchestrator logs demo")


def test_a_start_that_takes_too_long(here: FakeWorld, do: Command) -> None:
    here.compose.born = lambda c: replace(c, state="running", health="starting", gate=Gate("starting"))
    do("up", "demo", "--timeout", "5").refused(1, "not ready after 5 s; it goes on starting")


def test_a_slow_start_is_followed(here: FakeWorld, do: Command) -> None:
    here.compose.born = lambda c: replace(c, state="running", health="starting", gate=Gate("starting"))
    here.clock.at(30, lambda: here.docker.change(DEMO, gate=READY, health="healthy"))
    said = do("up", "demo")
    assert said.code == 0
    assert f"{DEMO}: starting (0 s)" in said.err
    assert f"{DEMO}: ready, answered (30." in said.err


def test_another_model_on_the_port(here: FakeWorld, do: Command) -> None:
    here.models.names = ("somebody-else",)
    said = do("up", "demo")
    said.refused(1, "it serves somebody-else instead of demo")
    assert " unresponsive " in said.out, "what it shows at its end agrees"
    assert " ready " not in said.out
    assert "failed: it serves somebody-else instead of demo" in said.out


def test_a_model_that_does_not_answer(here: FakeWorld, do: Command) -> None:
    here.models.fails = OrchestratorError("demo refused (500): boom")
    do("up", "demo").refused(1, "it does not answer: demo refused (500): boom")


def test_an_answer_that_is_not_the_expected_one(here: FakeWorld, do: Command, tmp_path: Path) -> None:
    folder = own_entry(tmp_path, "  expect: ^PROBE7$\n", '  expect: "cat|dog"\n')
    do("--registry", str(folder), "up", "demo").refused(1, "it answers 'PROBE7', expected 'cat|dog'")
    here.models.answer = "a cat"
    assert do("--registry", str(folder), "up", "demo").code == 0


def test_ctrl_c_says_what_goes_on(here: FakeWorld, do: Command) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    here.compose.born = lambda c: replace(c, state="running", health="starting", gate=Gate("starting"))
    here.clock.at(3, interrupt)
    do("up", "demo").refused(130, "interrupted; what was begun for demo goes on starting", "orchestrator down demo")


def away(here: FakeWorld) -> None:
    here.docker.broken = DockerAway("no Docker Engine answers", where="/x.sock", hint="start Docker")


def test_docker_that_goes_away_while_a_start_is_followed(here: FakeWorld, do: Command) -> None:
    here.compose.born = lambda c: replace(c, state="running", health="starting", gate=Gate("starting"))
    here.clock.at(3, lambda: away(here))
    do("up", "demo").refused(
        4, "Docker went away meanwhile: no Docker Engine answers", "when it is back, 'orchestrator up demo' goes on"
    )


def test_docker_that_goes_away_before_the_answer_is_no_fault_of_the_model_s(here: FakeWorld, do: Command) -> None:
    """What served before would come back in its place."""

    class Last(FakePulse):
        def beating(self, urls: Sequence[str], patience: float) -> frozenset[str]:
            found = super().beating(urls, patience)
            if found:
                away(here)
            return found

    here.pulse = Last(here.docker)
    said = do("up", "demo")
    said.refused(4, "Docker went away meanwhile")
    assert "failed" not in said.err


def own_entry(tmp_path: Path, before: str, after: str, *, builtin: bool = True, port: int = 24000) -> Path:
    """A folder with the demo's entry, changed in one place; without builtin it comes from a repository."""
    text = (Path(__file__).parents[2] / "orchestrator/registry/models/demo.yaml").read_text(encoding="utf-8")
    assert before in text
    text = (
        text.replace(before, after).replace("port: 24000", f"port: {port}").replace("port: 24050", f"port: {port + 50}")
    )
    if not builtin:
        text = text.replace("  builtin: demo\n", "  repository: owner/demo\n")
    name = text.partition("\nname: ")[2].partition("\n")[0]
    (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    return tmp_path


def test_vllm_on_the_cpu_gets_the_official_image_where_it_can_be_had(here: FakeWorld, do: Command) -> None:
    said = do("up", "demo", "--mode", "vllm")
    assert said.code == 0
    assert here.docker.asked_for == [OFFICIAL]
    assert f"pull {OFFICIAL}" in here.log
    assert "third party" not in said.out
    assert here.docker.of("demo-vllm").image == OFFICIAL


def test_vllm_on_the_cpu_gets_ours_where_the_official_image_can_not_be_had(here: FakeWorld, do: Command) -> None:
    here.docker.registry = False
    said = do("up", "demo", "--mode", "vllm")
    assert said.code == 0
    assert f"build {OURS}" in here.log
    assert "warning: demo: vLLM 0.32.0 for the CPU comes from a third party's wheels, for trial and tests" in said.out
    assert "the founding report" not in said.out, "it does not know the model"

    here.docker.registry = True
    again = do("up", "demo", "--mode", "vllm")
    assert "keep  demo-vllm  nothing changed" in again.out
    assert here.docker.asked_for == [OFFICIAL], "what runs stays, so nobody needs to be asked"


def test_weights_that_come_with_orchestrator_are_mounted_into_vllm(here: FakeWorld, do: Command) -> None:
    do("up", "demo", "--mode", "vllm")
    files = here.workspace.files["orchestrator"]
    weights = Path(__file__).parents[2] / "orchestrator" / "server" / "builtin" / "demo"
    assert {name: data for name, data in files.items() if name.startswith("builtin/")} == {
        f"builtin/demo/{path.name}": path.read_bytes() for path in weights.iterdir()
    }
    served = parse(files["demo-vllm.yaml"])["services"]["demo-vllm"]
    assert [(v["source"], v["target"], v.get("read_only")) for v in served["volumes"][3:]] == [
        ("./builtin/demo", "/weights/local", True),
        ("./gate", "/opt/orchestrator/gate", True),
    ]
    assert served["environment"]["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
    assert served["shm_size"] == str(256 << 20)
    start = served["command"][served["command"].index("--") + 1 :]
    assert start[:3] == ["vllm", "serve", "/weights/local"]
    words = dict(pairwise(start))
    assert words["--dtype"] == "float32"
    assert words["--kv-cache-memory-bytes"] == str(2 * 4 * 2 * 32 * 4 * (8 * 2048 + 128))
    assert words["--mm-processor-kwargs"] == '{"max_pixels":12544}'
    assert "--enforce-eager" in start
    assert "--gpu-memory-utilization" not in start


def test_the_demo_s_engine_is_transformers_unless_asked(here: FakeWorld, do: Command) -> None:
    do("up", "demo")
    assert here.docker.asked_for == []
    assert [c.service for c in here.docker.containers.values()] == [DEMO]
