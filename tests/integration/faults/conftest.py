"""What the campaign's tests share."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime

import pytest

from tests.integration.engine import Engine
from tests.integration.faults.results import record


@pytest.fixture(scope="session", autouse=True)
def environment(engine: Engine) -> None:
    """The machine, on record."""
    with engine.client() as client:
        docker = client.version()["Version"]
    compose = engine.run("docker", "compose", "version", "--short").stdout.strip()
    record(
        "environment",
        "environment",
        date=datetime.now(UTC).date().isoformat(),
        docker=docker,
        compose=compose,
        python=platform.python_version(),
        cpus=os.cpu_count(),
        load=round(os.getloadavg()[0], 1),
    )
