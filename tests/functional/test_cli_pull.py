"""``pull``: images and weights ahead of time, and every way that it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from orchestrator.errors import FitError, OrchestratorError
from orchestrator.observation import Image
from orchestrator.ports import Advance
from tests.builders import gpu
from tests.fakes import FakeWorld
from tests.functional.cli import Command, world

QWEN = "Qwen/Qwen2-VL-2B-Instruct"


@pytest.fixture
def here() -> FakeWorld:
    return world(gpu())


def test_the_image_the_volumes_and_the_weights_of_what_up_would_start(here: FakeWorld, do: Command) -> None:
    said = do("pull", "qwen2-vl-2b")
    assert said.code == 0, said
    assert [line.split()[0] for line in here.log] == ["pull", "volumes", "fetch"]
    (download,) = here.actor.downloads
    assert download.repository == QWEN
    assert download.revision == (here.library.registry(()).models["qwen2-vl-2b"].source.revision or "")
    assert f"pull {download.image}" in here.log
    assert dict(download.volumes) == {"orchestrator-weights": "/weights"}
    assert download.environment["HF_HOME"] == "/weights/hub"
    assert (download.owner, download.token_file) == ("2000:0", "")
    assert "1000.0 GB are free in /var/lib/docker; the weights take about 4.4 GB; how large" in said.err
    assert "qwen2-vl-2b: weights are there" in said.err
    assert here.docker.containers == {}
    assert here.workspace.files == {}


def test_what_is_there_is_not_made_anew_and_weights_are_looked_at_again(here: FakeWorld, do: Command) -> None:
    do("pull", "qwen2-vl-2b")
    here.log.clear()
    assert do("pull", "qwen2-vl-2b").code == 0
    assert here.log == [f"fetch {QWEN}"]


def test_the_mode_chooses_the_image(here: FakeWorld, do: Command) -> None:
    assert do("pull", "qwen2-vl-2b", "--mode", "transformers").code == 0
    assert here.log[0].startswith("build orchestrator/transformers:")


def test_models_need_not_fit_beside_each_other_nor_beside_what_runs(here: FakeWorld, do: Command) -> None:
    here.gpus.gpus = (gpu(free=0.5),)
    assert do("pull", "qwen2-vl-2b", "phi-3-5-vision", "--mode", "vllm", "--allow-unpinned").code == 0
    assert [line for line in here.log if line.startswith("fetch")] == [
        f"fetch {QWEN}",
        "fetch microsoft/Phi-3.5-vision-instruct",
    ]


def test_weights_that_come_with_us_need_no_fetching(here: FakeWorld, do: Command) -> None:
    said = do("pull", "demo")
    assert said.code == 0
    assert "nothing to fetch" in said.err
    assert here.actor.downloads == []


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(here: FakeWorld, do: Command) -> None:
    here.docker.free_disk = 4 * 10**9
    do("pull", "qwen2-vl-2b").refused(3, "take about 4.4 GB, and 4.0 GB are free", "where: /var/lib/docker")
    assert here.log == []
    here.docker.volumes |= {"orchestrator-weights"}
    assert do("pull", "qwen2-vl-2b").code == 0, "they may be there already, and only the container can see"


def test_a_disk_that_can_not_be_looked_at_is_said(here: FakeWorld, do: Command) -> None:
    here.docker.free_disk = None
    assert "/var/lib/docker can't be looked at by this user" in do("pull", "qwen2-vl-2b").err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FitError("can't fetch: 4.42 GB are still to be fetched", hint="make room"), 3),
        (OrchestratorError("can't fetch: no network", hint="check it"), 1),
    ],
)
def test_what_fails_says_so(here: FakeWorld, do: Command, error: OrchestratorError, code: int) -> None:
    here.actor.fails["fetch"] = error
    do("pull", "qwen2-vl-2b").refused(code, error.what)


def test_a_download_that_stands_still_is_not_waited_for(here: FakeWorld, do: Command) -> None:
    def stands_still() -> Iterator[Advance]:
        for second in range(10_000):
            here.clock.sleep(1)
            yield Advance("", min(second, 50), 100)

    here.actor.advances = stands_still()
    do("pull", "qwen2-vl-2b").refused(1, "no progress for 300 s in phase weights", "run it again")
    assert 300 <= here.clock.time - 1000 - 50 <= 303


def test_a_slow_download_is_waited_for(here: FakeWorld, do: Command) -> None:
    def slow() -> Iterator[Advance]:
        for done in range(100):
            here.clock.sleep(250)
            yield Advance("", done, 100)

    here.actor.advances = slow()
    assert do("pull", "qwen2-vl-2b").code == 0
    assert here.clock.time >= 26_000


def test_interrupted_it_says_how_to_go_on(here: FakeWorld, do: Command) -> None:
    here.actor.fails["fetch"] = KeyboardInterrupt()
    do("pull", "qwen2-vl-2b").refused(
        130, "interrupted; what was fetched is kept", "'orchestrator pull qwen2-vl-2b' goes on"
    )


def test_a_program_gets_lines_of_json(here: FakeWorld, do: Command) -> None:
    said = do("pull", "qwen2-vl-2b", "--json")
    events = [json.loads(line) for line in said.out.splitlines()]
    assert said.err == ""
    weights = [e for e in events if e["phase"] == "weights"]
    assert [(e["subject"], e["done_bytes"], e["share"]) for e in weights] == [
        ("qwen2-vl-2b", 0, 0.0),
        ("qwen2-vl-2b", 8, 1.0),
    ]
    assert events[-1]["event"] == "done"


def test_a_gated_model_needs_its_token_before_anything_is_fetched(here: FakeWorld, do: Command) -> None:
    entry = here.library.registry(()).models["qwen2-vl-2b"]
    gated = entry.model_copy(update={"source": entry.source.model_copy(update={"gated": True})})
    there = FakeWorld(gated, gpus=(gpu(),))
    there.docker.images[str(gated.engines.vllm and gated.engines.vllm.image)] = Image("sha256:1")
    here.library = there.library
    do("pull", "qwen2-vl-2b").refused(4, "qwen2-vl-2b is gated, and there is no file with a Hugging Face token")
    assert here.log == []
    file = here.workspace.put("hf_token")
    assert do("pull", "qwen2-vl-2b").code == 0
    (download,) = here.actor.downloads
    assert download.token_file == file
    assert download.environment["HF_TOKEN_PATH"] == "/run/secrets/hf_token"  # noqa: S105 (a path)


def test_nobody_named_is_exit_code_2(do: Command) -> None:
    do("pull").refused(2, "no model named")
