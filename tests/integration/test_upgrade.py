"""A new version on a real engine: pulled first, and if it fails the old one serves again, as it was."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.cli import Cli, Running, answers, steps
from tests.integration.engine import Engine, wait_for
from tests.integration.stub_image import build_stub

PORT = 24350
OURS = "orchestrator-tiny-transformers"
SERVICE = "tiny-transformers"
#: what is wrong with each version of the image
VERSIONS = {
    "v1": {},
    "v2": {},
    "exits": {"STUB_EXIT": "2", "STUB_LOAD_SECONDS": "2"},
    "misnamed": {"STUB_WRONG_NAME": "else"},
    "babbles": {"STUB_ANSWER": "I see a zebra."},
}
REFUSED = (
    "parked: The engine refused its configuration (exit code 2). Correct the registry entry. (wrong-configuration)"
)


def image(version: str) -> str:
    return f"orchestrator/upgrade:{version}"


@pytest.fixture(scope="module", autouse=True)
def _versions(engine: Engine, stub_image: str) -> None:
    for version, knobs in VERSIONS.items():
        build_stub(engine, [image(version)], environment=knobs)


def entry(cli: Cli, version: str, name: str = "tiny", port: int = PORT, **parts: Any) -> None:
    cli.entry(name, port=port, image=image(version), expect="saw 1 images", **parts)


def images(cli: Cli) -> dict[str, str]:
    """The image of every container of the engine, by name, in one look."""
    with cli.engine.client() as client:
        return {row["Names"][0].lstrip("/"): row["Image"] for row in client.api.containers(all=True)}


def as_it_was(cli: Cli, before: dict[str, Any]) -> None:
    """The container that serves is the old one in everything but its id; nothing else is there, nothing is kept."""
    assert list(cli.ids()) == [OURS]
    now = cli.inspect(OURS)
    assert now["Id"] != before["Id"]
    assert now["Image"] == before["Image"]
    for found in (now, before):
        found["Config"].pop("Hostname")
    assert now["Config"] == before["Config"]
    assert now["HostConfig"] == before["HostConfig"]
    assert not list((cli.state / "orchestrator" / "previous").glob("*"))


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("misnamed", "it serves else instead of tiny"),
        ("babbles", "it answers 'I see a zebra.', expected 'saw 1 images'"),
    ],
)
def test_a_version_that_fails_gives_way_to_the_old_one(cli: Cli, version: str, reason: str) -> None:
    entry(cli, "v1")
    cli.run("up", "tiny")
    before = cli.inspect(OURS)
    entry(cli, version)
    done = cli.run("up", "tiny", "--yes", code=1)
    assert f"replace  {SERVICE}  image changed: v1 -> {version}" in done.out
    assert f"{SERVICE} | loading weights\n" in done.err, "the last words of what failed"
    assert f"error: {SERVICE}: {version} failed: {reason}; brought back v1, which answers\n" in done.err
    as_it_was(cli, before)
    assert cli.run("ask", "tiny", "?").out == "stub tiny saw 0 images\n"


def test_compose_and_the_planner_take_what_came_back_for_what_it_was(cli: Cli) -> None:
    entry(cli, "v1")
    cli.run("up", "tiny")
    before = cli.inspect(OURS)
    entry(cli, "exits")
    cli.run("up", "tiny", "--yes", code=1)
    as_it_was(cli, before)
    entry(cli, "v1")
    assert steps(cli.run("up", "tiny").out) == {SERVICE: "keep"}
    assert cli.status()["tiny"]["drift"] == []
    entry(cli, "v2")
    assert steps(cli.run("up", "tiny", "--yes").out) == {SERVICE: "replace"}
    assert images(cli) == {OURS: image("v2")}


def test_gpus_and_key_come_back_too_and_need_no_document(cli: Cli) -> None:
    key = cli.folder / "key"
    key.write_text("a-key-of-the-tests-0123456789\n")
    key.chmod(0o644)
    cli.extra["ORCHESTRATOR_API_KEY_FILE"] = str(key)
    cli.gpus("GPU-a")
    entry(cli, "v1", devices=["gpu"])
    cli.run("up", "tiny", "--api-key")
    before = cli.inspect(OURS)
    assert before["HostConfig"]["DeviceRequests"][0]["DeviceIDs"] == ["GPU-a"]
    shutil.rmtree(cli.state)
    entry(cli, "exits", devices=["gpu"])
    assert "brought back v1, which answers" in cli.run("up", "tiny", "--yes", code=1).err
    as_it_was(cli, before)


def test_an_image_that_was_rebuilt_under_its_name(cli: Cli) -> None:
    """The old one has lost its name by then, and comes back by its id."""
    build_stub(cli.engine, [image("moving")])
    entry(cli, "moving")
    cli.run("up", "tiny")
    before = cli.inspect(OURS)
    build_stub(cli.engine, [image("moving")], environment=VERSIONS["exits"])
    done = cli.run("up", "tiny", "--yes", code=1)
    assert f"replace  {SERVICE}  image was rebuilt" in done.out
    assert f"the new container failed: {REFUSED}; brought back what served before, which answers" in done.err
    assert cli.inspect(OURS)["Image"] == before["Image"]
    assert "image was rebuilt" in cli.run("plan", "tiny").out


def test_compose_that_fails_when_the_old_one_is_gone(cli: Cli) -> None:
    key = cli.state / "orchestrator" / "secrets" / "api_key"
    key.parent.mkdir(parents=True)
    key.write_text("a-key-of-the-tests-0123456789\n")
    entry(cli, "v1")
    cli.run("up", "tiny")
    before = cli.inspect(OURS)
    done = cli.run("up", "tiny", "--yes", "--address", "192.0.2.1", code=3)
    assert "this host has no such address to publish on" in done.err
    assert f"; {SERVICE}: brought back what served before, which answers" in done.err
    as_it_was(cli, before)


def test_a_pull_that_fails_leaves_the_old_one_untouched(cli: Cli) -> None:
    entry(cli, "v1")
    cli.run("up", "tiny")
    before = cli.started()
    entry(cli, "nowhere")
    done = cli.run("up", "tiny", "--yes", code=1)
    assert f"can't pull {image('nowhere')}" in done.err
    assert cli.started() == before
    assert answers(PORT)


def test_only_the_model_that_fails_comes_back(cli: Cli) -> None:
    for name, port in (("tiny", PORT), ("other", PORT + 1)):
        entry(cli, "v1", name, port)
    cli.run("up", "tiny", "other")
    entry(cli, "exits")
    entry(cli, "v2", "other", PORT + 1)
    done = cli.run("up", "tiny", "other", "--yes", code=1)
    assert f"error: {SERVICE}: exits failed: {REFUSED}; brought back v1, which answers\n" in done.err
    assert images(cli) == {OURS: image("v1"), "orchestrator-other-transformers": image("v2")}
    assert all(seen["ready"] for seen in cli.status().values())


def test_what_nobody_followed_comes_back_with_the_next_up(cli: Cli) -> None:
    entry(cli, "v1")
    cli.run("up", "tiny")
    before = cli.inspect(OURS)
    entry(cli, "exits")
    cli.run("up", "tiny", "--yes", "--no-wait")
    wait_for(lambda: cli.status(code=None)["tiny"]["state"] == "parked", "the end of the new one")
    assert f"{image('v1')} served before; 'orchestrator up tiny' brings it back" in cli.run("status", code=1).out
    done = cli.run("up", "tiny", code=1)
    assert steps(done.out) == {SERVICE: "restart"}
    assert "brought back v1, which answers" in done.err
    as_it_was(cli, before)


# --- kill -9 ----------------------------------------------------------------------------------------


def kept(cli: Cli) -> bool:
    return any((cli.state / "orchestrator" / "previous").glob("*.json"))


def being_replaced(cli: Cli) -> bool:
    """Whether Compose has made the new container beside the old one, under a name for the time being."""
    return any(name != OURS for name in cli.ids())


def followed(cli: Cli) -> bool:
    """Whether the new one is there alone."""
    return images(cli) == {OURS: image("exits")}


def removed(cli: Cli) -> bool:
    """Whether the new one, which was there, is gone."""
    return image("exits") not in images(cli).values()


def coming_back(cli: Cli) -> bool:
    """Whether the old one is there again, begun or not."""
    return images(cli) == {OURS: image("v1")}


def kill_when(cli: Cli, running: Running, *seen: Callable[[Cli], bool]) -> None:
    """Kill it and all that it started as soon as these have been true, one after the other."""
    for each in seen:
        wait_for(lambda each=each: each(cli), each.__name__, every=0.002)  # type: ignore[misc]
    running.kill_all()
    assert running.end().code == -9


@pytest.mark.long  # at a few places here; the campaign of faults stops the same between any two steps
@pytest.mark.parametrize(
    ("seen", "version", "serves"),
    [
        ((kept,), "exits", "v1"),
        ((being_replaced,), "exits", "v1"),
        ((followed,), "v1", "v1"),
        ((followed, removed), "exits", "v1"),
        ((followed, coming_back), "v2", "v2"),
    ],
)
def test_killed_on_the_way(cli: Cli, seen: tuple[Callable[[Cli], bool], ...], version: str, serves: str) -> None:
    """The next ``up`` ends with a model that answers, whichever version it asks for."""
    entry(cli, "v1")
    cli.run("up", "tiny")
    entry(cli, "exits")
    kill_when(cli, cli.start("up", "tiny", "--yes"), *seen)
    entry(cli, version)
    done = cli.run("up", "tiny", "--yes", code=0 if version == serves else 1)
    assert images(cli) == {OURS: image(serves)}, done
    assert cli.status()["tiny"]["ready"]
    assert not kept(cli)
