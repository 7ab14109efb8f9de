"""What ``verify`` found, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.compatibility import NAMES
from orchestrator.evidence import Verification, day, to_record
from orchestrator.inventory import gib
from orchestrator.report.table import table

_PLACE = {"gpu": "a GPU", "container": "main memory"}
_HEADER = ("MODEL", "ENGINE", "OUTCOME", "READY", "FIRST TOKEN", "TOKENS/S", "PEAK MEMORY", "TASKS")


def verified_text(found: Sequence[Verification]) -> str:
    """A line for each pair, and below it why one is not as it should be."""
    text = table([_row(v) for v in found], _HEADER)
    return text + "".join(f"{v.model} on {v.engine}: {v.outcome}. {v.cause}\n" for v in found if v.cause)


def _row(v: Verification) -> tuple[str, ...]:
    measured = v.figures
    return (
        v.model,
        v.engine,
        f"{v.outcome}, {gib(v.missing_bytes)} missing" if v.missing_bytes is not None else v.outcome,
        _number(measured.time_to_ready_s, "s"),
        _number(measured.time_to_first_token_s, "s"),
        _number(measured.tokens_per_s, ""),
        f"{gib(measured.peak_bytes)} of {_PLACE[measured.peak_of]}" if measured.peak_bytes is not None else "",
        " ".join(f"{check.task}{'' if check.passed else ':wrong'}" for check in v.checks),
    )


def _number(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.2f} {unit}".rstrip()


def verified_json(found: Sequence[Verification]) -> list[dict[str, object]]:
    """The records as they are kept: a documented shape (docs/json.md)."""
    return [to_record(v) for v in found]


def verified_words(v: Verification) -> str:
    """One verification in a line: what came of it, where, with what, and when."""
    where = f" on {v.gpu}" if v.gpu else ""
    version = f", {NAMES.get(v.engine, v.engine)} {v.engine_version}" if v.engine_version else ""
    tasks = ", ".join(f"{check.task} {'right' if check.passed else 'wrong'}" for check in v.checks)
    return f"{v.outcome}{where}{version}{f' ({tasks})' if tasks else ''}, {day(v.when)}"
