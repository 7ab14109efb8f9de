"""docs/json.md is a contract: its tables have exactly the keys that are printed, with their types.

A key that goes, or changes its name or type, fails here until the table says so; so does one that no table has.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.evidence import Use, Verification
from orchestrator.inventory import GIB, Process
from orchestrator.observation import Gate, Setup
from orchestrator.reference.tasks import PRINTED
from orchestrator.registry.spec import ModelSpec
from tests.builders import container, gpu
from tests.fakes import FakeWorld
from tests.functional.cli import Command, world
from tests.functional.test_cli_examples import commands
from tests.functional.test_models_check import OFFICIAL, VLLM, there

PAGE = (Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([^`]+)` \| ([a-z ]+) \|", re.MULTILINE)
TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null", dict: "object"}

#: by section, the command lines whose output is compared, all together
ASKED = {
    "status --json": (["status", "--json"], ["status", "--probe", "--json"]),
    "plan --json": (["plan", "--all", "--allow-unpinned", "--json"],),
    "recommend --json": (["recommend", "--json"], ["recommend", "--gpu-memory", "12", "--json"]),
    "inventory --json": (["inventory", "--json"],),
    "doctor --json": (["doctor", "--fix", "--json"],),
    "models list --json": (["models", "list", "--json"],),
    "models show --json": (["models", "show", "qwen2-vl-2b", "--json"], ["models", "show", "demo", "--json"]),
    "models validate --json": (["models", "validate", "--json"],),
    "models check --json": (["models", "check", "--json"],),
    "report --json": (["report", "--json"],),
    "image list --json": (["image", "list", "--json"],),
    "export --json": (["export", "litellm", "--json"], ["export", "litellm", "--from-container", "--json"]),
    "up --json": (["up", "got-ocr2", "--json"], ["up", "phi-3-vision", "--allow-unpinned", "--json"]),
    "pull --json": (["pull", "qwen2-vl-2b", "--json"],),
    "verify --json": (["verify", "demo", "--mode", "transformers", "--json"],),
}
#: what is asked first, to be remembered
FIRST = (["models", "check"], ["verify", "demo", "--mode", "transformers"])
LINES = {"up --json", "pull --json", "verify --json"}


@pytest.fixture
def here() -> FakeWorld:
    """A world in which every key has something to say."""
    busy = replace(gpu("GPU-a"), processes=(Process(7, GIB, "python3"),))
    here = world(busy, gpu("GPU-small", total=4))
    there(here, OFFICIAL, {"version": "0.33.0", "architectures": VLLM})
    changed = Setup((("user", "0:0"),))
    served = container("demo", claim=GIB, gpus=("GPU-a",), key_file="/keys/api_key", port=27000, setup=changed)
    parked = container("parked", gate=Gate("parked", "boom", restarts=3), health="unhealthy", port=27001)
    left = container("left", state="created", health="", gate=None, port=27002, published=False)
    here.docker.add(served, parked, left)
    edited = b'name: x\nservices:\n  demo-transformers:\n    user: "1:1"\n'
    here.workspace.files["orchestrator"] = {"demo-transformers.yaml": edited}
    serves = here.compose.born
    here.compose.born = lambda c: c if c.model == "phi-3-vision" else serves(c)  # it never starts
    here.models.read = [PRINTED]
    here.gpus.held = (Use(served.id, "GPU-a", GIB),)
    here.workspace.attest(Verification("qwen2-vl-2b", "vllm", "failed", "none", 1.0, "0.1.0"))
    here.workspace.remarks = ("a record that can't be read",)
    return here


def documented(section: str) -> dict[str, frozenset[str]]:
    """Keys and types of one section."""
    text = PAGE.partition(f"\n## `{section}`\n")[2].partition("\n## ")[0]
    return {key: frozenset(types.split(" or ")) for key, types in ROW.findall(text)}


def flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every key with the type of what it holds; lists are looked into, and not shown themselves unless empty."""
    if isinstance(value, list):
        if not value:
            yield f"{path}[]", "nothing"
        for item in value:
            yield from flat(item, f"{path}[]")
        return
    if path and not (isinstance(value, dict) and path.endswith("[]")):
        yield path, TYPES[type(value)]
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, f"{path}.{key}" if path else key)


def printed(do: Command, section: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for arguments in ASKED[section]:
        said = do(*arguments)
        assert said.out, said
        lines = said.out.splitlines() if section in LINES else [said.out]
        for line in lines:
            for path, kind in flat(json.loads(line)):
                found.setdefault(path, set()).add(kind)
    return found


def allowed(kinds: frozenset[str]) -> frozenset[str]:
    """A number may be whole."""
    return kinds | {"integer"} if "number" in kinds else kinds


@pytest.mark.parametrize("section", list(ASKED))
def test_the_tables_are_what_is_printed(here: FakeWorld, do: Command, section: str) -> None:
    if section in {"models list --json", "models show --json", "report --json"}:
        for arguments in FIRST:
            do(*arguments)
    keys, seen = documented(section), printed(do, section)
    wild = [key for key in keys if key.endswith("*")]
    told = {path for path in seen if any(fnmatch.fnmatchcase(path, key.replace("[", "[[]")) for key in wild)}
    plain = {key: kinds for key, kinds in keys.items() if key not in wild}
    empty = {path for path in seen if "nothing" in seen[path]}
    assert {path for path in empty - told if not any(key.startswith(path) for key in plain)} == set(), "in no table"
    for path in empty:
        seen[path].discard("nothing")
    seen = {path: kinds for path, kinds in seen.items() if kinds}
    objects = {path for path in seen if seen[path] == {"object"} and path not in plain}
    assert set(seen) - told - objects - set(plain) == set(), "printed, and in no table"
    assert set(plain) - set(seen) == set(), "in the table, and not printed"
    assert {path: kinds for path, kinds in seen.items() if path in plain and kinds - allowed(plain[path])} == {}
    assert all(any(fnmatch.fnmatchcase(path, key.replace("[", "[[]")) for path in seen) for key in wild)


def test_entries_have_the_keys_of_the_entry_format(do: Command) -> None:
    for entry in json.loads(do("models", "list", "--json").out)["models"]:
        assert set(entry) == {*ModelSpec.model_fields, "asked", "verified"}


def test_every_verb_with_json_has_a_table() -> None:
    asked = {f"{path} --json" for path, verb in commands() if any(option.name == "as_json" for option in verb.params)}
    assert asked == set(re.findall(r"^## `(.*)`$", PAGE, re.MULTILINE)) == set(ASKED)


def test_an_error_is_no_json_and_leaves_stdout_empty(do: Command) -> None:
    for verb in (["plan", "nobody", "--json"], ["models", "show", "nobody", "--json"], ["up", "nobody", "--json"]):
        said = do(*verb)
        said.refused(2, "there is no model")
        assert said.out == ""
