"""Drift on the command line: ``status`` and ``plan`` name it, ``up`` puts it right, and nothing else changes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from orchestrator.observation import Setup
from tests.builders import spec
from tests.fakes import FakeLibrary, FakeWorld
from tests.functional.cli import Command, command

SERVICE = "phi-transformers"
ON_CPU = {"devices": ["cpu"]}
FILE = f"{SERVICE}.yaml"


@pytest.fixture
def world() -> FakeWorld:
    return FakeWorld(spec(transformers=ON_CPU))


@pytest.fixture
def orchestrator(world: FakeWorld, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line in a world where phi serves."""
    run = command(world, capsys)
    assert run("up", "phi").code == 0
    return run


def change(world: FakeWorld, **changes: str) -> None:
    """Change the container by hand; ``_`` in names is a space."""
    has = dict(world.docker.of(SERVICE).setup.has) | {what.replace("_", " "): to for what, to in changes.items()}
    world.docker.change(SERVICE, setup=Setup(tuple(sorted(has.items()))))


def edit(world: FakeWorld, old: str, new: str) -> None:
    """Edit the applied file by hand."""
    text = world.workspace.files["orchestrator"][FILE].decode()
    assert old in text
    world.workspace.files["orchestrator"][FILE] = text.replace(old, new).encode()


def seen(orchestrator: Command) -> list[dict[str, str]]:
    said = orchestrator("status", "--json")
    assert said.code == 0, "drift is no failure"
    (model,) = json.loads(said.out)["models"]
    found: list[dict[str, str]] = model["drift"]
    return found


def test_nothing_is_said_where_nothing_drifted(orchestrator: Command) -> None:
    assert seen(orchestrator) == []
    assert "drifted" not in orchestrator("status").out
    assert "nothing changed\n" in orchestrator("plan", "phi").out


def test_a_changed_container_is_named_replaced_and_well_again(world: FakeWorld, orchestrator: Command) -> None:
    change(world, memory_limit="2 GiB", restart_policy="always")
    assert seen(orchestrator) == [
        {"what": "memory limit", "wanted": "none", "found": "2 GiB", "by": "file", "at": "container"},
        {"what": "restart policy", "wanted": "unless-stopped", "found": "always", "by": "file", "at": "container"},
    ]
    words = "memory limit: none in the file, 2 GiB in the container; restart policy: "
    for status in (orchestrator("status"), orchestrator("status", "phi")):
        assert status.code == 0
        assert f"note: {SERVICE} drifted: {words}" in status.out
        assert status.out.endswith("; 'orchestrator up phi' puts it right\n")
    cause = "changed by hand: memory limit: none in the plan, 2 GiB in the container; "
    assert f"replace  {SERVICE}  {cause}" in orchestrator("plan", "phi").out
    orchestrator("up", "phi").refused(1, "declined")
    said = orchestrator("up", "phi", "--yes", "--json")
    assert json.loads(said.out.splitlines()[-1])["models"][0]["drift"] == []
    assert seen(orchestrator) == []


def test_one_more_network_is_kept_and_told(world: FakeWorld, orchestrator: Command) -> None:
    change(world, network_webui="connected")
    told = "network webui: none in the file, connected in the container; the model is well, and 'up' leaves it so"
    assert told in orchestrator("status").out
    kept = f"keep  {SERVICE}  nothing changed; network webui: none in the plan, connected in the container"
    assert kept in orchestrator("plan", "phi").out


def test_an_edited_file_is_named_and_written_anew(world: FakeWorld, orchestrator: Command) -> None:
    edit(world, "    init: true\n", "    mem_limit: 1g\n")
    path = f"/state/orchestrator/{FILE}"
    assert [d["what"] for d in seen(orchestrator)] == ["edited by hand", "init", "memory limit"]
    assert f"drifted: file edited by hand: {path}; init: no in the file, yes in the cont" in orchestrator("status").out
    planned = orchestrator("plan", "phi").out
    assert f"keep  {SERVICE}  nothing changed\n" in planned
    edits = "init: yes in the plan, no in the file; memory limit: none in the plan, 1 GiB in the file"
    assert f"warning: {SERVICE}: file edited by hand: {edits} ({path}); 'up' writes it anew\n" in planned
    assert orchestrator("up", "phi").code == 0
    assert seen(orchestrator) == []


def test_what_was_changed_in_the_registry_is_planned_as_ever(world: FakeWorld, orchestrator: Command) -> None:
    world.library = FakeLibrary({"phi": spec(transformers={**ON_CPU, "max_model_len": 1024})})
    planned = orchestrator("plan", "phi").out
    assert "command changed: --max-model-len 2048 -> 1024" in planned
    assert "by hand" not in planned


def test_a_container_that_compose_did_not_make_is_removed_before_it_is_replaced(
    world: FakeWorld, orchestrator: Command
) -> None:
    """Compose would find its name taken."""
    change(world, user="0:0")
    old = world.docker.of(SERVICE)
    world.docker.change(SERVICE, applied="")
    assert [d["what"] for d in seen(orchestrator)] == ["user"], "its file is the one that was applied last"
    world.log.clear()
    assert orchestrator("up", "phi", "--yes").code == 0
    assert world.log == [f"recipe {old.id}", f"remove {old.id}", f"compose up {SERVICE}"]
    assert world.docker.of(SERVICE).applied


def test_a_file_of_a_repository_is_left_to_render(world: FakeWorld, orchestrator: Command) -> None:
    world.workspace.files["repository"] = dict(world.workspace.files["orchestrator"])
    edit_in = world.workspace.files["repository"]
    edit_in[FILE] = edit_in[FILE].replace(b"    restart: unless-stopped\n", b"    restart: always\n")
    found = world.docker.of(SERVICE)
    world.docker.containers[found.id] = replace(found, applied="/state/repository/compose.yaml")
    change(world, restart_policy="always")
    assert [(d["what"], d["by"], d["at"]) for d in seen(orchestrator)] == [("restart policy", "original", "file")]
    assert orchestrator("status").out.endswith("; 'orchestrator render' writes it anew\n")
    planned = orchestrator("plan", "phi").out
    assert "changed by hand: restart policy: unless-stopped in the plan, always in the container" in planned
    assert f"(/state/repository/{FILE}); 'orchestrator render' writes it anew" in planned
