"""What was measured: kept when the driver tells all, used for starts like it alone, and never a cause to change."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.adapters.workspace import STATE_VARIABLE, StateFolder
from orchestrator.evidence import Fingerprint, Measurement, Use
from orchestrator.inventory import GIB, Process
from orchestrator.observation import Container
from tests.builders import READY, container, gpu
from tests.fakes import FakeWorld
from tests.functional.cli import Command, world

MODEL = "qwen2-vl-2b"
SERVICE = f"{MODEL}-vllm"
IMAGE = "vllm/vllm-openai:v0.33.0"
USED = 5 * GIB


@pytest.fixture
def here() -> FakeWorld:
    """A machine with one card; what becomes ready holds 5 GiB of it."""
    found = world(replace(gpu("GPU-a"), processes=(Process(1, USED),)))

    def born(made: Container) -> Container:
        found.gpus.held += tuple(Use(made.id, card, USED) for card in made.gpus)
        return replace(made, state="running", health="healthy", gate=READY)

    found.compose.born = born
    return found


def explained(do: Command, *names: str) -> str:
    said = do("plan", *(names or (MODEL,)), "--explain")
    assert said.code == 0, said
    return said.out


def claim(do: Command) -> int:
    found = json.loads(do("plan", MODEL, "--json").out)["placements"]
    return int(found[0]["claim_bytes"])


def test_a_start_is_measured_when_it_has_answered(here: FakeWorld, do: Command) -> None:
    assert do("up", MODEL).code == 0
    (found,) = here.workspace.measurements()
    started = here.docker.of(SERVICE)
    assert found == Measurement(
        Fingerprint(
            model=MODEL,
            engine="vllm",
            profile=started.profile,
            image_id=f"sha256:{IMAGE}",
            revision="",
            gpu_kind=f"A card/{24 * GIB}",
            driver="550.1",
        ),
        USED,
        1000.0,
    )


def test_a_second_up_after_a_measurement_changes_nothing(here: FakeWorld, do: Command) -> None:
    do("up", MODEL)
    before = here.docker.of(SERVICE)
    here.gpus.gpus = (replace(gpu("GPU-a", free=0.5), processes=(Process(1, USED),)),)
    here.log.clear()
    for more in ((), ("--gpu", "0"), ("--strategy", "spread")):
        said = do("up", MODEL, *more)
        assert said.code == 0, said
        assert f"keep  {SERVICE}  nothing changed" in said.out
    assert here.log == []
    assert here.docker.of(SERVICE) == before


def test_what_was_kept_is_not_measured_anew(here: FakeWorld, do: Command) -> None:
    do("up", MODEL)
    here.gpus.held = (Use(here.docker.of(SERVICE).id, "GPU-a", 6 * GIB),)
    do("up", MODEL)
    assert [m.static for m in here.workspace.measurements()] == [USED]


def test_the_next_new_start_claims_what_was_measured_and_what_comes_and_goes(here: FakeWorld, do: Command) -> None:
    (computed,) = json.loads(do("plan", MODEL, "--json").out)["placements"]
    lines = {line["label"]: line["bytes"] for line in computed["claim"]}
    do("up", MODEL)
    do("down", MODEL, "--yes")
    here.gpus.held = ()
    text = explained(do)
    assert "measured when ready    5.00 GiB  an earlier start like this one" in text
    assert claim(do) == USED + lines["activation"] + lines["margin"]
    do("up", MODEL)
    assert here.docker.of(SERVICE).claim == USED + lines["activation"] + lines["margin"]
    here.log.clear()
    assert f"keep  {SERVICE}  nothing changed" in do("up", MODEL).out, "it was started with a measured claim"
    assert here.log == []


def test_a_measured_claim_is_still_checked_against_free_memory(here: FakeWorld, do: Command) -> None:
    do("up", MODEL)
    do("down", MODEL, "--yes")
    here.gpus.gpus = (gpu("GPU-a", free=2),)
    do("plan", MODEL).refused(3, "does not fit", "the GPU has 1.75 GiB left")


@pytest.mark.parametrize(
    "change",
    [
        {"image_id": "sha256:another"},
        {"revision": "a" * 40},
        {"profile": "context=4096 sequences=4 pixels=3211264 weights=16bit graphs=on gpus=1"},
        {"gpu_kind": f"Another card/{24 * GIB}"},
        {"gpu_kind": f"A card/{25 * GIB}"},
        {"driver": "580.1"},
        {"engine": "transformers"},
        {"model": "qwen2-vl-7b"},
    ],
)
def test_another_start_is_computed(here: FakeWorld, do: Command, change: dict[str, str]) -> None:
    computed = claim(do)
    do("up", MODEL)
    do("down", MODEL, "--yes")
    assert claim(do) != computed
    (found,) = here.workspace.measurements()
    here.workspace.measured = {}
    here.workspace.record([replace(found, fingerprint=replace(found.fingerprint, **change))])
    assert claim(do) == computed
    assert "measured when ready" not in explained(do)


def test_unequal_cards_have_no_measurement_because_a_claim_holds_for_all_of_them(here: FakeWorld, do: Command) -> None:
    do("up", MODEL)
    do("down", MODEL, "--yes")
    assert "measured when ready" in explained(do)
    here.gpus.gpus = (gpu("GPU-a"), gpu("GPU-b", total=16))
    assert "measured when ready" not in explained(do)


def test_an_image_that_is_not_here_yet_has_none(here: FakeWorld, do: Command) -> None:
    do("up", MODEL)
    do("down", MODEL, "--yes")
    del here.docker.images[IMAGE]
    assert "measured when ready" not in explained(do)


@pytest.mark.parametrize("held", [None, "nothing"])
def test_what_the_driver_does_not_tell_is_not_kept(here: FakeWorld, do: Command, held: str | None) -> None:
    def born(made: Container) -> Container:
        here.gpus.held = () if held else (Use(made.id, "GPU-a", None),)
        return replace(made, state="running", health="healthy", gate=READY)

    here.compose.born = born
    assert do("up", MODEL).code == 0
    assert here.workspace.measurements() == ()


def test_what_did_not_answer_is_not_measured(here: FakeWorld, do: Command) -> None:
    here.models.names = ("somebody-else",)
    assert do("up", MODEL).code == 1
    assert here.workspace.measurements() == ()


def test_on_the_cpu_there_is_nothing_to_measure(here: FakeWorld, do: Command) -> None:
    assert do("up", "demo").code == 0
    assert here.workspace.measurements() == ()


def test_render_looks_neither_at_memory_nor_at_measurements(here: FakeWorld, do: Command, tmp_path: Path) -> None:
    def rendered() -> dict[str, str]:
        assert do("render", MODEL, "--output", str(tmp_path)).code == 0
        return {path.name: path.read_text(encoding="utf-8") for path in tmp_path.glob("*.yaml")}

    before = rendered()
    do("up", MODEL)
    here.gpus.gpus = (replace(gpu("GPU-a", free=0.1), processes=(Process(1, 20 * GIB),)),)
    here.gpus.held += (Use("", "GPU-a", 20 * GIB),)
    assert here.workspace.measurements()
    assert rendered() == before


# the use of others


def test_what_others_hold_counts_though_the_driver_calls_it_free(here: FakeWorld, do: Command) -> None:
    here.gpus.held = (Use("", "GPU-a", 20 * GIB), Use("a-stranger", "GPU-a", GIB), Use("?", "GPU-b", GIB))
    do("plan", MODEL).refused(3, "does not fit", "the GPU has 2.75 GiB left")


def test_what_ours_hold_of_their_claims_is_not_counted_twice(here: FakeWorld, do: Command) -> None:
    here.docker.add(container("other", project="lab", claim=10 * GIB, gpus=("GPU-a",), port=26000))
    here.gpus.held = (Use("id-other-transformers", "GPU-a", 9 * GIB),)
    do("plan", "qwen2-vl-7b", "--mode", "vllm", "--json")
    assert do("plan", MODEL).code == 0
    here.docker.change("other-transformers", claim=21 * GIB)
    do("plan", MODEL).refused(3, "the GPU has 2.75 GiB left", "'orchestrator --project lab down other' would make room")


# the file


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateFolder:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))
    return StateFolder(print)


def measurement(static: int = GIB, **changes: str) -> Measurement:
    mark = Fingerprint(MODEL, "vllm", "context=1", "sha256:1", "", "A card/1", "550.1")
    return Measurement(replace(mark, **changes), static, 1000.5)


def test_measurements_are_kept_by_fingerprint(state: StateFolder) -> None:
    assert state.measurements() == ()
    state.record([measurement(), measurement(driver="580.1")])
    state.record([measurement(2 * GIB)])
    state.record([])
    assert state.measurements() == (measurement(2 * GIB), measurement(driver="580.1"))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", '{"a": 1}', "[{}]", '[{"fingerprint": {"model": "x"}, "static": 1, "when": 1}]', "\udcff", "null"],
)
def test_a_file_that_can_not_be_read_holds_none_and_is_written_anew(
    state: StateFolder, tmp_path: Path, text: str
) -> None:
    (tmp_path / "measurements.json").write_bytes(text.encode(errors="surrogateescape"))
    assert state.measurements() == ()
    state.record([measurement()])
    assert state.measurements() == (measurement(),)


@pytest.mark.parametrize("wrong", ['"many"', "null", "[]"])
def test_a_number_that_is_none_makes_the_file_unreadable(state: StateFolder, tmp_path: Path, wrong: str) -> None:
    state.record([measurement()])
    file = tmp_path / "measurements.json"
    file.write_text(file.read_text(encoding="utf-8").replace(str(GIB), wrong), encoding="utf-8")
    assert state.measurements() == ()
