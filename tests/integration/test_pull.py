"""``pull`` with the real huggingface_hub, of both generations, against a hub in this network.

The real hub is not reached from here: what it answers is known from huggingface_hub's own source.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from orchestrator.adapters.image_builder import WHEELS_VARIABLE
from tests.integration.cli import Cli, read_yaml, write_yaml
from tests.integration.conftest import give_up
from tests.integration.engine import Engine, wait_for
from tests.integration.fake_hub import COMMIT, REPOSITORY, Hub, serving
from tests.integration.stub_image import STUB_IMAGE

PORT = 24100
#: huggingface_hub writes pieces of 10 MiB; what it has of the next one is lost when it is cut
SIZE, PIECE = 48 << 20, 10 << 20
KEPT = SIZE // 2 // PIECE * PIECE
WEIGHTS = "model.safetensors"
NEWER, OLDER = "2.4.0", "0.36.2"


@pytest.fixture(scope="module", params=[NEWER, OLDER])
def image(
    request: pytest.FixtureRequest, engine: Engine, stub_image: str, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The stub's image with huggingface_hub in it, from the folder of wheels."""
    wheels = os.environ.get(WHEELS_VARIABLE)
    if not wheels:
        give_up(f"{WHEELS_VARIABLE} names no folder of wheels")
    folder = tmp_path_factory.mktemp("image")
    argv = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--find-links",
        str(Path(wheels).resolve()),
    ]
    subprocess.run([*argv, "--target", str(folder / "hub"), f"huggingface_hub=={request.param}"], check=True)
    (folder / "Dockerfile").write_text(
        f"FROM {STUB_IMAGE}\nCOPY hub /opt/hub\nENV PYTHONPATH=/opt/orchestrator:/opt/hub\n"
    )
    name = f"orchestrator/stub-with-hub:{request.param}"
    with engine.client() as client:
        client.images.build(path=str(folder), tag=name, rm=True)
    shutil.rmtree(folder)
    return name


@pytest.fixture
def hub(engine: Engine) -> Iterator[Hub]:
    """A repository with weights, what belongs to them, and what nobody needs."""
    weights = random.Random(7).randbytes(SIZE)  # noqa: S311 (nothing secret)
    files = {"config.json": b"{}", WEIGHTS: weights, "pytorch_model.bin": b"x" * (2 << 20), "original/a.pth": b"y"}
    with serving(Hub(files)) as hub:
        yield hub


@pytest.fixture
def tiny(cli: Cli, hub: Hub, image: str) -> str:
    """An entry whose weights are on that hub."""
    with cli.engine.client() as client:
        subnet = client.networks.get("bridge").attrs["IPAM"]["Config"][0]["Subnet"]
    gateway = next(ip_network(subnet).hosts())
    where = {"HF_ENDPOINT": f"http://{gateway}:{hub.port}", "HF_HUB_DOWNLOAD_TIMEOUT": "2", "HF_HUB_ETAG_TIMEOUT": "2"}
    name = cli.entry("tiny", port=PORT, environment=where)
    path = cli.registry / f"{name}.yaml"
    entry = read_yaml(path)
    entry["source"] = {"repository": REPOSITORY, "revision": COMMIT, "licence": "MIT"}
    entry["engines"]["transformers"]["image"] = image
    write_yaml(path, entry)
    return name


def digest(cli: Cli, name: str = WEIGHTS) -> str:
    """SHA-256 of a file as a model's container finds it in the hub's cache; "" if it isn't there."""
    file = _cache(cli) / "snapshots" / COMMIT / name
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else ""


def fetchers(engine: Engine) -> list[str]:
    with engine.client() as client:
        return [c["Id"] for c in client.api.containers(all=True, filters={"label": "io.orchestrator.fetcher"})]


def test_the_weights_are_there_before_the_start_and_nothing_else(cli: Cli, hub: Hub, tiny: str) -> None:
    done = cli.run("pull", tiny)
    assert f"{tiny}: weights are there" in done.err
    assert digest(cli) == hashlib.sha256(hub.files[WEIGHTS]).hexdigest()
    assert digest(cli, "config.json") == hashlib.sha256(b"{}").hexdigest()
    for name in ("pytorch_model.bin", "original/a.pth"):
        assert digest(cli, name) == ""
    assert hub.total(WEIGHTS) == SIZE
    assert fetchers(cli.engine) == []

    cli.run("pull", tiny)
    assert hub.total(WEIGHTS) == SIZE, "what is there is not fetched again"
    hub.away = True
    cli.run("up", tiny)
    assert "tiny" in cli.status()


def test_a_connection_that_is_cut_again_and_again_goes_on_where_it_was(cli: Cli, hub: Hub, tiny: str) -> None:
    hub.cut_after = SIZE // 3
    cli.run("pull", tiny)
    assert len(hub.asked) > 2
    assert hub.asked == sorted(set(hub.asked)), "it never begins anew"
    assert digest(cli) == hashlib.sha256(hub.files[WEIGHTS]).hexdigest()


# the older library tries for more than a minute before it gives up
@pytest.mark.parametrize("image", [NEWER, pytest.param(OLDER, marks=pytest.mark.long)], indirect=True)
def test_a_hub_that_goes_away_for_good_is_an_error_and_the_next_pull_goes_on(cli: Cli, hub: Hub, tiny: str) -> None:
    hub.slow.set()
    running = cli.start("pull", tiny)
    wait_for(lambda: _partial(cli) >= KEPT, "nearly half of the weights", seconds=60, every=0.2)
    hub.away = True
    hub.cut_after = 1
    hub.slow.clear()
    done = running.end(180)
    assert done.code == 1, done
    assert "can't fetch the weights of owner/tiny" in done.err
    assert "check the network" in done.err
    assert "Traceback" not in done.err
    assert fetchers(cli.engine) == []

    hub.away, hub.cut_after = False, 0
    hub.asked.clear()
    cli.run("pull", tiny)
    assert [first >= KEPT for first in hub.asked] == [True]
    assert digest(cli) == hashlib.sha256(hub.files[WEIGHTS]).hexdigest()


def test_interrupted_it_leaves_no_container_and_the_next_pull_goes_on(cli: Cli, hub: Hub, tiny: str) -> None:
    hub.slow.set()
    running = cli.start("pull", tiny)
    wait_for(lambda: _partial(cli) >= KEPT, "nearly half of the weights", seconds=60, every=0.2)
    running.signal(signal.SIGINT)
    done = running.end(30)
    assert done.code == 130, done
    assert "'orchestrator pull tiny' goes on" in done.err
    assert fetchers(cli.engine) == []
    hub.slow.clear()
    hub.asked.clear()
    cli.run("pull", tiny)
    assert [first >= KEPT for first in hub.asked] == [True]
    assert digest(cli) == hashlib.sha256(hub.files[WEIGHTS]).hexdigest()


def test_what_was_damaged_is_noticed_when_it_goes_on(cli: Cli, hub: Hub, tiny: str) -> None:
    hub.slow.set()
    running = cli.start("pull", tiny)
    wait_for(lambda: _partial(cli) >= KEPT, "nearly half of the weights", seconds=60, every=0.2)
    running.signal(signal.SIGINT)
    running.end(30)
    hub.slow.clear()
    part = next(_cache(cli).glob("blobs/*.part.incomplete"))
    with part.open("r+b") as file:
        file.write(b"not what the hub sent")
    done = cli.run("pull", tiny, code=1)
    assert "was damaged when it was resumed; run it again" in done.err
    cli.run("pull", tiny)
    assert digest(cli) == hashlib.sha256(hub.files[WEIGHTS]).hexdigest()


@pytest.mark.parametrize(
    ("refusal", "code", "words"),
    [
        ((403, "GatedRepo"), 4, "name a file with a token in ORCHESTRATOR_HF_TOKEN_FILE"),
        ((404, "RepoNotFound"), 2, "check source in the registry entry"),
        ((404, "RevisionNotFound"), 2, f"revision {COMMIT}"),
        ((503, "Unavailable"), 1, "check the network"),
    ],
)
def test_what_the_hub_refuses_has_its_exit_code(
    cli: Cli, hub: Hub, tiny: str, refusal: tuple[int, str], code: int, words: str
) -> None:
    hub.refusal = refusal
    done = cli.run("pull", tiny, code=code)
    assert "can't fetch the weights of owner/tiny" in done.err
    assert words in done.err
    assert "Traceback" not in done.err


def test_a_disk_that_is_too_small_is_told_before_a_byte_is_fetched(cli: Cli, hub: Hub, tiny: str) -> None:
    hub.announced = 10**15
    done = cli.run("pull", tiny, code=3)
    assert "1000000.00 GB are still to be fetched, and" in done.err
    assert hub.asked == []


def test_no_network_at_all(cli: Cli, hub: Hub, tiny: str) -> None:
    hub.away = True
    done = cli.run("pull", tiny, code=1)
    assert "check the network and any proxy" in done.err


def _cache(cli: Cli) -> Path:
    folder = cli.engine.folder / "data" / "volumes" / "orchestrator-weights" / "_data" / "hub" / "hub"
    return folder / f"models--{REPOSITORY.replace('/', '--')}"


def _partial(cli: Cli) -> int:
    return sum(path.stat().st_size for path in _cache(cli).glob("blobs/*.incomplete"))
