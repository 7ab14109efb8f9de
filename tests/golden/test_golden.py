"""Every folder here is a case: what is given leads to exactly what is expected. ``make golden`` writes it anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden.case import Case

HERE = Path(__file__).parent
CASES = sorted(path for path in HERE.iterdir() if path.is_dir() and path.name != "__pycache__")


@pytest.mark.parametrize("folder", CASES, ids=lambda path: path.name)
def test_golden(folder: Path, rewrite_golden: bool) -> None:
    case = Case(folder)
    assert case.wrong() == []
    if rewrite_golden:
        case.rewrite()
    assert case.actual() == case.expected()
    assert case.actual() == case.expected(), "not the same twice"


def test_there_are_cases() -> None:
    assert len(CASES) >= 14
    strays = [path.name for path in HERE.iterdir() if path.is_file() and path.suffix != ".py"]
    assert strays == []


@pytest.mark.parametrize(
    ("files", "wrong"),
    [
        ([], ["request.yaml is missing", "inventory.yaml is missing"]),
        (["request.yaml"], ["inventory.yaml is missing"]),
        (["request.yaml", "inventory.yaml", "plan.txt", "compose/a.yaml", "registry/a.yaml"], []),
        (["request.yaml", "inventory.yaml", "plan.md"], ["plan.md is not a file of a case"]),
        (["request.yaml", "orchestrator.yaml", "hosts/a.yaml", "compose/a/b.yaml", "before/request.yaml"], []),
        (["request.yaml", "inventory.yaml", "compose/a/b/c.yaml"], ["compose/a/b/c.yaml is not a file of a case"]),
        (["request.yaml", "inventory.yaml", "before/registry/a.yaml"], ["before/request.yaml is missing"]),
    ],
)
def test_a_folder_that_is_not_a_case_is_noticed(tmp_path: Path, files: list[str], wrong: list[str]) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert Case(tmp_path).wrong() == wrong
