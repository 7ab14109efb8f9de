"""Fixtures of the tests that need a real Docker Engine. Without one they are skipped; with ``CI=true`` they
fail."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

from orchestrator.adapters.image_builder import WHEELS_VARIABLE
from orchestrator.plan.images import VLLM_CPU, built_image
from tests.integration.cli import Cli
from tests.integration.engine import Engine, missing, private_engine
from tests.integration.images import NEWEST, OLDER
from tests.integration.nvml import library as nvml
from tests.integration.stub_image import BASE_IMAGE, build_stub

REPOSITORY = Path(__file__).parents[2]
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.integration)


def give_up(reason: str) -> NoReturn:
    """Skip for want of something; where ``CI=true`` says that nothing may be skipped, fail."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The private engine of this session: ``engine.env`` for programs, ``engine.client()`` for the SDK."""
    if reason := missing():
        give_up(reason)
    with private_engine() as running:
        yield running


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the scripted NVML library, for LD_LIBRARY_PATH."""
    if reason := nvml.missing():
        give_up(reason)
    return nvml.build(tmp_path_factory.mktemp("nvml") / "current")


@pytest.fixture(scope="session")
def base_image(engine: Engine) -> str:
    """The name of the base image, which is on the engine. It is made in the host's network: here there is
    none."""
    argv = engine.outside_network(str(REPOSITORY / ".ci/base-image"))
    done = subprocess.run(
        argv,
        env=engine.env,
        pass_fds=(engine.outside,),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f".ci/base-image: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return BASE_IMAGE


@pytest.fixture(scope="session")
def stub_image(engine: Engine, base_image: str) -> str:
    """The name of the stub engine's image (stub/), built once. Other tags and knobs:
    ``stub_image.build_stub``."""
    return build_stub(engine)


@pytest.fixture
def cli(engine: Engine, stub_image: str, tmp_path: Path) -> Cli:
    """The command line on the private engine, which has the stub's image."""
    return Cli(engine, tmp_path)


@pytest.fixture(scope="session")
def image_of(engine: Engine, base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Gives the reference of one of our real images by its name (tf5-cpu, vllm-cpu), built at the first call from
    a folder of wheels. Without one: skipped, with ``CI=true`` it fails."""

    @cache
    def built(name: str) -> str:
        if not os.environ.get(WHEELS_VARIABLE):
            give_up(f"{WHEELS_VARIABLE} names no folder of wheels")
        done = Cli(engine, tmp_path_factory.mktemp("image")).run("image", "build", name, timeout=600)
        assert f"{name}: built" in done.err
        return built_image(name).reference

    return built


@pytest.fixture(scope="session")
def cpu_image(image_of: Callable[[str], str]) -> str:
    """The CPU image of the newest family, which the demo runs in."""
    return image_of(f"{NEWEST}-cpu")


@pytest.fixture(scope="session")
def vllm_image(image_of: Callable[[str], str]) -> str:
    """The image of ours with vLLM for the CPU."""
    return image_of(VLLM_CPU)


@pytest.fixture(scope="session")
def old_image(image_of: Callable[[str], str]) -> str:
    """The CPU image of an older family."""
    return image_of(f"{OLDER}-cpu")


@pytest.fixture(scope="module", autouse=True)
def sweep_module(request: pytest.FixtureRequest) -> Iterator[None]:
    """Remove what a module's own fixtures made: one module's volumes must not change another's plans."""
    tests = [item for item in request.session.items if item.getparent(pytest.Module) is request.node]
    if any("engine" in getattr(item, "fixturenames", ()) for item in tests):
        with swept(request.getfixturevalue("engine")):
            yield
    else:
        yield


@pytest.fixture(autouse=True)
def sweep(request: pytest.FixtureRequest) -> Iterator[None]:
    """Remove the containers, networks and volumes that the test made."""
    if "engine" in request.fixturenames:
        with swept(request.getfixturevalue("engine")):
            yield
    else:
        yield


@contextmanager
def swept(engine: Engine) -> Iterator[None]:
    before = engine.objects()
    yield
    engine.remove(engine.objects() - before)


@pytest.fixture
def leaves_nothing(engine: Engine, sweep: None) -> Iterator[None]:
    """For a test that says it takes down everything it made: fails when a container, network or volume is
    left."""
    before = engine.objects()
    yield
    left = engine.objects() - before
    assert not left, f"the test left behind: {left}\n{engine.describe()}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows what its containers and its engine said."""
    report = yield
    engine = getattr(item, "funcargs", {}).get("engine")
    if report.failed and call.when == "call" and isinstance(engine, Engine):
        report.sections.append(("containers", _describe(engine)))
        report.sections.append(("private dockerd", engine.log_tail()))
    return report


def _describe(engine: Engine) -> str:
    try:
        return engine.describe()
    except Exception as error:  # noqa: BLE001 - a report must not hide the failure it is about
        return f"not available: {error}"
