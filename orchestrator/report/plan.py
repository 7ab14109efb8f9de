"""A plan as text or JSON. ``plan``, ``up --dry-run`` and ``up`` all print this."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.inventory import gib
from orchestrator.plan.placement import Placement, Placements
from orchestrator.plan.steps import Plan
from orchestrator.profile import changes
from orchestrator.report.look import PLAIN, Look
from orchestrator.report.recommend import limits
from orchestrator.report.table import table

_INDENT = 2
#: positions of LIMITS, ENGINE, ON and CLAIM, which a narrow place does without, in this order
_DROP = (4, 1, 2, 3)


def plan_text(plan: Plan, placements: Placements, look: Look = PLAIN, *, explain: bool = False) -> str:
    """The placements, the steps with their causes, and what is worth a warning."""
    text = f"Plan for project {plan.project} on {plan.host}\n"
    header = ("SERVICE", "ENGINE", "ON", "CLAIM", "LIMITS", "ADDRESS")
    inside, steps = look.inside(_INDENT), [(step.kind, step.subject, step.cause) for step in plan.steps]
    text += _indent(table([_place(p) for p in placements.fleet], header, inside, drop=_DROP))
    text += "\n" + _indent(table(steps, look=inside, prose=True, toned=0))
    if explain:
        text += "".join(_explained(p, inside) for p in placements.fleet)
    notes = [note for p in placements.fleet for note in _notes(p, explain=explain)]
    text += "".join(f"note: {line}\n" for line in notes)
    text += "".join(f"warning: {line}\n" for line in plan.warnings)
    text += "".join(
        f"left out: {p.service} does not fit beside the others; alone it would, with {limits(p.profile)}\n"
        for p in placements.items
        if not p.fleet
    )
    return text + "".join(f"left out: {error.what}\n" for error in placements.omitted)


def _notes(p: Placement, *, explain: bool) -> Iterator[str]:
    """What was given up for want of memory, what more memory would buy, and what callers need."""
    lost = changes(p.best, p.profile)
    if lost:
        yield f"{p.service}: {', '.join(lost)}"
    if p.gain and (lost or explain):
        yield f"{p.service}: {p.gain}"
    if p.key:
        yield f"{p.service}: callers need the API key"


def _place(p: Placement) -> tuple[str, ...]:
    on = " + ".join(f"{gpu.name} ({gpu.id})" for gpu in p.on) or "CPU"
    claim = gib(p.claim.total) if p.on else "-"
    return (p.service, p.engine, on, claim, limits(p.profile), f"{p.address}:{p.port}")


def _explained(p: Placement, inside: Look) -> str:
    if not p.claim.lines:
        return f"\n{p.service} claims no GPU memory\n"
    rows = [(line.label, gib(line.size).rjust(10), line.source) for line in p.claim.lines]
    rows.append(("claim", gib(p.claim.total).rjust(10), "the sum"))
    return f"\n{p.service} claims\n" + _indent(table(rows, look=inside, prose=True))


def _indent(text: str) -> str:
    return "".join(f"{'':{_INDENT}}{line}\n" for line in text.splitlines())


def plan_json(plan: Plan, placements: Placements) -> dict[str, object]:
    """Stable shape, version 1. Sizes are bytes."""
    return {
        "schema": 1,
        "project": plan.project,
        "host": plan.host,
        "placements": [_placement(p) for p in placements.fleet],
        "left_out": [p.service for p in placements.items if not p.fleet] + [e.what for e in placements.omitted],
        "steps": [{"kind": s.kind, "subject": s.subject, "cause": s.cause} for s in plan.steps],
        "warnings": list(plan.warnings),
    }


def _placement(p: Placement) -> dict[str, object]:
    return {
        "model": p.model,
        "engine": p.engine,
        "device": p.device,
        "service": p.service,
        "container": p.container,
        "gpus": list(p.gpus),
        "profile": str(p.profile),
        "given_up": list(changes(p.best, p.profile)),
        "claim_bytes": p.claim.total,
        "claim": [{"label": line.label, "bytes": line.size, "source": line.source} for line in p.claim.lines],
        "address": p.address,
        "port": p.port,
        "api_key": p.key,
    }
