"""The verbs that only look: plan, render, status, inventory, doctor, models, image. JSON shapes are a contract."""

from __future__ import annotations

import json
import os
import re
from contextlib import chdir
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orchestrator import traits
from orchestrator.errors import EnvironmentProblem, OrchestratorError
from orchestrator.evidence import Use
from orchestrator.inventory import GIB
from orchestrator.observation import Gate, PortHolder, Progress
from orchestrator.plan import optimal
from orchestrator.ports import DockerVersion
from tests.builders import container, gpu
from tests.fakes import FakeWorld, parse
from tests.functional.cli import Command, world
from tests.unit.registry_texts import changed, entry

INVENTORY = """\
schema_version: 1
name: box
docker: "28.5.2"
gpus:
  - {id: "0", name: A card, total_mib: 24564}
"""


@pytest.fixture
def here() -> FakeWorld:
    found = world(gpu("GPU-a"))
    found.gpus.driver = "580.95.05"
    return found


def untouched(here: FakeWorld) -> None:
    assert here.log == []
    assert here.workspace.files == {}


# plan


def test_plan(here: FakeWorld, do: Command) -> None:
    said = do("plan", "demo", "qwen2-vl-2b", "--explain")
    assert said.code == 0
    assert said.out.startswith("Plan for project orchestrator on this host\n")
    assert "A card (GPU-a)" in said.out
    assert "qwen2-vl-2b-vllm claims\n" in said.out
    assert "KV cache" in said.out
    untouched(here)


def test_plan_as_json(here: FakeWorld, do: Command) -> None:
    found = json.loads(do("plan", "qwen2-vl-2b", "--json").out)
    assert set(found) == {"schema", "project", "host", "placements", "left_out", "steps", "warnings"}
    (placed,) = found["placements"]
    assert set(placed) == {
        *("model", "engine", "device", "service", "container", "gpus", "profile", "given_up"),
        *("claim_bytes", "claim", "address", "port", "api_key"),
    }
    assert sum(line["bytes"] for line in placed["claim"]) == placed["claim_bytes"]
    assert found["steps"][-1] == {"kind": "create", "subject": "qwen2-vl-2b-vllm", "cause": "no container"}
    untouched(here)


def test_plan_for_another_host_needs_no_docker(here: FakeWorld, do: Command, tmp_path: Path) -> None:
    here.docker.broken = EnvironmentProblem("no Docker Engine answers")
    (tmp_path / "box.yaml").write_text(INVENTORY, encoding="utf-8")
    said = do("plan", "qwen2-vl-2b", "--inventory", str(tmp_path / "box.yaml"))
    assert said.code == 0
    assert "on box" in said.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["plan"], 2, ["no model named", "orchestrator models list"]),
        (["plan", "demo", "--all"], 2, ["--all and names of models exclude each other"]),
        (["plan", "--all"], 2, ["no revision of it is pinned: dots-ocr, internvl2-2b"]),
        (["plan", "qwen2-vl-7b", "--gpu", "0,1"], 2, ["there is no GPU '1'", "GPUs here: 0 (GPU-a)"]),
        (["plan", "demo", "--strategy", "random"], 2, ["'random' is not one of 'pack', 'spread'"]),
        (["recommend", "--gpu-memory", "none"], 2, ["'none' is not a valid float"]),
        (["recommend", "--gpu-memory", "0"], 2, ["0"]),
        (["recommend", "demo"], 2, ["unexpected extra argument"]),
        (["plan", "demmo", "qwen"], 2, ["no model 'demmo' and no model 'qwen'", "demo or qwen2-vl-2b"]),
        (["plan", "qwen2-vl-2b", "--gpu", "3"], 2, ["there is no GPU '3'", "GPUs here: 0 (GPU-a)"]),
        (["plan", "demo", "--port", "1"], 2, ["No such option"]),
    ],
)
def test_plan_refuses(here: FakeWorld, do: Command, arguments: list[str], code: int, words: list[str]) -> None:
    do(*arguments).refused(code, *words)
    untouched(here)


def test_a_plan_of_everything_names_what_it_leaves_out(here: FakeWorld, do: Command) -> None:
    here.gpus.gpus = (gpu("GPU-a", total=12),)
    said = do("plan", "--all", "--allow-unpinned")
    assert (said.code, said.err) == (3, "")
    assert "left out: " in said.out
    assert "qwen2-vl-2b" in said.out
    found = json.loads(do("plan", "--all", "--allow-unpinned", "--json").out)
    planned = {p["service"] for p in found["placements"]}
    assert found["left_out"]
    assert planned
    assert not planned & set(found["left_out"])
    untouched(here)


def test_a_plan_of_everything_that_fits_is_exit_code_0(here: FakeWorld, do: Command) -> None:
    here.gpus.gpus = (gpu("GPU-a", total=80), gpu("GPU-b", total=80))
    said = do("plan", "--all", "--allow-unpinned")
    assert (said.code, said.err) == (0, "")
    assert "left out" not in said.out


def test_a_plan_spreads_or_packs(here: FakeWorld, do: Command) -> None:
    here.gpus.gpus = (gpu("GPU-a"), gpu("GPU-b"))
    for strategy, gpus in (("pack", 1), ("spread", 2)):
        said = do("plan", "qwen2-vl-2b", "got-ocr2", "--strategy", strategy, "--json")
        assert len({gpu for p in json.loads(said.out)["placements"] for gpu in p["gpus"]}) == gpus


@pytest.mark.skipif(not optimal.available() and "CI" not in os.environ, reason="ortools is not installed")
def test_a_plan_by_or_tools_is_no_worse(here: FakeWorld, do: Command) -> None:
    here.gpus.gpus = (gpu("GPU-a", total=12),)
    plain, best = (
        json.loads(do("plan", "--all", "--allow-unpinned", "--json", *more).out)["placements"]
        for more in ((), ("--optimal",))
    )
    assert len(best) >= len(plain)


@pytest.mark.skipif(optimal.available(), reason="ortools is installed")
@pytest.mark.parametrize("verb", ["plan", "up"])
def test_or_tools_that_are_missing_are_told(here: FakeWorld, do: Command, verb: str) -> None:
    do(verb, "demo", "--optimal").refused(4, "--optimal needs OR-tools", "pip install 'orchestrator[optimal]'")
    untouched(here)


# recommend


def test_recommend_for_this_host(here: FakeWorld, do: Command) -> None:
    here.gpus.gpus = (gpu("GPU-a", total=24, free=8),)
    said = do("recommend")
    assert said.code == 0
    assert said.out.startswith("Each model alone on this host (A card 8.00 GiB). By the founding report: under 6 GB")
    assert "does not fit" in said.out
    untouched(here)


def test_recommend_as_json(do: Command) -> None:
    found = json.loads(do("recommend", "--gpu-memory", "12", "--json").out)
    assert (found["schema"], found["host"]) == (1, "a GPU of 12 GiB")
    for each in found["models"]:
        assert set(each) == {
            *("model", "engine", "device", "fits", "chosen", "missing_bytes", "claim_bytes", "profile", "given_up"),
        }
        assert each["fits"] == (each["missing_bytes"] == 0)
        assert each["fits"] or not each["chosen"]
    names = [each["model"] for each in found["models"]]
    assert len(set(names)) == 9, "each entry once or, on both engines, twice"
    chosen = [each["model"] for each in found["models"] if each["chosen"]]
    assert len(chosen) == len(set(chosen)), "one engine for each model"


def test_recommend_for_an_inventory_needs_neither_docker_nor_a_driver(
    here: FakeWorld, do: Command, tmp_path: Path
) -> None:
    here.docker.broken = EnvironmentProblem("no Docker Engine answers")
    here.gpus.gpus = ()
    (tmp_path / "box.yaml").write_text(INVENTORY, encoding="utf-8")
    said = do("recommend", "--inventory", str(tmp_path / "box.yaml"))
    assert said.code == 0
    assert said.out.startswith("Each model alone on box (A card 23.99 GiB).")


def test_recommend_without_a_gpu(here: FakeWorld, do: Command) -> None:
    here.gpus.gpus = ()
    said = do("recommend")
    assert said.code == 0
    assert "(no GPU)" in said.out
    assert [line.split()[:3] for line in said.out.splitlines()[2:-1]] == [
        ["demo", "vllm", "CPU"],
        ["*", "demo", "transformers"],
    ]


def test_the_report_s_rule_by_size(do: Command) -> None:
    """Under 6 GB Transformers, above 10 GB vLLM where it may."""

    def chosen(gib: str) -> dict[str, str]:
        found = json.loads(do("recommend", "--gpu-memory", gib, "--json").out)["models"]
        return {each["model"]: each["engine"] for each in found if each["chosen"]}

    assert set(chosen("5").values()) == {"transformers"}
    large = chosen("48")
    assert {name for name, engine in large.items() if engine == "vllm"} == {
        *("dots-ocr", "phi-3-5-vision", "qwen2-vl-2b", "qwen2-vl-7b"),
    }
    assert set(large) - {"demo"} == {
        *("dots-ocr", "phi-3-5-vision", "qwen2-vl-2b", "qwen2-vl-7b"),
        *("got-ocr2", "internvl2-2b", "moondream2", "phi-3-vision"),
    }


@pytest.mark.parametrize("verb", ["plan", "render"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["1 problem", "box.yaml"]),
        ("services: {}\n", ["box.yaml:1 services", "orchestrator inventory --output FILE"]),
        ("just words\n", ["box.yaml"]),
        ("schema_version: 1\nname: [\n", ["box.yaml:"]),
        (INVENTORY.replace("24564", '"24 GB"'), ["box.yaml:5 gpus.0.total_mib"]),
    ],
)
def test_an_inventory_that_is_not_one(do: Command, tmp_path: Path, verb: str, text: str, words: list[str]) -> None:
    file = tmp_path / "box.yaml"
    file.write_text(text, encoding="utf-8")
    do(verb, "demo", "--inventory", str(file)).refused(2, *words)


def test_an_inventory_that_can_not_be_read(do: Command, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name, words in (("missing", "No such file"), ("", "Is a directory"), ("binary", "not UTF-8")):
        do("plan", "demo", "--inventory", str(tmp_path / name)).refused(2, words, f"where: {tmp_path}")


# render


def rendered(do: Command, tmp_path: Path, *more: str) -> Any:
    (tmp_path / "box.yaml").write_text(INVENTORY, encoding="utf-8")
    common = ("--inventory", str(tmp_path / "box.yaml"), "--output", str(tmp_path / "out"))
    return do("render", "--all", "--allow-unpinned", *common, *more)


def test_render_writes_a_folder_that_stands_alone(here: FakeWorld, do: Command, tmp_path: Path) -> None:
    here.docker.broken = EnvironmentProblem("no Docker Engine answers")
    said = rendered(do, tmp_path)
    assert said.code == 0
    out = tmp_path / "out"
    fleet = parse((out / "compose.yaml").read_text(encoding="utf-8"))
    assert all((out / name).is_file() for name in fleet["include"])
    assert (out / ".env").is_file()
    assert (out / "gate/__main__.py").is_file()
    assert len(list(out.glob("*-*.yaml"))) == 9
    untouched(here)


def test_render_check(do: Command, tmp_path: Path) -> None:
    rendered(do, tmp_path, "--check").refused(1, "stale in", "without --check")
    assert not (tmp_path / "out").exists()
    rendered(do, tmp_path)
    said = rendered(do, tmp_path, "--check")
    assert said.code == 0
    assert "are fresh" in said.err
    file = tmp_path / "out/demo-transformers.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("24000", "24099"), encoding="utf-8")
    said = rendered(do, tmp_path, "--check")
    said.refused(1, ": 1 of its files")
    assert '-      - "127.0.0.1:24099:8000"\n+      - "127.0.0.1:24000:8000"\n' in said.out


def test_render_check_of_a_file_that_lost_its_last_line_break(do: Command, tmp_path: Path) -> None:
    rendered(do, tmp_path)
    file = tmp_path / "out/.env"
    file.write_text(file.read_text(encoding="utf-8").rstrip("\n"), encoding="utf-8")
    said = rendered(do, tmp_path, "--check")
    end = "COMPOSE_IGNORE_ORPHANS=true\n"
    assert said.out.endswith(f"-{end}\\ No newline at end of file\n+{end}")


def test_render_check_of_what_should_not_be_there(do: Command, tmp_path: Path) -> None:
    rendered(do, tmp_path)
    (tmp_path / "out/old-vllm.yaml").write_bytes((tmp_path / "out/demo-transformers.yaml").read_bytes())
    (tmp_path / "out/gate/old.py").write_text("x = 1\n", encoding="utf-8")
    (tmp_path / "out/notes.yaml").write_text("mine: 1\n", encoding="utf-8")
    said = rendered(do, tmp_path, "--check")
    said.refused(1, ": 2 of its files")
    assert "-x = 1\n" in said.out
    assert "mine" not in said.out


def header(path: Path) -> str:
    return path.read_text(encoding="utf-8").splitlines()[2]


def test_the_header_is_the_command_however_it_was_given(do: Command, tmp_path: Path) -> None:
    """The same bytes, wherever the repository lies and whoever renders it."""
    (tmp_path / "hosts").mkdir()
    (tmp_path / "hosts/box.yaml").write_text(INVENTORY, encoding="utf-8")
    relative = ("--inventory", "./hosts/../hosts/box.yaml", "--output", "out/")
    absolute = ("--output", str(tmp_path / "out"), "--inventory", str(tmp_path / "hosts/box.yaml"), "--mode", "auto")
    with chdir(tmp_path):
        do("render", "qwen2-vl-2b", "demo", *relative)
        assert do("render", "demo", "qwen2-vl-2b", *absolute, "--check").code == 0
        assert header(Path("out/compose.yaml")) == (
            "#   orchestrator render demo qwen2-vl-2b --inventory hosts/box.yaml --output out"
        )
        more = ("--mode", "transformers", "--api-key", "--allow-unpinned", "--address", "127.0.0.2")
        do("--project", "mine", "render", "--all", *more, "--output", "out")
        assert header(Path("out/demo-transformers.yaml")) == (
            "#   orchestrator --project mine render --all --mode transformers --allow-unpinned --address 127.0.0.2 "
            "--api-key --output out"
        )


def test_the_header_does_not_tell_where_other_folders_are(do: Command, tmp_path: Path) -> None:
    rendered(do, tmp_path)
    for file in ("compose.yaml", "demo-transformers.yaml"):
        assert str(tmp_path) not in (tmp_path / "out" / file).read_text(encoding="utf-8")
        assert header(tmp_path / "out" / file).endswith("--inventory box.yaml --output out")


def test_what_must_be_supplied_is_named(do: Command, tmp_path: Path) -> None:
    rendered(do, tmp_path)
    assert not (tmp_path / "out/.env.example").exists()
    rendered(do, tmp_path, "--api-key")
    text = (tmp_path / "out/.env.example").read_text(encoding="utf-8")
    assert "ORCHESTRATOR_API_KEY_FILE=./secrets/api_key\n" in text
    assert "ORCHESTRATOR_HF_TOKEN_FILE" not in text, "no model is gated"
    rendered(do, tmp_path)
    assert not (tmp_path / "out/.env.example").exists()


def test_render_brings_the_weights_that_come_with_orchestrator(do: Command, tmp_path: Path) -> None:
    rendered(do, tmp_path, "--mode", "vllm")
    weights = tmp_path / "out/builtin/demo/model.safetensors"
    assert weights.stat().st_size == 3930424
    assert "image: " + json.dumps(traits.VLLM_CPU_IMAGE) in (tmp_path / "out/demo-vllm.yaml").read_text(
        encoding="utf-8"
    )
    weights.write_bytes(b"\xff")
    said = rendered(do, tmp_path, "--mode", "vllm", "--check")
    said.refused(1, ": 1 of its files")
    assert f"{weights} is not text, and differs" in said.out


def test_render_removes_its_own_old_files_and_nothing_else(do: Command, tmp_path: Path) -> None:
    rendered(do, tmp_path)
    out = tmp_path / "out"
    (out / "hosts").mkdir()
    (out / "hosts/box.yaml").write_text(INVENTORY, encoding="utf-8")
    (out / "override.yaml").write_text("services: {}\n", encoding="utf-8")
    (out / "picture.png").write_bytes(b"\x89PNG\xff")
    (out / "demo-transformers.yaml").rename(out / "old-transformers.yaml")
    (out / "hosts/old-transformers.yaml").write_bytes((out / "old-transformers.yaml").read_bytes())
    assert rendered(do, tmp_path).code == 0
    assert not (out / "old-transformers.yaml").exists()
    for kept in ("demo-transformers.yaml", "hosts/box.yaml", "hosts/old-transformers.yaml", "override.yaml"):
        assert (out / kept).is_file(), kept


def test_render_of_one_model_leaves_the_others(do: Command, tmp_path: Path) -> None:
    rendered(do, tmp_path)
    said = do("render", "demo", "--inventory", str(tmp_path / "box.yaml"), "--output", str(tmp_path / "out"))
    assert said.code == 0
    assert len(list((tmp_path / "out").glob("*-*.yaml"))) == 9


def test_render_leaves_out_what_can_not_run(do: Command, tmp_path: Path) -> None:
    said = rendered(do, tmp_path, "--mode", "vllm")
    assert said.code == 0
    assert "left out: got-ocr2 can't run on vllm" in said.err


def test_render_into_a_place_that_is_no_folder(do: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    said = do("render", "demo", "--output", str(tmp_path / "file"))
    said.refused(1, "can't write", "check its permissions and the disk")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


# status


def test_status_of_nothing(do: Command) -> None:
    said = do("status")
    assert (said.code, said.out) == (0, "nothing runs in project orchestrator\n")
    assert json.loads(do("status", "--json").out) == {"schema": 1, "models": []}


def test_status(here: FakeWorld, do: Command) -> None:
    here.docker.add(container("a", claim=GIB, gpus=("GPU-a",)), container("b"), container("c", project="other"))
    said = do("status")
    assert said.code == 0
    assert [line.split()[0] for line in said.out.splitlines()] == ["MODEL", "a", "b"]
    found = json.loads(do("status", "a", "--json").out)
    assert [m["model"] for m in found["models"]] == ["a"]
    assert set(found["models"][0]) == {
        *("model", "engine", "service", "container", "container_id", "project", "state", "ready", "health", "gpus"),
        *("claim_bytes", "use_bytes", "outgrown", "profile", "url", "image", "started", "restarts", "remark"),
        *("api_key", "cause", "drift"),
    }


def test_status_shows_what_is_really_used(here: FakeWorld, do: Command) -> None:
    here.docker.add(container("a", claim=GIB, gpus=("GPU-a",)), container("b", claim=GIB, gpus=("GPU-a",)))
    here.gpus.held = (
        Use("", "GPU-a", 9 * GIB),
        Use("id-a-transformers", "GPU-a", 3 * GIB // 2),
        Use("id-b-transformers", "GPU-a", None),
    )
    said = do("status")
    assert said.code == 0
    assert said.out.splitlines()[0].split() == [
        *("MODEL", "ENGINE", "STATE", "HEALTH", "GPU", "CLAIM", "USE", "ADDRESS", "UP", "REMARK"),
    ]
    assert "1.0 GiB  1.5 GiB" in said.out
    assert "holds 0.50 GiB more than it claimed" in said.out
    a, b = json.loads(do("status", "--json").out)["models"]
    assert (a["use_bytes"], a["outgrown"]) == (3 * GIB // 2, True)
    assert (b["use_bytes"], b["outgrown"]) == (None, False)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"gate": Gate("parked", "boom"), "health": "unhealthy"}, 1),
        ({"state": "exited", "exit_code": 1, "gate": None, "health": ""}, 1),
        ({"gate": None, "health": "unhealthy"}, 1),
        ({"gate": Gate("starting"), "health": "starting"}, 0),
        ({"state": "exited", "gate": None, "health": ""}, 0),
    ],
)
def test_status_of_the_dead_is_exit_code_1(here: FakeWorld, do: Command, changes: dict[str, Any], code: int) -> None:
    here.docker.add(container("a", **changes), container("b", port=25001))
    assert do("status").code == code
    assert do("status", "--json").code == code


def test_status_probe_asks(here: FakeWorld, do: Command) -> None:
    here.docker.add(container("a"))
    said = do("status", "--probe")
    assert said.code == 0
    assert "answered in 0.0 s" in said.out
    here.models.fails = OrchestratorError("a refused (500): boom")
    said = do("status", "--probe", "--json")
    assert said.code == 1
    (told,) = json.loads(said.out)["models"]
    assert told["probe"] == "failed: it does not answer: a refused (500): boom"
    assert (told["state"], told["ready"]) == ("unresponsive", False)


def test_status_probe_asks_what_the_entry_says_and_wants_the_answer_it_expects(here: FakeWorld, do: Command) -> None:
    here.docker.add(container("demo"))
    assert do("status", "--probe").code == 0
    assert here.models.asked[-1][2] == "Read the text."
    here.models.answer = "42"
    said = do("status", "--probe")
    assert said.code == 1
    assert "failed: it answers '42', expected " in said.out


@pytest.mark.parametrize("arguments", [(), ("--probe",), ("--json",)])
def test_a_green_container_with_a_dead_engine_is_shown_dead(
    here: FakeWorld, do: Command, arguments: tuple[str, ...]
) -> None:
    here.docker.add(container("a"), container("b", port=25001))
    here.pulse.dead.add("a")
    said = do("status", *arguments)
    assert said.code == 1
    assert said.out.count("unresponsive") == 1
    assert "its engine does not answer GET /health" in said.out


def test_status_knows_of_an_answer_before_docker_does(here: FakeWorld, do: Command) -> None:
    here.docker.add(container("a", gate=Gate("starting"), health="starting"))
    here.pulse.early.add("a")
    (seen,) = json.loads(do("status", "--json").out)["models"]
    assert (seen["state"], seen["ready"], seen["health"]) == ("ready", True, "starting")
    assert do("ask", "a", "?").code == 0


def test_status_shows_how_far_a_start_is(here: FakeWorld, do: Command) -> None:
    progress = Progress("load", "1 of 2 files", 1000.0)
    here.docker.add(
        container(
            "a", gate=Gate("starting", "", "no answer from the engine yet; for 63 s", 0, progress), health="starting"
        )
    )
    assert "load, 1 of 2 files, for 63 s" in do("status").out


def test_status_of_what_is_not_there(here: FakeWorld, do: Command) -> None:
    here.docker.add(container("a"))
    do("status", "b", "a", "c").refused(1, "no container of b, c in project orchestrator", "containers here: a")


def test_status_without_docker(here: FakeWorld, do: Command) -> None:
    here.docker.broken = EnvironmentProblem("no Docker Engine answers", hint="start it")
    do("status").refused(4, "no Docker Engine answers")


def test_the_watch_goes_on_while_docker_is_away(here: FakeWorld, do: Command) -> None:
    """It is said once, and again when it is away again; only Ctrl-C ends it."""
    here.docker.add(container("a"))
    away = EnvironmentProblem("no Docker Engine answers", hint="start it")

    def now(broken: EnvironmentProblem | None) -> None:
        here.docker.broken = broken

    def press() -> None:
        raise KeyboardInterrupt

    for seconds, broken in ((3.0, away), (9.0, None), (13.0, away)):
        here.clock.at(seconds, partial(now, broken))
    here.clock.at(16.0, press)
    said = do("status", "--watch")
    assert said.code == 130
    words = "error: no Docker Engine answers\nhint:  start it; the watch goes on until Ctrl-C\n"
    blocks = said.out.split("\n\n")
    assert [" ready " in block for block in blocks] == [True, False, True, False]
    assert [f"{blocks[1]}\n", blocks[3]] == [words, words]
    do("status", "--watch").refused(4, "no Docker Engine answers")


# inventory


def test_inventory_as_text_and_json(do: Command) -> None:
    assert "GPU-a, 24.00 GiB of 24.00 GiB free" in do("inventory").out
    found = json.loads(do("inventory", "--json").out)
    assert {"schema", "name", "docker", "compose", "driver", "gpu_note", "gpus"} <= set(found)
    assert {"id", "name", "total_bytes", "free_bytes", "note"} <= set(found["gpus"][0])
    assert (found["schema"], found["docker"], found["gpus"][0]["total_bytes"]) == (1, "28.5.2", 24 * GIB)


def test_an_inventory_that_was_written_can_be_planned_with(here: FakeWorld, do: Command, tmp_path: Path) -> None:
    file = tmp_path / "here.yaml"
    said = do("inventory", "--output", str(file))
    assert (said.code, said.out, said.err) == (0, "", f"written to {file}\n")
    here.gpus.gpus = ()
    assert do("plan", "qwen2-vl-2b", "--inventory", str(file)).code == 0


def test_inventory_makes_no_folders(do: Command, tmp_path: Path) -> None:
    missing = tmp_path / "no" / "such"
    do("inventory", "--output", str(missing / "x")).refused(2, f"there is no folder {missing}", "make it first")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"), [(["inventory", "extra"], "unexpected extra argument"), (["inventory", "--yaml"], "--yaml")]
)
def test_inventory_refuses(do: Command, arguments: list[str], words: str) -> None:
    do(*arguments).refused(2, words)


def test_inventory_without_docker(here: FakeWorld, do: Command) -> None:
    here.docker.broken = EnvironmentProblem("no Docker Engine answers", hint="start it")
    do("inventory").refused(4, "no Docker Engine answers")


# doctor


def findings(do: Command) -> tuple[int, dict[str, tuple[str, str]]]:
    said = do("doctor", "--json")
    found = json.loads(said.out)
    assert found["schema"] == 1
    assert all(set(f) == {"check", "verdict", "detail", "where", "hint", "fixable"} for f in found["findings"])
    return said.code, {f["check"]: (f["verdict"], f["detail"]) for f in found["findings"]}


def test_doctor_on_a_healthy_machine(do: Command) -> None:
    code, found = findings(do)
    assert code == 0
    assert {verdict for verdict, _ in found.values()} == {"ok"}
    assert set(found) >= {"Docker Engine", "Compose", "GPU", "GPU runtime", "disk", "ports", "containers"}
    assert "ok" in do("doctor").out


def test_doctor_finds_everything_at_once(here: FakeWorld, do: Command) -> None:
    here.docker.engine = DockerVersion("5.4.0", podman=True)
    here.docker.ways = ()
    here.docker.free_disk = 10**9
    here.docker.listeners = (PortHolder(24000, "process nginx (pid 7)"),)
    here.docker.add(container("a", gate=Gate("parked", "boom"), health="unhealthy", port=26000))
    here.compose.missing = EnvironmentProblem("Docker has no Compose plugin", where="/bin/docker", hint="install it")
    code, found = findings(do)
    assert code == 4
    assert found["Docker Engine"][0] == "problem"
    assert found["Compose"] == ("problem", "Docker has no Compose plugin")
    assert found["GPU runtime"][0] == "problem"
    assert found["disk"] == ("problem", "1.0 GB free in /var/lib/docker")
    assert found["ports"] == ("note", "24000, preferred by demo on transformers, is taken by process nginx (pid 7)")
    assert found["containers"] == ("problem", "orchestrator-a-transformers is parked: boom")
    said = do("doctor")
    assert said.code == 4
    assert "install the NVIDIA Container Toolkit" in said.out


def test_doctor_tells_oddities_of_gpus_apart_from_problems(here: FakeWorld, do: Command) -> None:
    board = replace(gpu("GPU-board", total=None, free=None, note="unified memory"), persistence=False)
    lost = replace(gpu("GPU-lost", note="it fell off the bus"), usable=False)
    here.gpus.gpus, here.gpus.remark = (board, lost, gpu("GPU-well")), "CUDA_VISIBLE_DEVICES is set"
    found = [f for f in json.loads(do("doctor", "--json").out)["findings"] if f["check"] == "GPU"]
    verdicts = {
        word: f["verdict"]
        for f in found
        for word in ("CUDA_VISIBLE", "board", "lost", "well", "unloaded")
        if word in f["detail"]
    }
    assert verdicts == {"CUDA_VISIBLE": "note", "board": "note", "lost": "problem", "well": "ok", "unloaded": "note"}


def test_doctor_without_docker_goes_on(here: FakeWorld, do: Command) -> None:
    here.docker.broken = EnvironmentProblem("no Docker Engine answers", hint="start it")
    code, found = findings(do)
    assert code == 4
    assert found["Docker Engine"][0] == "problem"
    assert found["Compose"][0] == "ok"


def test_doctor_without_a_gpu_is_content(here: FakeWorld, do: Command) -> None:
    here.gpus.gpus = ()
    code, found = findings(do)
    assert code == 0
    assert found["GPU"] == ("note", "none (NVML: no driver)")


# models


def test_models(do: Command) -> None:
    assert do("models").out == do("models", "list").out
    assert do("models").out.splitlines()[0].split() == ["NAME", "PARAMETERS", "VLLM", "TRANSFORMERS", "SUMMARY"]
    found = json.loads(do("models", "list", "--json").out)
    assert found["schema"] == 1
    assert [m["name"] for m in found["models"]] == sorted(m["name"] for m in found["models"])
    assert json.loads(do("models", "show", "demo", "--json").out)["name"] == "demo"
    assert do("models", "show", "demo").out.startswith("demo: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["models", "show"], ["Missing argument 'NAME'", "models show --help"]),
        (["models", "show", "demmo"], ["did you mean demo?"]),
        (["models", "frobnicate"], ["No such command 'frobnicate'"]),
        (["models", "validate", "/nowhere"], ["/nowhere: can't be read as a folder of models"]),
    ],
)
def test_models_refuses(do: Command, arguments: list[str], words: list[str]) -> None:
    do(*arguments).refused(2, *words)


def test_validate(do: Command, tmp_path: Path) -> None:
    (tmp_path / "phi.yaml").write_text(entry(), encoding="utf-8")
    assert do("models", "validate", str(tmp_path)).out == "10 entries are valid\n"
    assert do("--registry", str(tmp_path), "models", "validate").out == "10 entries are valid\n"


def test_ten_mistakes_in_one_file_are_told_at_once(do: Command, tmp_path: Path) -> None:
    text = entry()
    for before, after in (
        ("schema_version: 1", "schema_version: 7"),
        ("title: Phi\n", ""),
        ("repository: owner/phi", "repository: not a repository"),
        ("licence: MIT", "license: MIT"),
        ("family: phi3-vision", "family: phi4"),
        ("layers: 2", "layers: two"),
        ("kv_heads: 2", "kv_heads: 0"),
        ("patches: 1024", "patches: yes"),
        ("level: none", "level: certain"),
        ("port: 25000", "port: 40000"),
        ("image: vllm/vllm-openai:v0.33.0", "image: not an image"),
    ):
        text = changed(before, after, text)
    (tmp_path / "phi.yaml").write_text(text, encoding="utf-8")
    said = do("--registry", str(tmp_path), "plan", "demo")
    said.refused(2)
    lines = said.err.splitlines()
    assert lines[0] == "error: 12 problems"
    problems = [line.strip().removeprefix(str(tmp_path)) for line in lines if line.startswith("  ")]
    assert len(problems) == 12
    assert all(problem.startswith("/phi.yaml:") for problem in problems), problems
    keys = {problem.split(" ")[1].rstrip(":") for problem in problems}
    assert keys == {
        *("schema_version", "title", "source.repository", "source.license", "source.licence", "architecture.family"),
        *("architecture.layers", "architecture.kv_heads", "images.patches"),
        *("engines.vllm.evidence.level", "engines.vllm.port", "engines.vllm.image"),
    }


# image


def test_images(here: FakeWorld, do: Command) -> None:
    assert [line.split()[0::2] for line in do("image", "list").out.splitlines()[1:]] == [
        ["tf448-cpu", "missing"],
        ["tf448-cuda", "missing"],
        ["tf5-cpu", "missing"],
        ["tf5-cuda", "missing"],
        ["vllm-cpu", "missing"],
    ]
    for family in ("tf5", "tf448"):
        assert do("image", "build", f"{family}-cpu").code == 0
    assert re.findall(r"^(\S+) .* built$", do("image", "list").out, re.MULTILINE) == ["tf448-cpu", "tf5-cpu"]
    here.builder.sources["tf5-cpu"] = "source-2"
    assert "stale: its sources changed" in do("image", "list").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["image", "build"], ["Missing argument 'NAME'"]),
        (
            ["image", "build", "tf9"],
            ["there is no image 'tf9'", "known: tf448-cpu, tf448-cuda, tf5-cpu, tf5-cuda, vllm-cpu"],
        ),
    ],
)
def test_image_refuses(here: FakeWorld, do: Command, arguments: list[str], words: list[str]) -> None:
    do(*arguments).refused(2, *words)
    untouched(here)
