"""What keeps a real vLLM from starting, told by ``up`` with its name and what to do, and not tried again."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli import DEMO, REPOSITORY, Cli, read_yaml, write_yaml
from tests.integration.engine import Engine

WEIGHTS = REPOSITORY / "orchestrator" / "server" / "builtin" / "demo"

#: what is to be spoiled, and the folder of the architecture that nobody has
Spoil = Callable[[dict[str, Any], Path], None]


def shared_memory(entry: dict[str, Any], _: Path) -> None:
    """vLLM's queue is made larger, since an entry with too little for the usual one is refused."""
    entry["engines"]["vllm"]["environment"] = {"VLLM_MQ_MAX_CHUNK_BYTES_MB": "64"}


def cache(entry: dict[str, Any], _: Path) -> None:
    """The cache is counted for one layer; the weights have four."""
    entry["architecture"]["layers"] = 1


def flag(entry: dict[str, Any], _: Path) -> None:
    entry["engines"]["vllm"]["flags"] = {"no-such-flag": 4}


def architecture(entry: dict[str, Any], folder: Path) -> None:
    entry["source"] = {"path": str(folder), "licence": "Apache-2.0"}


#: by model: what is wrong with its entry, and what ``up`` says of it
WRONG: dict[str, tuple[Spoil, str]] = {
    "shared-memory": (
        shared_memory,
        r"The container's shared memory is too small: 640 MiB required, 256 MiB free\. Raise shm_mib",
    ),
    "cache": (
        cache,
        r"The KV cache is too small for one sequence of max_model_len: .* is needed, .*\. Correct layers, kv_heads and",
    ),
    "flag": (
        flag,
        r"The engine does not accept its command line: unrecognized arguments: --no-such-flag 4\. Correct flags",
    ),
    "architecture": (
        architecture,
        r"The engine does not support the model's architecture: \['NobodysForCausalLM'\]\. Name a newer image",
    ),
}


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


def test_each_is_told_by_its_name_and_not_tried_again(
    engine: Engine, vllm_image: str, tmp_path: Path, foreign: Path
) -> None:
    cli = Cli(engine, tmp_path / "cli")
    for port, (name, (spoil, _)) in enumerate(WRONG.items(), start=25100):
        write(cli, name, port, spoil, foreign)

    done = cli.run("up", *WRONG, "--mode", "vllm", "--yes", code=1, timeout=590)

    for name, (_, words) in WRONG.items():
        assert re.search(rf"^{name}-vllm: failed, parked: {words}", done.err, re.MULTILINE), (name, done)
    for name, found in cli.status(*WRONG, code=1).items():
        assert (found["state"], found["restarts"]) == ("parked", 0), name
    cli.run("down", *WRONG, "--yes")
