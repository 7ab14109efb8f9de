"""``models check`` in a fake world: who is asked, what is told, what is kept. The JSON shape is a contract."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestrator.adapters.workspace import STATE_VARIABLE, StateFolder
from orchestrator.errors import OrchestratorError
from orchestrator.evidence import Listing
from orchestrator.observation import Image
from orchestrator.plan.images import built_image
from tests.fakes import FakeWorld
from tests.functional.cli import Command

OFFICIAL = "vllm/vllm-openai:v0.33.0"
SERVED = ("DotsOCRForCausalLM", "InternVLChatModel", "Phi3VForCausalLM", "Qwen2VLForConditionalGeneration")
VLLM = {**{name: name for name in SERVED}, "HfMoondream": "Moondream3ForCausalLM", "TransformersForCausalLM": ""}
NATIVE = ("GotOcr2ForConditionalGeneration", "Qwen2VLForConditionalGeneration")
FAMILIES = ("dots-ocr", "got-ocr2", "internvl2", "moondream2", "phi3-vision", "qwen2-vl")


def there(here: FakeWorld, image: str, answer: Mapping[str, object]) -> None:
    """Put an image there, and what its engine will say."""
    here.docker.images[image] = Image(f"sha256:{image}")
    here.actor.says[image] = json.dumps(answer)


def ours(family: str) -> str:
    return built_image(f"{family}-cpu").reference


def everything(here: FakeWorld) -> None:
    there(here, OFFICIAL, {"version": "0.33.0", "architectures": VLLM})
    for family, native in (("tf5", NATIVE), ("tf448", NATIVE[1:]), ("tf451", NATIVE), ("tf457", NATIVE)):
        listed = {name: name for name in native}
        there(here, ours(family), {"version": family, "architectures": listed, "families": FAMILIES})


def test_the_truth_of_all_pairs(here: FakeWorld, do: Command) -> None:
    everything(here)
    said = do("models", "check", "--json")
    assert said.code == 0
    found = json.loads(said.out)
    assert found["schema"] == 1
    verdicts = {(pair["model"], pair["engine"]): pair["verdict"] for pair in found["pairs"]}
    eight = {pair: verdict for pair, verdict in verdicts.items() if pair[0] != "demo"}
    assert len(eight) == 16
    assert {pair: verdict for pair, verdict in eight.items() if verdict != "agrees"} == {
        ("internvl2-2b", "vllm"): "contradicts the report",
        ("phi-3-vision", "vllm"): "contradicts the report",
        ("moondream2", "vllm"): "trap",
    }
    assert sorted(here.log) == sorted(
        [f"script in {OFFICIAL} vllm 300"]
        + [f"script in {ours(family)} transformers 300" for family in ("tf448", "tf451", "tf457", "tf5")]
    )


def test_the_json_shape(here: FakeWorld, do: Command) -> None:
    everything(here)
    pairs = json.loads(do("models", "check", "qwen2-vl-2b", "--json").out)["pairs"]
    assert [pair["engine"] for pair in pairs] == ["vllm", "transformers"]
    assert pairs[0] == {
        "model": "qwen2-vl-2b",
        "engine": "vllm",
        "architecture": "Qwen2VLForConditionalGeneration",
        "report": True,
        "registry": True,
        "listed": True,
        "says": "listed",
        "verdict": "agrees",
        "why": "vLLM 0.33.0 lists Qwen2VLForConditionalGeneration",
        "hint": "",
        "evidence": "served-tiny",
        "asked": {"image": OFFICIAL, "image_id": f"sha256:{OFFICIAL}", "version": "0.33.0", "when": 1000.0},
    }


def test_a_table_for_people(here: FakeWorld, do: Command) -> None:
    everything(here)
    said = do("models", "check")
    assert said.code == 0
    table, asked, explained = said.out.split("\n\n")
    assert table.splitlines()[0].split() == ["MODEL", "ENGINE", "ARCHITECTURE", "REPORT", "ENGINE", "SAYS", "VERDICT"]
    (line,) = [line for line in table.splitlines() if line.startswith("moondream2") and " vllm " in line]
    assert [" ".join(cell.split()) for cell in line.split("  ") if cell] == [
        *("moondream2", "vllm", "HfMoondream", "not allowed", "listed as Moondream3ForCausalLM", "TRAP")
    ]
    assert f"asked: vLLM 0.33.0 in {OFFICIAL}, image sha256:vllm/vllm-op\n" in asked
    assert [line.split(":")[0] for line in explained.splitlines()] == [
        *("got-ocr2 on vllm", "internvl2-2b on vllm", "moondream2 on vllm", "phi-3-vision on vllm")
    ]
    assert (
        "vLLM 0.33.0 has no class for GotOcr2ForConditionalGeneration; it would try its Transformers backend"
        in explained
    )
    assert "serves another model by it (Moondream3ForCausalLM): never start it there" in explained
    assert f"asking vLLM in {OFFICIAL}\n" in said.err


def test_what_is_not_here_is_not_asked(here: FakeWorld, do: Command) -> None:
    said = do("models", "check", "qwen2-vl-2b", "dots-ocr")
    assert (said.code, here.log) == (0, [])
    assert said.out.count("  not asked\n") == 4
    assert f"not asked: qwen2-vl-2b, dots-ocr: {OFFICIAL} is not here\n" in said.out
    assert f"docker pull {OFFICIAL}" in said.out
    assert "orchestrator image build tf5-cpu" in said.out


def test_our_build_of_vllm_is_asked_where_the_entry_s_image_is_not_here(here: FakeWorld, do: Command) -> None:
    there(here, ours("vllm"), {"version": "0.32.0", "architectures": VLLM})
    said = do("models", "check", "dots-ocr")
    assert f"asked: vLLM 0.32.0 in {ours('vllm')}, image sha256:" in said.out
    assert f"the entries' own {OFFICIAL} is not here: docker pull {OFFICIAL}\n" in said.out
    there(here, OFFICIAL, {"version": "0.33.0", "architectures": VLLM})
    assert f"asked: vLLM 0.33.0 in {OFFICIAL}, image sha256:" in do("models", "check", "dots-ocr").out


def test_an_engine_that_contradicts_the_registry_is_exit_code_1(here: FakeWorld, do: Command) -> None:
    there(here, OFFICIAL, {"version": "0.10.2", "architectures": {}})
    said = do("models", "check", "dots-ocr", "qwen2-vl-2b")
    assert said.code == 1
    assert said.out.count("CONTRADICTS THE REGISTRY\n") == 2
    assert "dots-ocr on vllm: CONTRADICTS THE REGISTRY. vLLM 0.10.2 has no class for DotsOCRForCausalLM" in said.out


def test_an_image_that_can_not_be_asked_leaves_the_others(here: FakeWorld, do: Command) -> None:
    everything(here)
    here.actor.fails[f"script in {OFFICIAL}"] = OrchestratorError("it gave no answer", hint="look at it")
    said = do("models", "check", "qwen2-vl-2b")
    assert said.code == 1
    assert "failed: qwen2-vl-2b: it gave no answer\n       look at it\n" in said.out
    assert "native" in said.out
    here.actor.fails.clear()
    here.actor.says[OFFICIAL] = "Segmentation fault"
    assert f"{OFFICIAL} said something else than a list" in do("models", "check", "qwen2-vl-2b").out


def test_names_of_models(here: FakeWorld, do: Command) -> None:
    do("models", "check", "demmo").refused(2, "did you mean demo?")
    assert json.loads(do("models", "check", "demo", "demo", "--json").out)["pairs"][0]["model"] == "demo"
    here.docker.broken = OrchestratorError("no Docker")
    assert do("models", "check", "demo").code == 1


def test_what_was_said_is_kept_and_shown_without_docker(here: FakeWorld, do: Command) -> None:
    assert "  asked: " not in do("models", "show", "internvl2-2b").out
    everything(here)
    do("models", "check", "internvl2-2b", "moondream2")
    here.docker.broken = OrchestratorError("no Docker")
    shown = do("models", "show", "internvl2-2b").out
    assert f"  asked: listed by vLLM 0.33.0, image {OFFICIAL} sha256:vllm/vllm-op, asked 1970-01-01\n" in shown
    assert "  asked: Transformers tf448 has no class InternVLChatModel: the repository's own code is needed" in shown
    assert "  evidence: none: another model is loaded in its place\n" in do("models", "show", "moondream2").out
    found = json.loads(do("models", "show", "internvl2-2b", "--json").out)
    assert found["asked"]["vllm"] == {
        "listed": True,
        "image": OFFICIAL,
        "image_id": f"sha256:{OFFICIAL}",
        "version": "0.33.0",
        "when": 1000.0,
    }
    listed = {model["name"]: model["asked"] for model in json.loads(do("models", "list", "--json").out)["models"]}
    assert listed["internvl2-2b"] == found["asked"]
    assert listed["moondream2"]["vllm"]["listed"] is False
    assert set(listed["demo"]) == {"vllm"}, "an engine tells of all models at once"


# the real state folder


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateFolder:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))
    return StateFolder(print)


def test_listings_are_kept_by_image(state: StateFolder, tmp_path: Path) -> None:
    assert state.listings() == ()
    first = Listing("vllm", "1", "vllm:1", "sha256:a", 1.0, {"A": "B"})
    other = Listing("transformers", "5", "ours:1", "sha256:b", 2.0, {}, ("demo",))
    for listing in (first, other):
        state.hear(listing)
    assert state.listings() == (other, first)
    rebuilt = Listing("vllm", "2", "vllm:1", "sha256:c", 3.0, {})
    state.hear(rebuilt)
    assert state.listings() == (other, rebuilt)
    renamed = Listing("vllm", "2", "vllm:2", "sha256:c", 4.0, {})
    state.hear(renamed)
    assert state.listings() == (other, renamed)
    (tmp_path / "listings.json").write_text("{", encoding="utf-8")
    assert state.listings() == ()
