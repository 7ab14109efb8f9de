"""Commands that are killed: how things are before, and how they have to be after the next command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from tests.integration.cli import Cli, answers, steps
from tests.integration.engine import wait_for

OTHER_PORT = 24901
SERVICE, OTHER = "tiny-transformers", "other-transformers"
OURS, OTHERS = f"orchestrator-{SERVICE}", f"orchestrator-{OTHER}"
PURGE = ("down", "--all", "--purge", "--yes")


@dataclass
class Case:
    """A command that is killed. ``ways``: the commands that may come ``next``, each up to the good end.

    ``code``: the exit code where nobody kills it.
    """

    title: ClassVar[str]
    next: ClassVar[tuple[str, ...]]
    arguments: ClassVar[tuple[str, ...]]
    code: ClassVar[int] = 0
    port: ClassVar[int] = 24900

    cli: Cli
    ways: tuple[Callable[[], None], ...] = ()

    def before(self) -> None:
        """Make things so."""

    def serves(self, *words: str, command: tuple[str, ...] = ("up", "tiny", "--yes"), code: int = 0) -> None:
        """``up`` comes to a model that serves, with these words in its configuration, and has nothing left to do."""
        done = self.cli.run(*command, code=code)
        assert list(self.cli.ids()) == [OURS], done
        found = str(self.cli.inspect(OURS)["Config"])
        assert all(word in found for word in words), (words, found)
        assert answers(self.port), done
        assert self.cli.status()["tiny"]["ready"] is True
        assert not list(self.cli.state.glob("*/previous/*")), done
        assert not (self.cli.state / "preparing").exists(), done

    def nothing_left(self) -> None:
        """Everything is taken down, and it is."""
        self.cli.run(*PURGE)
        assert not self.cli.engine.objects()
        tidy(self.cli)


def tidy(cli: Cli) -> None:
    """Nothing of any model is in the state folder, and nobody has the lock."""
    names = {str(path.relative_to(cli.state)) for path in cli.state.rglob("*") if path.is_file()}
    kept = {name for name in names if "/gate/" not in name and "/builtin/" not in name}
    assert kept <= {"orchestrator.lock", "orchestrator/.env", "measurements.json"}, kept
    assert (cli.state / "orchestrator.lock").read_text() == ""


@dataclass
class Create(Case):
    """``up`` on an engine where nothing was."""

    title = "`up`"
    next = ("`up`", "`down`")
    arguments = ("up", "tiny")

    def __post_init__(self) -> None:
        self.ways = self._up, self.nothing_left

    def before(self) -> None:
        self.cli.entry("tiny", port=self.port)
        assert not self.cli.engine.objects()

    def _up(self) -> None:
        self.serves()
        assert steps(self.cli.run("up", "tiny", "--dry-run").out) == {SERVICE: "keep"}
        self.nothing_left()


@dataclass
class Replace(Case):
    """``up`` of a model that serves, and whose settings changed."""

    title = "`up` that replaces"
    next = ("`up`",)
    arguments = ("up", "tiny", "--yes")
    length: int = 1024

    def __post_init__(self) -> None:
        self.ways = (lambda: self.serves(f"'{self.length}'"),)

    def before(self) -> None:
        if not self.cli.ids():
            self.cli.entry("tiny", port=self.port, max_model_len=self.length)
            self.cli.run("up", "tiny")
        self.length = 3072 - self.length
        self.cli.entry("tiny", port=self.port, max_model_len=self.length)


@dataclass
class Return(Case):
    """``up`` of a model that serves, with settings that can't work: what served comes back."""

    title = "`up` that brings back what served"
    next = ("`up`", "`up` of what was mended")
    arguments = ("up", "tiny", "--yes")
    code = 1

    def __post_init__(self) -> None:
        self.ways = self._again, self._mended

    def before(self) -> None:
        if not self.cli.ids():
            self._entry()
            self.cli.run("up", "tiny")
        self._entry(STUB_EXIT="2")

    def _entry(self, **environment: str) -> None:
        self.cli.entry("tiny", port=self.port, environment={"STUB_ANSWER": "fine", **environment})

    def _again(self) -> None:
        self.serves("STUB_ANSWER=fine", code=1)
        assert "STUB_EXIT" not in str(self.cli.inspect(OURS)["Config"]["Env"])

    def _mended(self) -> None:
        self._entry()
        self.serves("STUB_ANSWER=fine")


@dataclass
class Down(Case):
    """``down`` of one model beside another."""

    title = "`down NAME`"
    next = ("`down`", "`up`")
    arguments = ("down", "tiny")
    neighbour: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ways = self._again, self._up

    def before(self) -> None:
        self.cli.entry("tiny", port=self.port)
        self.cli.entry("other", port=OTHER_PORT)
        self.cli.run("up", "tiny", "other", "--no-wait")
        self.neighbour = {OTHERS: self.cli.started()[OTHERS]}

    def _again(self) -> None:
        done = self.cli.run(*self.arguments)
        assert self.cli.started() == self.neighbour, done
        assert {path.name for path in (self.cli.state / "orchestrator").glob("*.yaml")} == {
            "compose.yaml",
            f"{OTHER}.yaml",
        }

    def _up(self) -> None:
        self.cli.run("up", "tiny", "--no-wait")
        assert set(self.cli.ids()) == {OURS, OTHERS}
        wait_for(lambda: answers(self.port), "the model")
        self._again()


@dataclass
class DownAll(Case):
    """``down`` of everything, with what an earlier crash left."""

    title = "`down --all`"
    next = ("`down`",)
    arguments: ClassVar[tuple[str, ...]] = ("down", "--all", "--yes")

    def __post_init__(self) -> None:
        self.ways = (self._again,)

    def before(self) -> None:
        self.cli.entry("tiny", port=self.port)
        self.cli.run("up", "tiny", "--no-wait")
        image = self.cli.inspect(OURS)["Config"]["Image"]
        self.cli.engine.run("docker", "create", "--label", "io.orchestrator.helper", image)

    def _again(self) -> None:
        done = self.cli.run(*self.arguments)
        left = self.cli.engine.objects()
        assert not left.containers, done
        assert not left.networks, done
        assert not left.volumes or "--purge" not in self.arguments
        tidy(self.cli)


@dataclass
class Purge(DownAll):
    """The same, and weights too."""

    title = "`down --all --purge`"
    next = ("`down`",)
    arguments = PURGE


@dataclass
class Build(Case):
    """``up`` of the demo, whose image is missing; its layers are there."""

    title = "`up` that builds an image"
    next = ("`up`",)
    arguments = ("up", "demo", "--no-wait")

    image: str = ""

    def __post_init__(self) -> None:
        self.ways = (self._up,)

    def before(self) -> None:
        self.cli.entry("tiny", port=self.port)  # a registry folder may not be empty
        self.cli.engine.run("docker", "image", "rm", self.image)

    def _up(self) -> None:
        self.cli.run(*self.arguments, timeout=300)
        assert set(self.cli.ids()) == {"orchestrator-demo-transformers"}
        self.nothing_left()
