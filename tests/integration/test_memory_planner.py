"""The memory planner on a real engine: eight models on two simulated cards, measured, and a ninth that finds no room.

The cards are those of the scripted NVML library, so that orchestrator reads them through the real pynvml. The models
are the registry's own entries, whose claims are thus those of the real models, served by the stub.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from orchestrator.inventory import MIB
from tests.integration.cli import REPOSITORY, Cli, read_yaml, steps, write_yaml
from tests.integration.engine import Engine, wait_for
from tests.integration.nvml.library import Card, script
from tests.integration.stub_image import STUB_IMAGE, build_stub
from tests.integration.test_serial_starts import loads

MODELS = REPOSITORY / "orchestrator" / "registry" / "models"
NAMES = tuple(sorted(path.stem for path in MODELS.glob("*.yaml") if path.stem != "demo"))
#: waits in its load until the test lets it go on; no other test starts it
HELD = "phi-3-vision"
#: is taken down and brought up again, from an image of its own
MEASURED = "internvl2-2b"
OWN_IMAGE = "orchestrator/stub:planner"
DRIVER = "580.95.05"
CARDS = ("GPU-aaaa", "GPU-bbbb")
TOTAL, RESERVED = 32607, 500
#: MiB that each model holds less than it claims, so that nothing is exact by chance
SPARE = 700
GIB = 1 << 30


@dataclass
class Fleet:
    """The eight models, and what the driver says of them."""

    cli: Cli
    planned: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Placements of the plan before anything ran, by model."""

    def entry(self, model: str, *, name: str = "", port: int = 0, image: str = STUB_IMAGE, until: str = "") -> str:
        """An entry of the registry for Transformers on a GPU, served by the stub; returns its name."""
        entry = read_yaml(MODELS / f"{model}.yaml")
        engine = entry["engines"]["transformers"]
        engine.pop("image_family")
        settings = {"STUB_LOAD_SECONDS": "0.3", "STUB_TOTAL_MIB": str(TOTAL)}
        settings |= {"STUB_LOAD_UNTIL": until} if until else {}
        engine |= {"image": image, "devices": ["gpu"], "environment": settings, "port": port or engine["port"]}
        entry["engines"] = {"transformers": engine}
        entry["name"] = name or model
        entry["source"]["revision"] = "0" * 40
        write_yaml(self.cli.registry / f"{entry['name']}.yaml", entry)
        return str(entry["name"])

    def tell(self, held: Mapping[str, int], foreign: Mapping[str, int] | None = None, driver: str = DRIVER) -> None:
        """Let the driver say that these models hold so many MiB; ``foreign``: a process of the host, by card."""
        pids = {name: first_process(id_) for name, id_ in self.cli.ids().items() if name.startswith("orchestrator-")}
        cards = []
        for uuid in CARDS:
            mine = {
                pids[f"orchestrator-{model}-transformers"]: size
                for model, size in held.items()
                if self.planned[model]["gpus"] == [uuid]
            }
            others = {os.getpid(): size for card, size in (foreign or {}).items() if card == uuid}
            processes = mine | others
            free = TOTAL - RESERVED - sum(processes.values())
            cards.append(Card(uuid, "Stub RTX 5090", TOTAL, free, RESERVED, compute=dict(processes)))
        self.write(script(*cards, driver=driver))

    def write(self, text: str) -> None:
        """Put a script in place at once, since it is read at every call."""
        place = Path(self.cli.extra["NVML_SCRIPT"])
        place.with_suffix(".new").write_text(text)
        place.with_suffix(".new").rename(place)

    def usual(self) -> dict[str, int]:
        """MiB that each model holds."""
        return {model: p["claim_bytes"] // MIB - SPARE for model, p in self.planned.items()}

    def claims(self) -> dict[str, int]:
        """What each model claims by the label of its container, in bytes."""
        return {model: entry["claim_bytes"] for model, entry in self.cli.status().items()}


def first_process(container: str) -> int:
    """The host's pid of a container's first process, waited for; the engine knows only that of its own namespace."""

    def found() -> int:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if container not in (folder / "cgroup").read_text():
                    continue
                (pids,) = (line for line in (folder / "status").read_text().splitlines() if line.startswith("NSpid:"))
            except OSError:  # it has ended
                continue
            if pids.split()[-1] == "1":
                return int(folder.name)
        return 0

    return wait_for(found, f"the first process of {container[:12]}", every=0.1)


def visible(container: str) -> list[str]:
    """What a container's first process was told of GPUs."""
    environ = Path(f"/proc/{first_process(container)}/environ").read_text().split("\0")
    return [line.partition("=")[2] for line in environ if line.startswith("NVIDIA_VISIBLE_DEVICES=")]


@pytest.fixture(scope="module")
def fleet(engine: Engine, stub_image: str, library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Eight models that are up and were measured: each holds somewhat less than it claims."""
    before = engine.objects()
    folder = tmp_path_factory.mktemp("planner")
    extra = {"LD_LIBRARY_PATH": str(library), "NVML_SCRIPT": str(folder / "nvml.script"), "CUDA_VISIBLE_DEVICES": ""}
    made = Fleet(Cli(engine, folder, extra=extra))
    build_stub(engine, (OWN_IMAGE,))
    for name in NAMES:
        image = OWN_IMAGE if name == MEASURED else STUB_IMAGE
        made.entry(name, image=image, until="/tmp/go" if name == HELD else "")
    made.tell({})
    plan = json.loads(made.cli.run("plan", *NAMES, "--json").out)
    made.planned = {placement["model"]: placement for placement in plan["placements"]}
    running = made.cli.start("up", *NAMES)
    wait_for(lambda: len(made.cli.ids()) == len(NAMES), "all containers", every=0.1)
    made.tell(made.usual())
    engine.run("docker", "exec", f"orchestrator-{HELD}-transformers", "touch", "/tmp/go")
    done = running.end()
    assert done.code == 0, done
    yield made
    engine.remove(engine.objects() - before)


def test_the_planned_devices_and_one_start_at_a_time_on_each(fleet: Fleet, engine: Engine) -> None:
    gpus = {model: placement["gpus"] for model, placement in fleet.planned.items()}
    assert sorted(gpus) == list(NAMES)
    assert sorted({gpu for (gpu,) in gpus.values()}) == list(CARDS), "it takes both cards"
    for gpu in CARDS:
        claimed = sum(p["claim_bytes"] for p in fleet.planned.values() if p["gpus"] == [gpu])
        assert claimed <= (TOTAL - RESERVED) * MIB

    ids = fleet.cli.ids()
    seen = {model: visible(ids[f"orchestrator-{model}-transformers"]) for model in NAMES}
    assert seen == gpus
    assert fleet.claims() == {model: placement["claim_bytes"] for model, placement in fleet.planned.items()}

    for gpu in CARDS:
        spans = sorted(span for model in NAMES if gpus[model] == [gpu] for span in loads(engine, model))
        assert all(ready < begin for (_, ready), (begin, _) in pairwise(spans)), spans
    locks = engine.run("docker", "run", "--rm", "--volume", "orchestrator-locks:/locks", STUB_IMAGE, "ls", "/locks")
    assert "violations" not in locks.stdout


def test_a_second_up_changes_nothing(fleet: Fleet) -> None:
    """Neither the measurements nor the memory that is gone by now."""
    fleet.tell(fleet.usual())
    before = fleet.cli.ids(), fleet.cli.started(), fleet.claims()
    again = fleet.cli.run("up", *NAMES)
    assert steps(again.out) == {f"{model}-transformers": "keep" for model in NAMES}
    assert (fleet.cli.ids(), fleet.cli.started(), fleet.claims()) == before


def test_status_shows_claim_and_use_and_who_outgrew_its_claim(fleet: Fleet) -> None:
    usual = fleet.usual()
    fleet.tell(usual | {MEASURED: usual[MEASURED] + SPARE + 512})
    seen = fleet.cli.status()
    assert {model: entry["use_bytes"] for model, entry in seen.items() if model != MEASURED} == {
        model: size * MIB for model, size in usual.items() if model != MEASURED
    }
    assert [model for model, entry in seen.items() if entry["outgrown"]] == [MEASURED]

    rows = {line.split()[0]: line for line in fleet.cli.run("status").out.splitlines()}
    assert [word for word in rows["MODEL"].split() if word in {"CLAIM", "USE"}] == ["CLAIM", "USE"]
    for model, line in rows.items():
        if model != "MODEL":
            claim, use = seen[model]["claim_bytes"], seen[model]["use_bytes"]
            assert f" {claim / GIB:.1f} GiB {use / GIB:.1f} GiB " in " ".join(line.split())
            assert ("holds 0.50 GiB more than it claimed" in line) is (model == MEASURED)


def test_a_ninth_is_refused_with_reasons_and_starts_nothing(fleet: Fleet, engine: Engine) -> None:
    fleet.tell(fleet.usual())
    fleet.entry("qwen2-vl-7b", name="ninth", port=24099)
    before = engine.objects()
    refused = fleet.cli.run("up", "ninth", code=3)
    assert "ninth does not fit on this host: at its smallest it claims" in refused.err
    assert "are missing" in refused.err
    assert "'orchestrator down " in refused.err
    assert "would make room on GPU GPU-" in refused.err
    assert engine.objects() == before
    assert {entry["ready"] for entry in fleet.cli.status().values()} == {True}


def test_claims_of_another_project_count(fleet: Fleet) -> None:
    """Also while the driver says that nothing is used: they may still grow to what they claim."""
    fleet.tell({})
    fleet.entry("qwen2-vl-7b", name="ninth", port=24099)
    refused = fleet.cli.run("--project", "other", "plan", "ninth", code=3)
    assert "ninth does not fit" in refused.err
    assert "'orchestrator down " in refused.err, "it says whose project"


def test_memory_of_others_is_not_given_away(fleet: Fleet) -> None:
    """A small newcomer fits beside the eight, and no more beside what a process of the host holds."""
    fleet.tell({})
    small = fleet.entry("qwen2-vl-2b", name="small", port=24098)
    fleet.cli.run("plan", small)
    room = TOTAL - RESERVED
    left = {
        gpu: room - sum(p["claim_bytes"] for p in fleet.planned.values() if p["gpus"] == [gpu]) // MIB for gpu in CARDS
    }
    fleet.tell({}, foreign={gpu: size - 1024 for gpu, size in left.items()})
    refused = fleet.cli.run("plan", small, code=3)
    assert "small does not fit" in refused.err
    assert "GiB are missing" in refused.err


def test_the_next_start_claims_what_was_measured(fleet: Fleet, engine: Engine) -> None:
    """For the same image and driver only; the last test, because it changes both."""
    usual = fleet.usual()
    fleet.tell(usual)
    measured = json.loads((fleet.cli.state / "measurements.json").read_text())
    assert {m["fingerprint"]["model"]: m["static"] for m in measured} == {m: s * MIB for m, s in usual.items()}
    assert {(m["fingerprint"]["driver"], m["fingerprint"]["gpu_kind"]) for m in measured} == {
        (DRIVER, f"Stub RTX 5090/{TOTAL * MIB}")
    }

    others = {model: size for model, size in usual.items() if model != MEASURED}
    fleet.tell(others)  # before the container goes, since nobody tells while ``down`` looks whether memory comes back
    fleet.cli.run("down", MEASURED)
    fleet.tell(others, driver="590.10")
    assert "measured when ready" not in fleet.cli.run("plan", MEASURED, "--explain").out
    fleet.tell(others)
    explained = fleet.cli.run("plan", MEASURED, "--explain").out
    line = next(line for line in explained.splitlines() if "measured when ready" in line)
    assert f"{usual[MEASURED] * MIB / GIB:.2f} GiB" in line
    fleet.cli.run("up", MEASURED, "--no-wait")
    claims = fleet.claims()
    assert claims[MEASURED] != fleet.planned[MEASURED]["claim_bytes"]
    assert {m: c for m, c in claims.items() if m != MEASURED} == {
        m: p["claim_bytes"] for m, p in fleet.planned.items() if m != MEASURED
    }

    fleet.cli.run("down", MEASURED)
    build_stub(engine, (OWN_IMAGE,), labels={"changed": "yes"})
    assert "measured when ready" not in fleet.cli.run("plan", MEASURED, "--explain").out
