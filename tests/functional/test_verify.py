"""``verify``: pairs brought up one by one in a project of their own, asked, measured, taken down and recorded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator import __version__
from orchestrator.errors import OrchestratorError
from orchestrator.evidence import LEVELS, Figures, Holder, Use, Verification
from orchestrator.inventory import GIB, Process
from orchestrator.observation import Container, Gate, PortHolder
from orchestrator.plan.verifying import in_order
from orchestrator.reference.tasks import PRINTED, TASKS, asked_of
from tests.builders import READY, container, gpu
from tests.fakes import FakeWorld
from tests.functional.cli import Command, command, world

OWN = "orchestrator-verify"
FLEET = """\
schema_version: 1
project: team
models:
  demo: {engine: transformers, port: 25001, api_key: true, settings: {max_model_len: 1024}}
"""
MODEL = "qwen2-vl-2b"
RIGHT = [TASKS[name].expected.replace(" | ", " ") for name in ("text", "table", "formula", "scene")]


@pytest.fixture
def here() -> FakeWorld:
    """A host without a GPU, on which the demo reads what it is shown."""
    found = world()
    found.models.read = [PRINTED, PRINTED]
    return found


@pytest.fixture
def big() -> FakeWorld:
    """A machine with one card; what becomes ready holds 5 GiB of it, and answers right."""
    found = world(replace(gpu("GPU-a"), processes=(Process(1, 5 * GIB),)))
    found.models.read = RIGHT

    def born(made: Container) -> Container:
        found.gpus.held += tuple(Use(made.id, card, 5 * GIB) for card in made.gpus)
        return replace(made, state="running", health="healthy", gate=READY)

    found.compose.born = born
    return found


def records(here: FakeWorld) -> dict[str, Verification]:
    return {f"{v.model}-{v.engine}": v for v in here.workspace.verifications().found}


def nothing_left(here: FakeWorld) -> None:
    assert here.docker.containers == {}
    assert here.workspace.documents(OWN) == ()


def test_the_demo_on_both_engines(here: FakeWorld, do: Command) -> None:
    said = do("verify", "demo")
    assert said.code == 0, said
    known = records(here)
    assert set(known) == {"demo-transformers", "demo-vllm"}
    found = known["demo-transformers"]
    assert (found.outcome, found.level, found.gpu, found.cause) == ("answered", "answered", "CPU", "")
    assert (found.tool_version, found.engine_version) == (__version__, "9.9.9")
    assert found.image_id.startswith(f"sha256:{found.image}")
    assert found.figures == Figures(0.0, 0.5, 2.0, 1 << 29, "container")
    assert [(c.task, c.passed, c.answered) for c in found.checks] == [("printed", True, PRINTED)]
    picture = here.library.reference_image("printed.png")
    assert here.models.exam == [("demo", "Read the text.", picture, 16)] * 2
    nothing_left(here)


def test_each_step_has_a_line_and_a_table_ends_it(here: FakeWorld, do: Command) -> None:
    said = do("verify", "demo", "--mode", "transformers")
    (image,) = here.docker.images
    assert said.err.splitlines() == [
        "demo-transformers: verify 1 of 1",
        f"{image}: build: image is missing",
        f"{image}: built (0.0 s)",
        "orchestrator-cache: prepared (0.0 s)",
        "orchestrator-locks: prepared (0.0 s)",
        "orchestrator-weights: prepared (0.0 s)",
        "demo-transformers: create: no container",
        "demo-transformers: created (0.0 s)",
        "demo-transformers: ready, answered (0.0 s)",
        "demo-transformers: printed: right (2.5 s)",
        "demo-transformers: answered (0.0 s)",
        "demo-transformers: remove: asked for",
        "demo-transformers: removed (0.0 s)",
        "document compose.yaml: gone, no container",
        "demo-transformers: gone, container and name are gone, port 24000 is free",
    ]
    assert said.out.splitlines() == [
        "MODEL  ENGINE        OUTCOME   READY   FIRST TOKEN  TOKENS/S  PEAK MEMORY              TASKS",
        "demo   transformers  answered  0.00 s  0.50 s       2.00      0.50 GiB of main memory  printed",
    ]


def test_json(here: FakeWorld, do: Command) -> None:
    said = do("verify", "demo", "--mode", "vllm", "--json")
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert lines[-1]["event"] == "end"
    (found,) = lines[-1]["verifications"]
    assert (found["model"], found["engine"], found["outcome"], found["version"]) == ("demo", "vllm", "answered", 1)
    assert found["checks"][0]["expected"] == PRINTED


def test_a_wrong_answer(here: FakeWorld, do: Command) -> None:
    here.models.read = ["PROBE7"]
    said = do("verify", "demo", "--mode", "transformers")
    assert said.code == 1
    found = records(here)["demo-transformers"]
    assert (found.outcome, found.level) == ("wrong", "served-tiny")
    assert "demo on transformers: wrong. printed: 4 of 5 characters are wrong\n" in said.out
    nothing_left(here)


def test_a_model_that_does_not_start(here: FakeWorld, do: Command) -> None:
    parked = Gate("parked", reason="it ended with 3")
    here.compose.born = lambda made: replace(made, state="running", health="unhealthy", gate=parked)
    said = do("verify", "demo", "--mode", "transformers")
    assert said.code == 1
    found = records(here)["demo-transformers"]
    assert (found.outcome, found.level, found.checks) == ("failed", "none", ())
    assert found.failure
    assert "it ended with 3" in found.cause
    assert found.image_id, "it says what failed"
    nothing_left(here)


def test_a_model_that_fails_while_it_is_asked(big: FakeWorld, capsys: pytest.CaptureFixture[str]) -> None:
    big.models.read = [RIGHT[0], OrchestratorError("it broke off")]
    said = command(big, capsys)("verify", MODEL, "--mode", "vllm")
    assert said.code == 1
    found = records(big)[f"{MODEL}-vllm"]
    assert (found.outcome, found.level, found.cause) == ("failed", "answered", "it broke off")
    assert [check.task for check in found.checks] == ["text"]
    nothing_left(big)


def test_what_cannot_be_had_fails_and_the_next_pair_is_verified(here: FakeWorld, do: Command) -> None:
    here.actor.fails = {"pull": OrchestratorError("no network")}
    said = do("verify", "demo")
    assert said.code == 1
    assert {name: v.outcome for name, v in records(here).items()} == {
        "demo-transformers": "answered",
        "demo-vllm": "failed",
    }
    assert records(here)["demo-vllm"].cause == "no network"


def test_on_a_gpu(big: FakeWorld, capsys: pytest.CaptureFixture[str]) -> None:
    said = command(big, capsys)("verify", MODEL)
    assert said.code == 1, "on the second engine the answers are others"
    found = records(big)[f"{MODEL}-vllm"]
    assert (found.outcome, found.level) == ("answered", "answered")
    assert (found.gpu, found.driver) == (gpu("GPU-a").kind, "550.1")
    assert found.figures == Figures(0.0, 0.5, 2.0, 5 * GIB, "gpu")
    assert [check.task for check in found.checks] == ["text", "table", "formula", "scene"]
    assert [line.split(":")[0] for line in said.err.splitlines() if "verify 2 of 2" in line] == [
        f"{MODEL}-transformers"
    ]
    nothing_left(big)


def test_what_does_not_fit_is_recorded_with_what_is_missing(here: FakeWorld, do: Command) -> None:
    said = do("verify", MODEL)
    assert said.code == 0
    found = records(here)[f"{MODEL}-vllm"]
    assert (found.outcome, found.level, found.image_id) == ("does-not-fit", "none", "")
    assert found.missing_bytes is not None
    assert found.missing_bytes > 4 * GIB
    assert "needs a GPU, and this host has none that can be used" in found.cause
    assert f"{MODEL}  vllm          does-not-fit, " in said.out
    assert here.log == []


def test_who_holds_the_gpu_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    here = world(replace(gpu("GPU-a", free=2.0), processes=(Process(7, 22 * GIB),)))
    here.gpus.processes = (Holder(7, "GPU-a", 22 * GIB, "python3 train.py", "ada"),)
    here.docker.add(container("other", gpus=("GPU-a",), claim=3 * GIB))
    assert command(here, capsys)("verify", MODEL, "--mode", "vllm").code == 0
    found = records(here)[f"{MODEL}-vllm"]
    assert found.missing_bytes is not None
    assert "pid 7 (python3 train.py) of user ada holds 22.00 GiB" in found.cause
    assert list(here.docker.containers) == ["id-other-transformers"], "and nothing is stopped for it"


def test_an_impossible_pair_is_not_tried(big: FakeWorld, capsys: pytest.CaptureFixture[str]) -> None:
    said = command(big, capsys)("verify", "got-ocr2", "--mode", "vllm")
    assert said.code == 0
    found = records(big)["got-ocr2-vllm"]
    assert (found.outcome, found.level) == ("incompatible", "none")
    assert "'GotOcr2Processor' object has no attribute" in found.cause
    assert big.log == []


def test_what_serves_is_asked_where_it_is_and_stays(here: FakeWorld, do: Command) -> None:
    do("up", "demo")
    before, here.log[:] = dict(here.docker.containers), []
    assert do("verify", "demo", "--mode", "transformers").code == 0
    found = records(here)["demo-transformers"]
    assert (found.outcome, found.figures.time_to_ready_s) == ("answered", None)
    assert here.docker.containers == before
    assert here.log == []


def test_what_is_there_and_does_not_serve_is_left_alone(here: FakeWorld, do: Command) -> None:
    do("up", "demo")
    do("stop", "demo")
    before = dict(here.docker.containers)
    assert do("verify", "demo", "--mode", "transformers").code == 0
    assert records(here)["demo-transformers"].figures.time_to_ready_s == 0.0
    assert here.docker.containers == before
    assert here.workspace.documents("orchestrator") == ("compose.yaml", "demo-transformers.yaml")


def test_a_fleet_gives_its_models_and_settings_and_neither_ports_nor_keys(
    here: FakeWorld, do: Command, tmp_path: Path
) -> None:
    fleet = tmp_path / "orchestrator.yaml"
    fleet.write_text(FLEET, encoding="utf-8")
    here.docker.listeners = (PortHolder(25001, "process nginx (pid 12)"),)
    assert do("--fleet", str(fleet), "verify").code == 0
    assert set(records(here)) == {"demo-transformers", "demo-vllm"}
    assert "1024" in records(here)["demo-transformers"].profile
    assert here.models.keys == [""] * len(here.models.keys), "callers need no key there"
    nothing_left(here)


def test_resume_goes_on_where_it_was(here: FakeWorld, do: Command) -> None:
    do("verify", "demo", "--mode", "transformers")
    here.models.exam.clear()
    said = do("verify", "demo", "--resume")
    assert said.code == 0
    assert "demo-transformers: verified before: answered" in said.err
    assert len(here.models.exam) == 1, "vLLM alone"
    assert [line.split()[:3] for line in said.out.splitlines()[1:]] == [
        ["demo", "transformers", "answered"],
        ["demo", "vllm", "answered"],
    ]
    here.models.exam.clear()
    do("verify", "demo")
    assert len(here.models.exam) == 2, "without --resume all of it again"


def test_resume_counts_what_failed_before(here: FakeWorld, do: Command) -> None:
    here.models.read = ["PROBE7"]
    do("verify", "demo", "--mode", "transformers")
    assert do("verify", "demo", "--mode", "transformers", "--resume").code == 1
    assert len(here.models.exam) == 1


def test_what_a_killed_verify_left_goes_first(here: FakeWorld, do: Command) -> None:
    here.docker.add(container("phi", project=OWN))
    said = do("verify", "demo", "--mode", "transformers")
    assert said.code == 0
    assert "phi-transformers: removed (0.0 s)" in said.err
    nothing_left(here)


def test_ctrl_c_takes_down_what_was_begun(here: FakeWorld, do: Command) -> None:
    here.models.read = [PRINTED, KeyboardInterrupt()]
    said = do("verify", "demo")
    said.refused(130, "1 of 2 pairs are verified", "'orchestrator verify demo --resume' goes on")
    assert set(records(here)) == {"demo-transformers"}
    nothing_left(here)
    here.models.read = []
    here.models.answer = PRINTED
    assert "demo-transformers: verified before" in do("verify", "demo", "--resume").err


def test_ctrl_c_while_it_starts(here: FakeWorld, do: Command) -> None:
    here.compose.born = lambda made: replace(made, state="running", health="starting", gate=Gate("starting"))
    here.clock.at(5, interrupt)
    said = do("--project", "mine", "verify", "demo", "--mode", "transformers", "--allow-unpinned")
    again = "'orchestrator --project mine verify demo --mode transformers --allow-unpinned --resume' goes on"
    said.refused(130, "0 of 1 pairs are verified", again)
    nothing_left(here)


def interrupt() -> None:
    raise KeyboardInterrupt


def test_code_of_unknown_revision_needs_consent(big: FakeWorld, capsys: pytest.CaptureFixture[str]) -> None:
    do = command(big, capsys)
    do("verify", "--all").refused(2, "no revision of it is pinned", "moondream2")
    assert big.log == []
    assert do("verify", "moondream2", "--mode", "vllm").code == 0, "nothing would run"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["verify"], "no model named"),
        (["verify", "nobody"], "nobody"),
        (["verify", "demo", "--all"], "exclude each other"),
    ],
)
def test_wrong_requests(here: FakeWorld, do: Command, arguments: list[str], words: str) -> None:
    do(*arguments).refused(2, words)
    assert here.log == []


def test_a_record_that_can_not_be_read_is_told_of(here: FakeWorld, do: Command) -> None:
    here.workspace.remarks = ("demo.vllm.json: version 2 is not 1; the record is passed over",)
    assert do("verify", "demo", "--mode", "vllm").err.startswith("demo.vllm.json: version 2 is not 1")


def test_models_show_tells_what_was_verified(here: FakeWorld, do: Command) -> None:
    assert "  verified here: " not in do("models", "show", "demo").out
    do("verify", "demo", "--mode", "transformers")
    assert (
        "  verified here: answered on CPU, Transformers 9.9.9 (printed right), 1970-01-01\n"
        in do("models", "show", "demo").out
    )
    found = json.loads(do("models", "show", "demo", "--json").out)["verified"]
    assert {engine: record["outcome"] for engine, record in found.items()} == {"transformers": "answered"}


def test_models_show_tells_the_priority_of_the_test_plan(do: Command) -> None:
    assert "needs testing, advanced VLM, test plan: priority 2\n" in do("models", "show", "phi-3-5-vision").out


def test_the_built_in_entries_are_in_the_report_s_order() -> None:
    specs = tuple(world().library.registry(()).models.values())
    found = [pair.service for pair in in_order(specs)]
    assert found[:7] == [
        "got-ocr2-transformers",
        "qwen2-vl-2b-vllm",
        "moondream2-transformers",
        "phi-3-5-vision-transformers",
        "phi-3-5-vision-vllm",
        "qwen2-vl-7b-transformers",
        "qwen2-vl-7b-vllm",
    ]
    assert len(found) == 2 * len(specs), "and every other pair, the demo's too"
    assert all(asked_of(spec) for spec in specs)


def test_every_picture_is_there() -> None:
    assert {task.name for task in TASKS.values()} == set(TASKS)
    for task in TASKS.values():
        assert world().library.reference_image(task.image).startswith(b"\x89PNG")
    assert LEVELS[-1] == "answered"
