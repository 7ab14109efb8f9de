"""The executor: steps in order, nothing half-started, and every start followed to its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from orchestrator.compose import ComposeDocument, fleet
from orchestrator.errors import FitError, OrchestratorError
from orchestrator.executor import Work, apply, control, remove
from orchestrator.observation import Gate, Network
from orchestrator.observation import Image as LocalImage
from orchestrator.plan.placement import Placements
from orchestrator.plan.steps import Kind, Plan, Step, removal
from tests.builders import container, placement, rendered, spec
from tests.fakes import FakeWorld
from tests.templates import TEXTS

A, B = rendered(spec("a"), placement("a")), rendered(spec("b"), placement("b", port=25001))
IMAGE = A.image.reference


def work(*steps: Step, documents: tuple[ComposeDocument, ...] = (A, B)) -> Work:
    files = {d.filename: d.text for d in documents}
    files["compose.yaml"] = fleet(Placements(()), "orchestrator", "here", documents, TEXTS["compose/fleet.yaml.j2"], ())
    by_service: Mapping[str, ComposeDocument] = {d.placement.service: d for d in documents}
    contents = {name: text.encode() for name, text in files.items()}
    return Work(Plan("orchestrator", "here", steps), by_service, contents)


def step(kind: Kind, model: str, target: str = "") -> Step:
    return Step(kind, f"{model}-transformers", "a test", target or f"id-{model}-transformers")


def applied(world: FakeWorld, *steps: Step) -> list[tuple[str, str, str]]:
    with world.workspace.lock("a test", 1):
        return [(e.kind, e.subject, e.text) for e in apply(work(*steps), world)]


@pytest.fixture
def world() -> FakeWorld:
    return FakeWorld()


def with_image(world: FakeWorld) -> FakeWorld:
    world.docker.images[IMAGE] = LocalImage("sha256:1", "source-1")
    return world


def test_images_then_volumes_then_one_compose_call(world: FakeWorld) -> None:
    events = applied(
        world,
        Step("build", IMAGE, "image is missing"),
        Step("volume", "weights", "no such volume"),
        Step("volume", "cache", "no such volume"),
        step("create", "a"),
        step("create", "b"),
    )
    assert events == [
        ("start", IMAGE, "build: image is missing"),
        ("progress", IMAGE, "#1 FROM python"),
        ("done", IMAGE, "build"),
        ("done", "weights", "volume"),
        ("done", "cache", "volume"),
        ("start", "a-transformers", "create: a test"),
        ("start", "b-transformers", "create: a test"),
        ("done", "a-transformers", "create"),
        ("done", "b-transformers", "create"),
    ]
    assert world.log == [f"build {IMAGE}", "volumes weights cache", "compose up a-transformers b-transformers"]
    assert {c.service for c in world.docker.containers.values() if c.ready} == {"a-transformers", "b-transformers"}
    assert world.workspace.marked == frozenset()


def test_only_what_is_new_is_given_to_compose(world: FakeWorld) -> None:
    with_image(world).docker.add(container("a"))
    applied(world, step("keep", "a"), step("create", "b"))
    assert world.log == ["compose up b-transformers"]


def test_a_plan_that_keeps_everything_calls_nothing(world: FakeWorld) -> None:
    assert applied(world, step("keep", "a")) == []
    assert world.log == []
    assert "a-transformers.yaml" in world.workspace.files["orchestrator"], "what was applied is on disk again"


def test_when_compose_fails_nothing_is_half_started(world: FakeWorld) -> None:
    foreign = container("a", project="else", state="created", id="id-else")
    with_image(world).docker.add(container("other", state="created"), foreign)
    world.compose.fails = FitError("a port was taken in the meantime")
    with pytest.raises(FitError, match="a port was taken"):
        applied(world, step("create", "a"), step("create", "b"))
    assert set(world.docker.containers) == {"id-other-transformers", "id-else"}, "only ours, only of this plan"


def test_when_compose_fails_its_network_goes_unless_something_comes_back_on_it(world: FakeWorld) -> None:
    with_image(world).compose.fails = FitError("a port was taken in the meantime")
    world.docker.networks["n"] = Network("n", "orchestrator_default", "orchestrator")
    world.docker.networks["m"] = Network("m", "else_default", "else")
    old = container("b")
    for keep, left in (((old,), {"n", "m"}), ((), {"m"})):
        world.docker.add(*keep)
        todo = replace(work(step("create", "a")), keep=keep)
        with world.workspace.lock("a test", 1), pytest.raises(FitError):
            list(apply(todo, world))
        world.docker.containers.clear()
        assert world.docker.networks.keys() == left


def test_when_compose_fails_what_it_had_started_goes_and_a_running_replacement_stays(world: FakeWorld) -> None:
    with_image(world).compose.fails = FitError("a port was taken in the meantime")
    world.compose.started = frozenset({"a-transformers", "b-transformers"})
    with pytest.raises(FitError, match="a port was taken"):
        applied(world, step("create", "a"), step("replace", "b"))
    assert {c.service for c in world.docker.containers.values()} == {"b-transformers"}


def test_when_a_build_fails_nothing_is_started(world: FakeWorld) -> None:
    world.builder.fails = OrchestratorError("building it failed")
    with pytest.raises(OrchestratorError, match="building it failed"):
        applied(world, Step("build", IMAGE, "image is missing"), step("create", "a"))
    assert world.log == [f"build {IMAGE}"]
    assert world.docker.containers == {}


def test_when_volumes_fail_they_stay_marked(world: FakeWorld) -> None:
    with_image(world).actor.fails["volumes"] = OrchestratorError("can't prepare the volumes")
    with pytest.raises(OrchestratorError, match="can't prepare"):
        applied(world, Step("volume", "weights", "no such volume"), step("create", "a"))
    assert world.workspace.marked == {"weights"}
    assert world.docker.containers == {}


def test_starts_and_restarts_go_by_id(world: FakeWorld) -> None:
    with_image(world).docker.add(
        container("a", state="exited", gate=None, health=""), container("b", gate=Gate("parked"), health="unhealthy")
    )
    events = applied(world, step("start", "a"), step("restart", "b"))
    assert sorted(world.log) == ["restart id-b-transformers", "start id-a-transformers"]
    assert [e[0] for e in events] == ["start", "start", "done", "done"]
    assert all(c.ready for c in world.docker.containers.values())


def test_an_error_of_one_container_is_told(world: FakeWorld) -> None:
    world.docker.add(container("a"))
    world.actor.fails["stop"] = OrchestratorError("can't stop it: Docker said no")
    with pytest.raises(OrchestratorError, match="Docker said no"):
        list(control(Plan("orchestrator", "here", (step("stop", "a"),)), world))


def test_removal_takes_containers_and_documents(world: FakeWorld) -> None:
    world.docker.add(container("a"), container("b"))
    world.workspace.files["orchestrator"] = {"a-transformers.yaml": b"", "b-transformers.yaml": b""}
    events = list(remove(removal("orchestrator", "", [world.docker.of("a-transformers")], "asked for"), world))
    assert [(e.kind, e.text) for e in events] == [("start", "remove: asked for"), ("done", "remove")]
    assert world.log == ["remove id-a-transformers"]
    assert world.workspace.documents("orchestrator") == ("b-transformers.yaml",)
    assert set(world.docker.containers) == {"id-b-transformers"}
