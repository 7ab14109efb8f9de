"""What every test shares: one option, reproducible hypothesis runs, a guard: tests/unit touches nothing."""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

UNIT = Path(__file__).parent / "unit"
OUTSIDE_WORLD = frozenset(
    {"socket.connect", "socket.bind", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"}
)

# The same examples on every run and on every machine, and no folder of examples left in the checkout.
hypothesis.settings.register_profile("project", derandomize=True, database=None, deadline=None)
hypothesis.settings.load_profile("project")

_in_unit_test = False


def _refuse_outside_world(event: str, arguments: tuple[object, ...]) -> None:
    if _in_unit_test and event in OUTSIDE_WORLD:
        raise RuntimeError(f"a test in tests/unit touched the outside world: {event} {arguments!r:.200}")


# An audit hook can't be taken away again, hence the flag.
sys.addaudithook(_refuse_outside_world)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="write the golden files anew instead of comparing")


@pytest.fixture(scope="session")
def rewrite_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be written instead of compared."""
    return bool(request.config.getoption("--rewrite-golden"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    global _in_unit_test  # noqa: PLW0603 - see the audit hook above
    _in_unit_test = UNIT in item.path.parents
    try:
        return (yield)
    finally:
        _in_unit_test = False
