"""What the image of each dependency family holds and does not hold, and what all of them share."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.adapters.image_builder import pins
from tests.integration.engine import Engine, wait_for
from tests.integration.engines.families import MAKERS
from tests.integration.images import FAMILIES, LOCKS, needs
from tests.integration.stub_image import BASE_IMAGE

HEALTH = ["CMD", "python3", "-S", "-I", "/opt/orchestrator/gate", "health", "--port", "8000"]
#: answers every GET with 200, after a file says so
ENGINE = """
import http.server, pathlib
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if pathlib.Path("/tmp/up").exists() else 503)
        self.end_headers()
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""


@pytest.fixture(scope="module", params=[pytest.param(family, marks=needs(family)) for family in FAMILIES])
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def image(family: str, image_of: Callable[[str], str]) -> str:
    return image_of(f"{family}-cpu")


def inspected(engine: Engine, image: str) -> dict[str, Any]:
    with engine.client() as client:
        return client.images.get(image).attrs


def test_it_holds_what_its_lock_names_and_nothing_to_build_with(engine: Engine, family: str, image: str) -> None:
    run = ("docker", "run", "--rm", "--network", "none", "--volume", f"{MAKERS}:/tests:ro", image)
    found = json.loads(engine.run(*run, "python3", "/tests/inside.py").stdout.splitlines()[-1])
    assert found["packages"] == dict(pins((LOCKS / f"{family}-cpu.txt").read_text(encoding="utf-8")))
    assert (found["user"], found["tools"], found["pip"], found["wheels"]) == ([2000, 0], [], False, [])
    assert found["libraries"] == ["libbitsandbytes_cpu.so"]
    assert found["int8_error"] < 0.02
    assert found["generates"]


def test_it_says_who_runs_it_and_how_it_is(engine: Engine, family: str, image: str) -> None:
    config = inspected(engine, image)["Config"]
    assert config["User"] == "2000:0"
    assert config["Healthcheck"]["Test"] == HEALTH
    assert config["Labels"]["org.opencontainers.image.version"] in image


def test_pytorch_is_one_layer_of_all(engine: Engine, image: str, cpu_image: str) -> None:
    ours, newest, base = (inspected(engine, name)["RootFS"]["Layers"] for name in (image, cpu_image, BASE_IMAGE))
    depth = len(base) + len(["the virtual environment", "PyTorch"])
    assert ours[:depth] == newest[:depth]


def test_the_health_check_needs_no_gate(engine: Engine, image: str) -> None:
    run = ("docker", "run", "--detach", "--network", "none", "--health-interval", "1s", image, "python3", "-c", ENGINE)
    container = engine.run(*run).stdout.strip()

    def health() -> dict[str, Any]:
        with engine.client() as client:
            found: dict[str, Any] = client.api.inspect_container(container)["State"]["Health"]
        return found

    wait_for(lambda: "GET /health gave 503" in json.dumps(health()["Log"]), "a check that fails")
    assert health()["Status"] == "starting"
    engine.run("docker", "exec", container, "touch", "/tmp/up")
    wait_for(lambda: health()["Status"] == "healthy", "a check that succeeds")
    assert json.loads(health()["Log"][-1]["Output"])["phase"] == "ready"
