"""Verbs on containers that exist: stop, start, restart, down, logs, ask. By id, and nothing foreign."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import EnvironmentProblem, OrchestratorError
from orchestrator.observation import Foreign, Gate, Network
from tests.builders import container
from tests.fakes import FakeWorld
from tests.functional.cli import Command, world


@pytest.fixture
def here() -> FakeWorld:
    found = world()
    found.docker.add(container("a"), container("b", port=25001), container("a", project="other", id="id-other"))
    found.docker.foreign = (Foreign("id-foreign", "web"),)
    found.docker.networks = {"id-net": Network("id-net", "orchestrator_default", "orchestrator")}
    return found


@pytest.mark.parametrize(("verb", "past"), [("stop", "stopped"), ("start", "started"), ("restart", "restarted")])
def test_one_model(here: FakeWorld, do: Command, verb: str, past: str) -> None:
    said = do(verb, "a")
    assert said.code == 0
    assert here.log == [f"{verb} id-a-transformers"]
    assert said.err == f"a-transformers: {verb}: asked for\na-transformers: {past} (0.0 s)\n"


@pytest.mark.parametrize("verb", ["stop", "start", "restart"])
def test_several_by_model_and_by_service(here: FakeWorld, do: Command, verb: str) -> None:
    assert do(verb, "a", "b-transformers").code == 0
    assert sorted(here.log) == [f"{verb} id-a-transformers", f"{verb} id-b-transformers"]


@pytest.mark.parametrize("verb", ["stop", "start", "restart"])
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "no model named"),
        (["c"], 1, "no container of c in project orchestrator"),
        (["a", "c", "d"], 1, "no container of c, d in project orchestrator"),
        (["web"], 1, "no container of web"),
        (["a", "--force"], 2, "No such option"),
    ],
)
def test_what_is_refused(here: FakeWorld, do: Command, verb: str, arguments: list[str], code: int, words: str) -> None:
    do(verb, *arguments).refused(code, words)
    assert here.log == []


@pytest.mark.parametrize("verb", ["stop", "start", "restart"])
def test_what_docker_says_is_told(here: FakeWorld, do: Command, verb: str) -> None:
    here.actor.fails[verb] = OrchestratorError(f"can't {verb} it: Docker said no", hint="try again")
    do(verb, "a").refused(1, "Docker said no")


@pytest.mark.parametrize("arguments", [["stop", "a"], ["down", "a"], ["logs", "a"], ["ask", "a", "?"]])
def test_without_docker(here: FakeWorld, do: Command, arguments: list[str]) -> None:
    here.docker.broken = EnvironmentProblem("no Docker Engine answers", hint="start it")
    do(*arguments).refused(4, "no Docker Engine answers")
    assert here.log == []


@pytest.mark.parametrize("arguments", [["stop", "a"], ["down", "a"]])
def test_changes_wait_for_the_lock(here: FakeWorld, do: Command, arguments: list[str]) -> None:
    here.workspace.busy = OrchestratorError("waited 900 s for the lock", hint="wait")
    do(*arguments).refused(1, "waited 900 s for the lock")
    assert here.log == []


def left(here: FakeWorld) -> set[str]:
    return set(here.docker.containers)


def test_down_removes_the_model_and_nothing_else(here: FakeWorld, do: Command) -> None:
    said = do("down", "a")
    assert said.code == 0
    assert said.err.endswith("port 25000 is free\n")
    assert left(here) == {"id-b-transformers", "id-other"}
    assert here.log == ["remove id-a-transformers"], "its network is still b's"


def test_down_all_needs_consent(here: FakeWorld, do: Command) -> None:
    do("down", "--all").refused(1, "declined; nothing was changed")
    assert here.log == []
    assert do("down", "--all", "--yes").code == 0
    assert left(here) == {"id-other"}


def test_down_twice(do: Command) -> None:
    do("down", "--all", "--yes")
    said = do("down", "--all", "--yes")
    assert said.code == 0
    assert said.err.endswith("nothing to remove in project orchestrator\n")


def test_down_in_another_project(here: FakeWorld, do: Command) -> None:
    assert do("--project", "other", "down", "--all", "--yes").code == 0
    assert left(here) == {"id-a-transformers", "id-b-transformers"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "name the models to remove, or use --all"),
        (["a", "--all"], 2, "name the models to remove, or use --all"),
        (["c"], 1, "no container of c"),
        (["web"], 1, "no container of web"),
        (["a", "--volumes"], 2, "No such option"),
    ],
)
def test_down_refuses(here: FakeWorld, do: Command, arguments: list[str], code: int, words: str) -> None:
    do("down", *arguments).refused(code, words)
    assert here.log == []


def test_logs(do: Command) -> None:
    assert do("logs", "a").out == "the log of id-a-transformers, follow False, tail None\n"
    assert do("logs", "a", "-f", "--tail", "5").out == "the log of id-a-transformers, follow True, tail 5\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "Missing argument 'NAME'"),
        (["c"], 1, "no container of c"),
        (["a", "--tail", "-1"], 2, "-1"),
        (["a", "b"], 2, "unexpected extra argument"),
    ],
)
def test_logs_refuses(do: Command, arguments: list[str], code: int, words: str) -> None:
    do("logs", *arguments).refused(code, words)


def test_ask(here: FakeWorld, do: Command, tmp_path: Path) -> None:
    assert do("ask", "a", "What is it?").out == "PROBE7\n"
    (tmp_path / "picture.png").write_bytes(b"\x89PNG...")
    assert do("ask", "b", "What is it?", "--image", str(tmp_path / "picture.png"), "--max-tokens", "5").code == 0
    assert here.models.asked == [
        ("http://127.0.0.1:25000", "a", "What is it?", None, 256),
        ("http://127.0.0.1:25001", "b", "What is it?", b"\x89PNG...", 5),
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["a"], 2, "Missing argument 'PROMPT'"),
        (["c", "hi"], 1, "no container of c"),
        (["a", "hi", "--image", "/nowhere.png"], 2, "can't read the image: No such file or directory"),
        (["a", "hi", "--image", "/"], 2, "can't read the image: Is a directory"),
        (["a", "hi", "--max-tokens", "0"], 2, "0 is not in the range"),
    ],
)
def test_ask_refuses(here: FakeWorld, do: Command, arguments: list[str], code: int, words: str) -> None:
    do("ask", *arguments).refused(code, words)
    assert here.models.asked == []


def test_ask_of_what_is_not_ready(here: FakeWorld, do: Command) -> None:
    here.docker.change("b-transformers", gate=Gate("starting"), health="starting")
    do("ask", "b", "hi").refused(1, "b is not ready: starting", "orchestrator status b")


def test_ask_that_is_refused(here: FakeWorld, do: Command) -> None:
    here.models.fails = OrchestratorError("a refused (400): too long", where="http://127.0.0.1:25000", hint="shorten")
    do("ask", "a", "hi").refused(1, "a refused (400): too long", "where: http://127.0.0.1:25000")
