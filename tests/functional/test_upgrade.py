"""A new version that fails: what served before comes back, whatever went wrong and whoever is there to see it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapters.workspace import STATE_VARIABLE, StateFolder
from orchestrator.errors import FitError, OrchestratorError
from orchestrator.observation import Container, Gate, Image, Previous
from tests.builders import READY
from tests.fakes import FakeWorld
from tests.functional.cli import Command, Said, command

REGISTRY = Path(__file__).parents[2] / "orchestrator" / "registry" / "models"
SERVICE = "tiny-transformers"
PARKED: dict[str, Any] = {"state": "running", "gate": Gate("parked", "CUDA out of memory."), "health": "unhealthy"}
STARTING: dict[str, Any] = {"state": "running", "gate": Gate("starting"), "health": "starting"}


@dataclass
class Entries:
    """Entries made from the demo's, each change in a folder of its own: a folder is read once."""

    root: Path
    texts: dict[str, str] = field(default_factory=dict)
    changes: int = 0

    def __call__(self, tag: str, name: str = "tiny", port: int = 24100) -> None:
        """Write the entry of a model that this version of an image serves."""
        text = (REGISTRY / "demo.yaml").read_text(encoding="utf-8")
        text = text[: text.index("  vllm:\n")] + text[text.index("  transformers:\n") :]
        text = text.replace("name: demo\n", f"name: {name}\n", 1).replace("port: 24000", f"port: {port}")
        self.texts[name] = text.replace("image_family: tf5", f"image: an/engine:{tag}")
        self.changes += 1
        self.folder.mkdir()
        for file, content in self.texts.items():
            (self.folder / f"{file}.yaml").write_text(content, encoding="utf-8")

    @property
    def folder(self) -> Path:
        return self.root / str(self.changes)


@pytest.fixture
def entry(tmp_path: Path) -> Entries:
    return Entries(tmp_path)


@pytest.fixture
def do(here: FakeWorld, entry: Entries, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line with these entries; v1 serves already."""
    entry("v1")
    run = command(here, capsys)

    def do(*arguments: str) -> Said:
        return run("--registry", str(entry.folder), *arguments)

    assert do("up", "tiny").code == 0
    entry("v2")
    return do


def becomes(here: FakeWorld, tag: str, **state: Any) -> None:
    """Let containers of that version turn out so, and all others serve."""
    serving = {"state": "running", "health": "healthy", "gate": READY}

    def born(made: Container) -> Container:
        return replace(made, **(state if made.image.endswith(f":{tag}") else serving))

    here.compose.born = born


def serves(here: FakeWorld, tag: str, port: int = 24100) -> None:
    """One container, of that version, where it was; and nothing is kept any more."""
    (found,) = (c for c in here.docker.containers.values() if c.port == port)
    assert (found.image, found.ready) == (f"an/engine:{tag}", True)
    assert here.workspace.previous == {}


def test_a_new_version_that_answers_lets_the_old_one_go(here: FakeWorld, do: Command) -> None:
    said = do("up", "tiny", "--yes")
    assert said.code == 0
    assert f"replace  {SERVICE}  image changed: v1 -> v2" in said.out
    assert here.log[3:] == [
        "pull an/engine:v2",
        f"recipe id-3-{SERVICE}",
        f"compose up {SERVICE}",
    ], "the image is there before the old one is touched"
    serves(here, "v2")


def test_without_consent_nothing_is_kept(here: FakeWorld, do: Command) -> None:
    do("up", "tiny").refused(1, "declined; nothing was changed")
    assert len(here.log) == 3, "no more than the first start"
    serves(here, "v1")


def test_a_pull_that_fails_leaves_the_old_one_serving(here: FakeWorld, do: Command) -> None:
    before = dict(here.docker.containers)
    here.actor.fails["pull"] = OrchestratorError("can't pull an/engine:v2: no such host", hint="check the network")
    do("up", "tiny", "--yes").refused(1, "can't pull an/engine:v2")
    assert here.docker.containers == before
    serves(here, "v1")


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (PARKED, "parked: CUDA out of memory"),
        ({"state": "exited", "gate": None, "health": "", "exit_code": 3}, "dead: exit code 3"),
    ],
)
def test_a_new_version_that_does_not_start(here: FakeWorld, do: Command, state: dict[str, Any], reason: str) -> None:
    becomes(here, "v2", **state)
    said = do("up", "tiny", "--yes")
    said.refused(1, f"error: {SERVICE}: v2 failed: {reason}; brought back v1, which answers\n")
    assert f"{SERVICE}: restore: v2 failed: {reason}\n" in said.err
    assert f"{SERVICE} | the log of id-6-{SERVICE}, follow False, tail 30\n" in said.err
    assert f"{SERVICE}: brought back (0.0 s)\n{SERVICE}: ready, answered (0.0 s)\n" in said.err
    assert here.log[-3:] == [
        f"logs id-6-{SERVICE}",
        f"remove id-6-{SERVICE}",
        f"recreate recipe of id-3-{SERVICE}",
    ], "what failed is gone before the old one needs its port and memory"
    assert said.out.splitlines()[-1].split()[:4] == ["tiny", "transformers", "ready", "healthy"]
    serves(here, "v1")


def test_a_new_version_of_another_name_or_answer(here: FakeWorld, do: Command) -> None:
    def back(old: Container) -> Container:
        here.models.names = None
        return old

    here.models.names = ("else",)
    here.actor.born = back
    do("up", "tiny", "--yes").refused(1, "v2 failed: it serves else instead of tiny; brought back v1, which answers")
    serves(here, "v1")


def test_a_new_version_that_dies_of_the_question(here: FakeWorld, do: Command) -> None:
    """Its gate tries it again by then, and that is not waited for."""
    here.models.fails = OrchestratorError("the connection was reset")
    said = do("up", "tiny", "--yes")
    said.refused(
        1, "v2 failed: it does not answer: the connection was reset; brought back v1, which failed too: it does"
    )
    serves(here, "v1")


def test_compose_that_fails_after_the_old_one_is_gone(here: FakeWorld, do: Command) -> None:
    here.compose.fails = FitError("a port was taken in the meantime", hint="run it again")
    said = do("up", "tiny", "--yes")
    said.refused(3, f"a port was taken in the meantime; {SERVICE}: brought back v1, which answers", "run it again")
    assert "v2 failed: a port was taken" in said.err
    serves(here, "v1")


def test_compose_that_fails_before_it_touches_the_old_one(here: FakeWorld, do: Command) -> None:
    before = dict(here.docker.containers)
    here.compose.fails, here.compose.early = FitError("no such network", hint="make it"), True
    do("up", "tiny", "--yes").refused(3, "error: no such network\n")
    assert here.docker.containers == before
    serves(here, "v1")


def test_the_old_one_that_can_not_come_back_is_told(here: FakeWorld, do: Command) -> None:
    becomes(here, "v2", **PARKED)
    here.actor.fails["recreate"] = OrchestratorError("can't make it anew: no such image")
    do("up", "tiny", "--yes").refused(
        1, "v2 failed: parked: CUDA out of memory; v1 can't be brought back: can't make it anew: no such image"
    )
    assert here.docker.containers == {}
    assert [kept.image for kept in here.workspace.kept("orchestrator")] == ["an/engine:v1"], "the next up tries again"
    del here.actor.fails["recreate"]
    do("up", "tiny").refused(1, "brought back v1, which answers")
    serves(here, "v1")


def test_the_old_one_that_starts_slowly_is_followed_as_long(here: FakeWorld, do: Command) -> None:
    becomes(here, "v2", **PARKED)
    here.actor.born = lambda c: replace(c, **STARTING)
    do("up", "tiny", "--yes", "--timeout", "5").refused(
        1, "brought back v1, which is not ready after 5 s; it goes on starting"
    )


def test_what_served_not_is_not_kept(here: FakeWorld, do: Command) -> None:
    becomes(here, "v2", **PARKED)
    here.docker.change(SERVICE, gate=Gate("starting"), health="starting")
    do("up", "tiny").refused(1, f"not ready: {SERVICE}", "orchestrator logs tiny")
    assert [c.image for c in here.docker.containers.values()] == ["an/engine:v2"]


def test_only_the_model_that_fails_comes_back(here: FakeWorld, do: Command, entry: Entries) -> None:
    entry("v1", "other", 24200)
    do("up", "other")
    entry("w2", "other", 24200)
    entry("v1", "third", 24300)
    becomes(here, "v2", **PARKED)
    said = do("up", "tiny", "other", "third", "--yes")
    said.refused(1, f"error: {SERVICE}: v2 failed: parked: CUDA out of memory; brought back v1, which answers\n")
    serves(here, "v1")
    serves(here, "w2", 24200)
    serves(here, "v1", 24300)


def test_a_timeout_is_no_failure_and_the_next_up_brings_back(here: FakeWorld, do: Command) -> None:
    becomes(here, "v2", **STARTING)
    do("up", "tiny", "--yes", "--timeout", "5").refused(1, f"not ready: {SERVICE}", "it goes on starting")
    assert here.docker.of(SERVICE).image == "an/engine:v2"
    here.clock.at(7, lambda: here.docker.change(SERVICE, **PARKED))
    do("up", "tiny").refused(1, "v2 failed: parked: CUDA out of memory; brought back v1, which answers")
    serves(here, "v1")


def test_without_waiting_the_way_back_stays_open(here: FakeWorld, do: Command) -> None:
    becomes(here, "v2", **PARKED)
    assert do("up", "tiny", "--yes", "--no-wait").code == 0
    assert [kept.image for kept in here.workspace.kept("orchestrator")] == ["an/engine:v1"]
    status = do("status")
    assert (
        f"{SERVICE}: an/engine:v1 served before; 'orchestrator up tiny' brings it back if this one fails" in status.out
    )


def test_down_closes_the_way_back(here: FakeWorld, do: Command) -> None:
    do("up", "tiny", "--yes", "--no-wait")
    assert here.workspace.kept("orchestrator")
    do("down", "tiny")
    assert here.workspace.previous == {}


@pytest.mark.parametrize("names", [["tiny"], ["--all", "--yes"]])
def test_down_closes_it_also_where_both_are_gone(here: FakeWorld, do: Command, names: list[str]) -> None:
    """A bring-back was cut off between the removal of the new one and the start of the old one."""
    do("up", "tiny", "--yes", "--no-wait")
    here.docker.containers.clear()
    do("down", *names)
    assert here.workspace.previous == {}


def test_another_version_that_served_meanwhile_is_what_comes_back(here: FakeWorld, do: Command, entry: Entries) -> None:
    do("up", "tiny", "--yes", "--no-wait")
    entry("v3")
    becomes(here, "v3", **PARKED)
    do("up", "tiny", "--yes").refused(1, "v3 failed: parked: CUDA out of memory; brought back v2, which answers")


def test_a_failed_version_does_not_take_the_place_of_what_served(here: FakeWorld, do: Command, entry: Entries) -> None:
    becomes(here, "v2", **PARKED)
    do("up", "tiny", "--yes", "--no-wait")
    entry("v3")
    becomes(here, "v3", **PARKED)
    do("up", "tiny").refused(1, "v3 failed: parked: CUDA out of memory; brought back v1, which answers")
    serves(here, "v1")


def test_an_image_rebuilt_under_its_name(here: FakeWorld, do: Command, entry: Entries) -> None:
    entry("v1")
    here.docker.images["an/engine:v1"] = Image("sha256:rebuilt")
    becomes(here, "v1", **PARKED)
    do("up", "tiny", "--yes").refused(1, "the new container failed: parked", "brought back what served before, which")


def test_somebody_else_who_acts_in_the_meantime_is_left_alone(here: FakeWorld, do: Command) -> None:
    becomes(here, "v2", **STARTING)

    def replaced() -> None:
        old = here.docker.of(SERVICE)
        del here.docker.containers[old.id]
        here.docker.add(replace(old, id="id-of-somebody-else", **PARKED))

    here.clock.at(3, replaced)
    do("up", "tiny", "--yes").refused(1, f"not ready: {SERVICE}")
    assert list(here.docker.containers) == ["id-of-somebody-else"]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateFolder:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))
    return StateFolder(print)


def test_what_is_kept_lies_in_the_state_folder(state: StateFolder) -> None:
    old, other = Previous("1", "a-vllm", "a", "x:1", "{}"), Previous("2", "b-vllm", "b", "x:1", "{}")
    state.keep("p", other)
    state.keep("p", old)
    assert state.kept("p") == (old, other)
    assert state.kept("q") == ()
    assert state.documents("p") == ()
    newer = replace(old, id="3")
    state.keep("p", newer)
    state.let_go("p", old)
    assert state.kept("p") == (newer, other), "it was let go too late"
    state.let_go("p", newer)
    state.let_go("p", newer)
    assert state.kept("p") == (other,)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": "1"}', '{"id": "1", "else": 2}'])
def test_a_broken_file_keeps_nothing(state: StateFolder, text: str) -> None:
    state.keep("p", Previous("1", "a-vllm", "a", "x:1", "{}"))
    (state.folder("p") / "previous" / "a-vllm.json").write_text(text)
    assert state.kept("p") == ()
