"""Exit codes are a contract."""

from __future__ import annotations

import pytest

from orchestrator.errors import (
    EnvironmentProblem,
    FileProblems,
    FitError,
    Interrupted,
    OrchestratorError,
    Problem,
    RequestError,
)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (OrchestratorError, 1),
        (RequestError, 2),
        (FitError, 3),
        (EnvironmentProblem, 4),
        (Interrupted, 130),
    ],
)
def test_exit_codes(kind: type[OrchestratorError], code: int) -> None:
    error = kind("it is wrong", where="here", hint="mend it")
    assert (error.exit_code, error.what, error.where, error.hint) == (code, "it is wrong", "here", "mend it")
    assert isinstance(error, OrchestratorError)


def test_problems_of_files_are_sorted_and_counted() -> None:
    late, early = Problem("a.yaml", 9, "x.y", "is wrong"), Problem("a.yaml", 2, "", "is wrong too")
    error = FileProblems((late, early))
    assert error.exit_code == 2
    assert error.what == "2 problems\n  a.yaml:2: is wrong too\n  a.yaml:9 x.y: is wrong"
    assert FileProblems((Problem("a.yaml", 0, "", "is empty"),)).what == "1 problem\n  a.yaml: is empty"
