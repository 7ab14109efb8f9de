"""`make bench` can still be run: its registry entries are valid, and it measures. The figures are its own affair."""

from __future__ import annotations

import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapters.registry_files import load_registry
from tests.integration.engine import Engine

PROGRAM = Path(__file__).parents[2] / ".ci" / "bench"


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The program as a module; its name has no suffix that Python knows, and no bytecode is left beside it."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec = spec_from_loader("bench", SourceFileLoader("bench", str(PROGRAM)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "bench", module)
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec.loader.exec_module(module)
    return module


def test_the_entries_are_valid(program: Any, engine: Engine, tmp_path: Path) -> None:
    folder, names = program.Bench(engine, tmp_path).registry(3)
    specs = load_registry([folder]).select(names)
    assert [spec.engines.transformers.port for spec in specs if spec.engines.transformers] == [20000, 20001, 20002]


def test_two_commands_are_compared(program: Any, engine: Engine, tmp_path: Path) -> None:
    (result,) = program.Bench(engine, tmp_path).help(rounds=2)
    assert len(result.seconds) == len(result.reference) == 2
    assert result.row().startswith("| help | `orchestrator --help` ")


def test_a_limit_is_judged_by_the_median_of_the_ratios(program: Any) -> None:
    result = program.Result("up", 1.15, "ours", (1.0, 2.0, 9.0), "theirs", (1.0, 2.0, 3.0))
    assert (result.figure, result.passed) == (1.0, True)
    assert result.row() == (
        "| up | `ours` 2.00 s (1.00-9.00) | `theirs` 2.00 s (1.00-3.00) | 3 | 1.00 times | 1.15 times | PASS |\n"
    )
    assert not program.Result("render", 3.0, "ours", (4.0,)).passed


def test_the_planner_is_measured(program: Any) -> None:
    planner = program.bench_planner
    placed = next(planner.quality([(20, 4)]))
    assert placed.passed
    assert placed.row().startswith("| quality 20 x 4 | `packing` ")
    assert len(planner.packing_seconds(4, 2)) == 12
    assert len(planner.placing_seconds(4, 2, rounds=1)) == 1


def test_too_few_models_placed_are_told(program: Any) -> None:
    def passed(*placed: int) -> bool:
        return bool(program.bench_planner.Placed("packing", "2 x 1", placed, (100, 100), 0.97, 0.95).passed)

    assert passed(99, 95)
    assert not passed(100, 93), "one request is below its floor"
    assert not passed(97, 96)
    assert not program.Result("packing", 0.1, "ours", (0.01, 0.01, 0.2), longest=True).passed
