"""The exception tree. Every error that a user can meet says what is wrong, where, and what to do.

OrchestratorError            1  the operation failed, was declined, or waited too long for the lock
├── RequestError             2  the request or a file is wrong
├── FitError                 3  it does not fit this host
├── EnvironmentProblem       4  the environment is missing something (no Docker, no Compose, no GPU runtime)
│   └── DockerAway           4  no Docker Engine answers, or no longer
└── Interrupted            130  stopped by the user
"""

from __future__ import annotations

from dataclasses import dataclass


class OrchestratorError(Exception):
    """The operation failed. ``what`` is one sentence, ``where`` a place, ``hint`` the thing to do next."""

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint


class RequestError(OrchestratorError):
    """The request, or a file it names, is wrong."""

    exit_code = 2


class FitError(OrchestratorError):
    """What was asked for does not fit this host. ``missing``: bytes that one model lacks on each GPU, if known."""

    exit_code = 3

    def __init__(self, what: str, *, where: str = "", hint: str = "", missing: int | None = None) -> None:
        super().__init__(what, where=where, hint=hint)
        self.missing = missing


class EnvironmentProblem(OrchestratorError):
    """The environment is missing something."""

    exit_code = 4


class DockerAway(EnvironmentProblem):
    """No Docker Engine answers, or no longer."""


class Interrupted(OrchestratorError):
    """Stopped by the user; what was left running is named in ``hint``."""

    exit_code = 130


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong with a file: ``models/phi.yaml:14 engines.vllm.max_model_len: must be at least 1, got 0``.

    ``line`` counts from 1; 0 means the whole file. ``path`` is the key's place in the file, joined by dots.
    """

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place} {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class FileProblems(RequestError):
    """Everything wrong with one or more files, reported at once."""

    def __init__(self, problems: tuple[Problem, ...], *, hint: str = "") -> None:
        ordered = tuple(sorted(problems))
        noun = "problem" if len(ordered) == 1 else "problems"
        super().__init__(f"{len(ordered)} {noun}\n" + "\n".join(f"  {p}" for p in ordered), hint=hint)
        self.problems = ordered
