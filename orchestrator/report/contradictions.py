"""Where the founding report is otherwise than what is known now, each with its evidence. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.registry.spec import Fact
from orchestrator.report.compatibility import Row

#: "memory": its figure does not hold what the pair claims; "architecture": it names another one; "possible": it calls
#: the pair incompatible, and it is not; "impossible": the other way round; "untested": it calls the pair tested, which
#: nothing here shows; "statement": something else that it says
Kind = Literal["memory", "architecture", "possible", "impossible", "untested", "statement"]


@dataclass(frozen=True, slots=True)
class Contradiction:
    """One of them. ``said``: the founding report's words. ``row`` is the pair, or for ``whole`` one of the model's.

    ``now``: what is so instead, where that is a word and follows from no fact in ``evidence``.
    """

    kind: Kind
    row: Row
    said: str
    now: str = ""
    evidence: tuple[Fact, ...] = ()
    whole: bool = False


def contradictions(rows: Sequence[Row]) -> tuple[Contradiction, ...]:
    """All of them, in the order of the rows."""
    found = [contradiction for row in rows if row.in_january for contradiction in _of_pair(row)]
    seen: set[str] = set()
    for row in rows:
        if row.in_january and row.spec.name not in seen:
            seen.add(row.spec.name)
            found += _of_model(row)
    kinds: tuple[Kind, ...] = ("memory", "architecture", "possible", "impossible", "untested", "statement")
    return tuple(sorted(found, key=lambda contradiction: kinds.index(contradiction.kind)))


def _of_pair(row: Row) -> Iterator[Contradiction]:
    known = row.known
    said = known.report.notes or known.report.status or ""
    if row.figure is not None and (row.claim is None or row.figure.gb * 10**9 < row.claim):
        yield Contradiction("memory", row, f"{row.figure.gb} GB")
    if known.possible and not known.report.allowed:
        # as with problems, the first fact is the reason
        yield Contradiction("possible", row, said, evidence=known.known[:1])
    if known.report.allowed and not known.possible:
        yield Contradiction("impossible", row, said, evidence=row.problems[:1])
    if known.report.status == "tested" and not row.tested:
        yield Contradiction("untested", row, known.report.status, row.pair.level)
    yield from _statements(row, (*known.known, *known.problems), whole=False)


def _of_model(row: Row) -> Iterator[Contradiction]:
    shape = row.spec.architecture
    if shape.reported is not None and shape.reported != shape.name:
        facts = tuple(fact for fact in row.spec.known if shape.reported in fact.text)
        yield Contradiction("architecture", row, shape.reported, shape.name, facts, whole=True)
    yield from _statements(row, row.spec.known, whole=True)


def _statements(row: Row, facts: Sequence[Fact], *, whole: bool) -> Iterator[Contradiction]:
    """What facts say that they correct; figures of memory are computed, above."""
    figure = None if row.figure is None else f"{row.figure.gb} GB"
    for fact in facts:
        if fact.corrects is not None and fact.corrects != figure:
            yield Contradiction("statement", row, fact.corrects, evidence=(fact,), whole=whole)
