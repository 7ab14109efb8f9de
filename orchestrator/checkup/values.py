"""What ``doctor`` says: one finding for each thing that was looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.errors import EnvironmentProblem, OrchestratorError
from orchestrator.plan.leftovers import Leftover

Verdict = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was seen, where, and how to mend it. ``ours``: about our containers and volumes, not about the machine.

    ``fixes``: what ``doctor --fix`` does about it; () where a human has to.
    """

    check: str
    verdict: Verdict
    detail: str
    hint: str = ""
    where: str = ""
    ours: bool = False
    fixes: tuple[Leftover, ...] = ()


def failed(check: str, error: OrchestratorError) -> Finding:
    """A check that could not be made."""
    return Finding(check, "problem", error.what, error.hint, error.where)


def unseen(check: str, because: str) -> Finding:
    """A check that could not be made for the reason that another one tells."""
    return Finding(check, "note", f"not looked at: see {because}")


def exit_code(findings: Sequence[Finding]) -> int:
    """4 where the machine lacks something, 1 where something of ours is not well, 0 for notes alone."""
    problems = [finding for finding in findings if finding.verdict == "problem"]
    if any(not finding.ours for finding in problems):
        return EnvironmentProblem.exit_code
    return OrchestratorError.exit_code if problems else 0
