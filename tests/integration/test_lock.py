"""``lock`` against a hub and a registry in this network, by the real engine; and what comes of a lock.

The real hub and real registries are not reached from here.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.cli import Cli, read_yaml, steps, write_yaml
from tests.integration.engine import Engine
from tests.integration.fake_hub import COMMIT, REPOSITORY, Hub
from tests.integration.fake_hub import serving as serving_hub
from tests.integration.fake_registry import Registry
from tests.integration.fake_registry import serving as serving_registry

PORT = 24130
FILE = "orchestrator.lock.yaml"
SERVICE = "tiny-transformers"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving_hub(Hub({"config.json": b"{}"})) as found:
        yield found


@pytest.fixture(scope="module")
def shelf(engine: Engine, stub_image: str) -> Iterator[Registry]:
    """A registry with the stub as ``1``."""
    with serving_registry() as found:
        found.take(engine, stub_image, "1")
        yield found


@pytest.fixture
def registry(shelf: Registry) -> Registry:
    """The same, whatever the test before did to it."""
    shelf.denies = False
    shelf.put("1", shelf.manifests["1"].rstrip())
    return shelf


def moved(registry: Registry) -> str:
    """Let the tag name another manifest, of the same image; returns its digest."""
    return registry.put("1", registry.manifests["1"] + b"\n")


@pytest.fixture
def tiny(cli: Cli, hub: Hub, registry: Registry) -> str:
    """An entry with weights on that hub and an image of that registry."""
    name = cli.entry("tiny", port=PORT, image=registry.name("1"))
    path = cli.registry / f"{name}.yaml"
    entry = read_yaml(path)
    entry["source"] = {"repository": REPOSITORY, "revision": None, "licence": "MIT", "gated": True}
    write_yaml(path, entry)
    token = cli.folder / "token"
    token.write_text("hf_of_the_tests\n")
    cli.extra |= {"HF_ENDPOINT": f"http://127.0.0.1:{hub.port}", "ORCHESTRATOR_HF_TOKEN_FILE": str(token)}
    return name


def locked(cli: Cli) -> tuple[str, str]:
    """Commit and digest in the lock."""
    found = read_yaml(cli.folder / FILE)
    (repository,), (image,) = found["repositories"].values(), found["images"].values()
    return repository["revision"], image["digest"]


def test_a_lock_pins_what_is_pulled_and_what_runs(cli: Cli, hub: Hub, registry: Registry, tiny: str) -> None:
    """The engine finds, by name, tag and digest, what it pulled so; the container says what it is of."""
    first = registry.put("1", registry.manifests["1"])
    cli.run("up", tiny, "--no-wait")
    assert cli.inspect(f"orchestrator-{SERVICE}")["Config"]["Image"] == registry.name("1")
    done = cli.run("lock", tiny)
    assert locked(cli) == (COMMIT, first)
    assert hub.tokens == {"Bearer hf_of_the_tests"}
    assert "hf_of_the_tests" not in f"{done}{(cli.folder / FILE).read_text()}"

    done = cli.run("up", tiny, "--no-wait", "--yes")
    assert f"image pinned: {registry.name('1')} -> {first[:19]}" in done.out
    assert cli.inspect(f"orchestrator-{SERVICE}")["Config"]["Image"] == f"{registry.name('1')}@{first}"

    second = moved(registry)
    assert steps(cli.run("plan", tiny).out) == {SERVICE: "keep"}, "a tag that moves changes nothing"
    assert not next(iter(cli.status(code=None).values()))["drift"]
    cli.run("lock", tiny)
    assert locked(cli) == (COMMIT, first)
    cli.run("lock", tiny, "--upgrade")
    assert locked(cli) == (COMMIT, second)
    assert steps(cli.run("plan", tiny).out)[SERVICE] == "replace"


def test_compose_alone_pulls_what_is_locked(cli: Cli, engine: Engine, registry: Registry, tiny: str) -> None:
    first, second = registry.put("1", registry.manifests["1"]), moved(registry)
    cli.run("lock", tiny)
    cli.run("render", tiny)
    registry.put("1", registry.manifests[first])
    file = cli.folder / "compose" / f"{SERVICE}.yaml"
    engine.run("docker", "compose", "--file", str(file), "pull", "--quiet")
    with engine.client() as client:
        client.images.get(f"{registry.name('1')}@{second}")


@pytest.mark.parametrize(
    ("refusal", "code", "words"),
    [
        ((401, "GatedRepo"), 4, "name a file with a token in ORCHESTRATOR_HF_TOKEN_FILE"),
        ((404, "RepoNotFound"), 2, "check source in the registry entry"),
        ((503, "Unavailable"), 1, "check the network"),
    ],
)
def test_what_the_hub_refuses_has_its_exit_code(
    cli: Cli, hub: Hub, tiny: str, refusal: tuple[int, str], code: int, words: str
) -> None:
    hub.refusal = refusal
    done = cli.run("lock", tiny, code=code)
    assert f"can't ask http://127.0.0.1:{hub.port} for the commit of {REPOSITORY}: {refusal[0]}" in done.err
    assert words in done.err
    assert not (cli.folder / FILE).exists()


def test_what_the_registry_refuses(cli: Cli, hub: Hub, registry: Registry, tiny: str) -> None:
    registry.denies = True
    assert "'docker login' its registry" in cli.run("lock", tiny, code=4).err
    registry.denies = False
    cli.entry("other", port=PORT + 1, image=registry.name("2"))
    hub.away = True
    done = cli.run("lock", "other", tiny, code=1)
    assert f"for the commit of {REPOSITORY}: " in done.err
    assert f"digest of {registry.name('2')}" in done.err
    assert "an image that is only on this host has no digest to lock" in done.err
    assert not (cli.folder / FILE).exists()
