"""Verbs on a fleet file: found by itself, named, or left aside; and the first one, that ``init`` writes."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.adapters.library import Files
from orchestrator.adapters.registry_files import load_registry
from orchestrator.cli.up import _ends
from orchestrator.fleet import schema
from orchestrator.fleet.pinning import pinned
from orchestrator.fleet.spec import Settings
from orchestrator.inventory import Gpu
from orchestrator.plan.steps import Step
from orchestrator.profile import ladder
from orchestrator.registry.spec import ENGINES, EngineName
from tests.builders import container, gpu
from tests.fakes import FakeWorld
from tests.functional.cli import Command, command, world

DEMO = "demo-transformers"
TWO = "  demo:\n  qwen2-vl-2b: {engine: transformers, gpu: 0}\n"


@pytest.fixture
def here() -> FakeWorld:
    return world(gpu("GPU-a"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Iterator[Path]:
    """The current folder is one of its own."""
    (tmp_path / "team").mkdir()
    with contextlib.chdir(tmp_path / "team"):
        yield tmp_path / "team"


def write(models: str = TWO, head: str = "", name: str = "orchestrator.yaml") -> None:
    Path(name).write_text(f"schema_version: 1\nproject: ocr\n{head}models:\n{models}", encoding="utf-8")


def names(here: FakeWorld) -> set[str]:
    return {c.name for c in here.docker.containers.values()}


def steps(out: str) -> dict[str, str]:
    return {found[2]: found[1] for found in re.finditer(r"^  (create|keep|replace|remove) +(\S+)", out, re.MULTILINE)}


def test_up_brings_up_the_fleet_and_a_second_time_keeps_it(here: FakeWorld, do: Command) -> None:
    write()
    said = do("up")
    assert said.code == 0, said
    assert names(here) == {"ocr-demo-transformers", "ocr-qwen2-vl-2b-transformers"}
    assert said.out.splitlines()[-2].split()[0] == "demo"
    again = do("up")
    assert steps(again.out) == {DEMO: "keep", "qwen2-vl-2b-transformers": "keep"}


def test_what_left_the_fleet_is_removed_with_consent_only(here: FakeWorld, do: Command) -> None:
    write()
    do("up")
    write("  demo:\n")
    assert steps(do("plan").out) == {"qwen2-vl-2b-transformers": "remove", DEMO: "keep"}
    before = dict(here.docker.containers)
    refused = do("up")
    refused.refused(1, "declined; nothing was changed")
    assert here.docker.containers == before
    done = do("up", "--yes")
    assert done.code == 0, done
    assert names(here) == {"ocr-demo-transformers"}
    assert "qwen2-vl-2b-transformers.yaml" not in here.workspace.files["ocr"]
    assert b"qwen2" not in here.workspace.files["ocr"]["compose.yaml"]


def test_what_does_not_serve_is_not_removed_unasked_either(here: FakeWorld, do: Command) -> None:
    write("  demo:\n")
    do("up")
    here.docker.add(container("old", project="ocr", state="exited", health="", gate=None, port=25001))
    do("up").refused(1, "declined")
    assert do("up", "--yes").code == 0
    assert names(here) == {"ocr-demo-transformers"}


def test_up_asks_about_what_it_ends_and_what_it_removes() -> None:
    steps = [Step("replace", "a-vllm", "image changed: 1 -> 2"), Step("remove", "b-vllm", "b is not in the fleet")]
    assert _ends(steps, comes_back=True) == (
        "This ends what serves now: a-vllm (image changed: 1 -> 2). It comes back if the new one fails. "
        "This removes: b-vllm (b is not in the fleet)."
    )
    assert _ends(steps[:1], comes_back=False) == "This ends what serves now: a-vllm (image changed: 1 -> 2)."
    assert _ends(steps[1:], comes_back=True) == "This removes: b-vllm (b is not in the fleet)."


def test_names_bring_up_a_part_and_remove_nothing(here: FakeWorld, do: Command) -> None:
    write()
    do("up")
    write("  demo:\n  got-ocr2:\n")
    assert steps(do("up", "demo").out) == {DEMO: "keep"}
    assert "ocr-qwen2-vl-2b-transformers" in names(here)


def test_another_engine_takes_the_place_of_the_one_that_runs(here: FakeWorld, do: Command) -> None:
    write()
    do("up")
    write("  demo:\n  qwen2-vl-2b: {engine: vllm}\n")
    said = do("plan")
    assert "remove  qwen2-vl-2b-transformers" in said.out
    assert "qwen2-vl-2b-vllm takes its place" in said.out


def test_the_file_says_port_and_address_also_of_what_runs(here: FakeWorld, do: Command) -> None:
    write("  demo: {port: 24200, address: 127.0.0.2}\n")
    do("up")
    write("  demo:\n")
    assert "replace  demo-transformers  port changed: 24200 -> 24000" in do("plan").out


def test_what_the_command_says_comes_first(here: FakeWorld, do: Command) -> None:
    write("  demo: {port: 24200}\n")
    assert "127.0.0.1:24300" in do("up", "demo", "--port", "24300").out
    assert do("--project", "trial", "plan").out.startswith("Plan for project trial on")


@pytest.mark.parametrize("verb", ["up", "plan", "render", "pull"])
def test_a_model_that_is_not_in_the_fleet_is_refused(here: FakeWorld, do: Command, verb: str) -> None:
    write("  demo:\n")
    do(verb, "got-ocr2").refused(2, "got-ocr2: not in the fleet", "orchestrator.yaml lists demo", "--no-fleet")
    assert names(here) == set()


def test_the_fleet_can_be_left_aside(here: FakeWorld, do: Command) -> None:
    write("  demo:\n")
    said = do("--no-fleet", "plan", "got-ocr2")
    assert said.code == 0
    assert said.out.startswith("Plan for project orchestrator on")


@pytest.mark.parametrize("verb", ["up", "plan", "render", "pull"])
def test_without_a_fleet_a_name_is_needed(do: Command, verb: str) -> None:
    do(verb).refused(2, "no model named, and there is no fleet file", "orchestrator init")


def test_a_fleet_file_can_be_named(do: Command, folder: Path, tmp_path: Path) -> None:
    write(name="gpu02.yaml")
    for path in ("gpu02.yaml", str(folder / "gpu02.yaml")):
        assert do("--fleet", path, "plan").out.startswith("Plan for project ocr on")
    do("--fleet", "nothing.yaml", "plan").refused(2, "can't read the file", "nothing.yaml")


def test_every_problem_of_the_file_is_told_with_its_line(do: Command) -> None:
    write("  demo: {prt: 1}\n  nobody:\n")
    do("plan").refused(2, "orchestrator.yaml:4 models.demo.prt: is not a known key; did you mean 'port'?")
    write("  demo: {settings: {max_model_len: 9999}}\n  nobody:\n")
    do("plan").refused(2, "2 problems", "orchestrator.yaml:4 models.demo.settings", "orchestrator.yaml:5 models.nobody")


def test_entries_of_the_team_s_own(do: Command, folder: Path) -> None:
    entry = resources.files("orchestrator.registry").joinpath("models", "demo.yaml").read_text(encoding="utf-8")
    (folder / "models").mkdir()
    own = entry.replace("name: demo", "name: ours").replace("24000", "24200").replace("24050", "24250")
    (folder / "models" / "ours.yaml").write_text(own, encoding="utf-8")
    write("  ours:\n", "registry: [models]\n")
    with contextlib.chdir(folder.parent):
        assert "create  ours-transformers" in do("--fleet", "team/orchestrator.yaml", "plan").out
    assert "ours" in do("models", "list").out


def test_down_takes_all_of_the_project_down_and_asks(here: FakeWorld, do: Command) -> None:
    write()
    do("up")
    write("  demo:\n")
    do("down").refused(1, "declined")
    assert do("down", "--yes").code == 0
    assert names(here) == set()


def test_down_of_a_project_needs_no_readable_file(here: FakeWorld, do: Command) -> None:
    write()
    do("up")
    write("  demo: {prt: 1}\n")
    do("down", "--yes").refused(2, "1 problem")
    assert do("--project", "ocr", "down", "--yes").code == 0
    assert names(here) == set()


@pytest.mark.parametrize("verb", ["stop", "start", "restart"])
def test_verbs_on_containers_are_about_all_of_them(here: FakeWorld, do: Command, verb: str) -> None:
    write()
    do("up")
    here.log.clear()
    said = do(verb)
    assert said.code == 0, said
    assert sorted(line.split()[0] for line in here.log) == [verb, verb]


def test_status_says_what_differs_from_the_fleet(here: FakeWorld, do: Command) -> None:
    write()
    do("up")
    write("  demo:\n  got-ocr2:\n")
    said = do("status")
    assert "note: got-ocr2 is in the fleet and has no container\n" in said.out
    assert "note: qwen2-vl-2b is not in the fleet; the next 'orchestrator up' would remove it\n" in said.out
    assert "note:" not in do("status", "demo").out
    assert {model["model"] for model in json.loads(do("status", "--json").out)["models"]} == {"demo", "qwen2-vl-2b"}


def test_pull_fetches_for_the_fleet(here: FakeWorld, do: Command) -> None:
    write("  qwen2-vl-2b: {engine: transformers}\n")
    said = do("pull")
    assert said.code == 0, said
    assert "qwen2-vl-2b: weights" in said.err


def test_render_writes_the_fleet_s_folder_and_clears_it(do: Command, folder: Path) -> None:
    write(head="output: out\n")
    assert do("render").code == 0
    assert {p.name for p in (folder / "out").glob("*.yaml")} == {
        "compose.yaml", f"{DEMO}.yaml", "qwen2-vl-2b-transformers.yaml"
    }  # fmt: skip
    assert do("render", "--check").code == 0
    write("  demo:\n", "output: out\n")
    assert do("render", "--check").code == 1
    assert do("render").code == 0
    assert {p.name for p in (folder / "out").glob("*.yaml")} == {"compose.yaml", f"{DEMO}.yaml"}


INVENTORY = """\
schema_version: 1
name: gpu01
docker: "28.5.2"
gpus:
  - {id: GPU-b, name: A card, total_mib: 24576}
"""


def test_the_host_s_inventory_says_which_gpus_are_used(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "host.yaml").write_text(INVENTORY, encoding="utf-8")
    write("  qwen2-vl-2b: {engine: vllm, gpu: 0}\n", "host: host.yaml\n")
    do = command(world(gpu("GPU-a"), gpu("GPU-b")), capsys)
    said = do("up")
    assert said.code == 0, said
    assert said.out.startswith("Plan for project ocr on gpu01\n")
    assert "(GPU-b)" in said.out


def test_on_another_host_up_refuses_and_plan_is_for_an_empty_one(here: FakeWorld, do: Command, folder: Path) -> None:
    (folder / "host.yaml").write_text(INVENTORY, encoding="utf-8")
    write("  qwen2-vl-2b: {engine: vllm}\n", "host: host.yaml\n")
    do("up").refused(3, "this host is not gpu01: GPU GPU-b (A card) is not here")
    do("up", "--dry-run").refused(3, "this host is not gpu01")
    assert names(here) == set()
    said = do("plan")
    assert said.code == 0
    assert said.out.startswith("Plan for project ocr on gpu01\n")
    assert "so this is the plan for an empty gpu01" in said.out
    assert do("render").code == 0


@pytest.mark.parametrize(
    "gpus",
    [(), (4.0,), (8.0,), (12.0,), (16.0,), (24.0,), (24.0, 24.0), (48.0,), (80.0,) * 8],
    ids=lambda gpus: "+".join(f"{size:g}" for size in gpus) or "cpu",
)
def test_the_first_fleet_is_good_at_once(
    capsys: pytest.CaptureFixture[str], folder: Path, gpus: tuple[float, ...]
) -> None:
    cards: list[Gpu] = [gpu(f"GPU-{at}", size) for at, size in enumerate(gpus)]
    do = command(FakeWorld(gpus=cards, library=Files()), capsys)
    said = do("init")
    assert said.code == 0, said
    inventory = next((folder / "hosts").glob("*.yaml"))
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {
        "orchestrator.yaml", "orchestrator.schema.json", f"hosts/{inventory.name}"
    }  # fmt: skip
    text = (folder / "orchestrator.yaml").read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=orchestrator.schema.json\n")
    assert 'project: "team"\n' in text
    planned = do("plan")
    assert planned.code == 0, planned
    assert f"on {inventory.stem}\n" in planned.out
    assert do("render").code == 0
    for limits in re.findall(r"^    # (?:.* of GPU memory|on the CPU); (.*)$", text, re.MULTILINE):
        assert limits in planned.out, "what the comment promises is what the plan gives"


def test_init_overwrites_nothing(do: Command, folder: Path) -> None:
    (folder / "orchestrator.schema.json").write_text("mine", encoding="utf-8")
    do("init").refused(2, "orchestrator.schema.json: there already, and nothing is overwritten")
    assert [path.name for path in folder.rglob("*")] == ["orchestrator.schema.json"]


def test_init_says_which_port_is_taken(here: FakeWorld, do: Command, folder: Path) -> None:
    here.docker.add(container("other", project="else", port=24000, id="id-else"))
    assert do("init").code == 0
    text = (folder / "orchestrator.yaml").read_text(encoding="utf-8")
    assert "port: 24001  # 24000 is taken\n" in text
    assert do("plan").code == 0


def test_init_for_a_project_and_a_file_of_another_name(do: Command, folder: Path) -> None:
    assert do("--project", "docs", "--fleet", "gpu02.yaml", "init").code == 0
    assert 'project: "docs"\n' in (folder / "gpu02.yaml").read_text(encoding="utf-8")
    assert do("--fleet", "gpu02.yaml", "plan").out.startswith("Plan for project docs on")


def test_init_remembers_the_folders_of_entries(do: Command, folder: Path) -> None:
    entry = resources.files("orchestrator.registry").joinpath("models", "demo.yaml").read_text(encoding="utf-8")
    (folder / "models").mkdir()
    (folder / "models" / "demo.yaml").write_text(entry, encoding="utf-8")
    assert do("--registry", str(folder / "models"), "init").code == 0
    assert 'registry: ["models"]\n' in (folder / "orchestrator.yaml").read_text(encoding="utf-8")
    assert do("plan").code == 0


def test_the_committed_schema_is_fresh() -> None:
    committed = resources.files("orchestrator.fleet").joinpath("fleet.schema.json").read_text(encoding="utf-8")
    assert committed == schema.text(), "write it again as the docstring of orchestrator/fleet/schema.py says"


@pytest.mark.parametrize("verb", ["plan", "render"])
def test_all_is_all_of_the_fleet(do: Command, verb: str) -> None:
    write()
    assert do(verb, "--all") == do(verb)


def test_what_the_file_names_lies_beside_it(do: Command, folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    write("  demo: {port: 24200}\n", name="elsewhere/fleet.yaml")
    do("render").refused(2, "no model named")
    assert "127.0.0.1:24200" in do("--fleet", "elsewhere/fleet.yaml", "plan").out
    assert do("--fleet", "elsewhere/fleet.yaml", "render").code == 0
    assert (folder / "elsewhere" / "compose" / "compose.yaml").is_file(), "beside the file, not beside the caller"


def test_beside_the_fleet_in_another_project_ports_give_way(here: FakeWorld, do: Command) -> None:
    write("  demo: {port: 24200}\n")
    do("up")
    said = do("--project", "trial", "up")
    assert said.code == 0, said
    assert "port 24200 is taken by" in said.out
    assert "127.0.0.1:24201" in said.out
    assert names(here) == {"ocr-demo-transformers", "trial-demo-transformers"}


PINS: dict[str, list[object]] = {
    "max_model_len": [1024, 4096, 8192],
    "max_num_seqs": [1, 3, 16],
    "max_pixels": [12544, 1280 * 784, 3211264],
    "max_tiles": [1, 6, 12],
    "storage": ["16bit", "fp8", "int8", "nf4"],
    "tensor_parallel": [1, 2, 4],
}
ENTRIES = load_registry().models


@given(
    entry=st.sampled_from(sorted(ENTRIES)),
    engine=st.sampled_from(ENGINES),
    pins=st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in PINS.items()}),
)
@settings(max_examples=200, deadline=None)
def test_a_pin_of_any_entry_is_refused_or_leaves_the_plan_no_other_value(
    entry: str, engine: EngineName, pins: dict[str, Any]
) -> None:
    spec, wrong = pinned(ENTRIES[entry], engine, Settings(**pins))
    assert (spec is None) == bool(wrong)
    assert all(path and path[0] in pins for path, _ in wrong), "each problem stands at a setting"
    chosen = spec.engine(engine) if spec else None
    profiles = [rung.profile for rung in ladder(spec, chosen)] if spec and chosen else []
    assert bool(profiles) == bool(chosen)
    for profile in profiles:
        found = {
            "max_model_len": profile.context,
            "max_num_seqs": profile.sequences,
            "max_pixels": profile.pixels,
            "max_tiles": profile.tiles,
            "storage": profile.storage,
            "tensor_parallel": profile.gpus,
        }
        assert {key: found[key] for key in pins} == pins
