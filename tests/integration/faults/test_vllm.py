"""What keeps a real vLLM from starting, told by ``up`` with its name and what to do, and not tried again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.integration.cli import DEMO, REPOSITORY, Cli, read_yaml, write_yaml
from tests.integration.engine import Engine
from tests.integration.faults.campaign import Seen, judge, left
from tests.integration.faults.vllm import REAL, Spoil

WEIGHTS = REPOSITORY / "orchestrator" / "server" / "builtin" / "demo"


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A folder with the demo's weights, whose config names an architecture that nobody has."""
    folder = tmp_path / "foreign"
    shutil.copytree(WEIGHTS, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["architectures"] = ["NobodysForCausalLM"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def write(cli: Cli, name: str, port: int, spoil: Spoil, folder: Path) -> None:
    """The demo's entry, one sequence at a time, with one thing wrong."""
    entry = read_yaml(DEMO)
    entry.update(name=name, title=name)
    del entry["engines"]["transformers"]
    entry["engines"]["vllm"].update(port=port, max_num_seqs=1)
    spoil(entry, folder)
    write_yaml(cli.registry / f"{name}.yaml", entry)


@pytest.mark.long  # what vLLM says in each case is printed by the stub in test_starting.py, too
def test_each_is_told_by_its_name_and_not_tried_again(
    engine: Engine, vllm_image: str, tmp_path: Path, foreign: Path
) -> None:
    cli = Cli(engine, tmp_path / "cli")
    before = engine.objects()
    for port, fault in enumerate(REAL, start=25100):
        write(cli, fault.name, port, fault.spoil, foreign)
    names = [fault.name for fault in REAL]

    done = cli.start("up", *names, "--mode", "vllm", "--yes", "--json").end(timeout=590)
    shown = cli.status(*names, code=1)
    cli.run("down", *names, "--yes")
    lost = left(cli, before)

    told = [json.loads(line) for line in done.out.splitlines()]
    for fault in REAL:
        (failed,) = (e for e in told if e["event"] == "failed" and e["subject"] == f"{fault.name}-vllm")
        state = shown[fault.name]
        assert (state["state"], state["restarts"]) == ("parked", 0), state
        found = Seen(
            code=done.code,
            said=failed["text"],
            cause=failed["cause"],
            seconds=failed["seconds"],
            ready=state["ready"] or any(e["event"] == "ready" and e["subject"] == failed["subject"] for e in told),
        )
        judge(fault, found, lost)
