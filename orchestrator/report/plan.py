"""A plan as text or JSON. ``plan``, ``up --dry-run``, ``up`` and ``down`` all print this."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.inventory import gib
from orchestrator.plan.placement import Placement, Placements
from orchestrator.plan.steps import Plan
from orchestrator.report.table import table


def plan_text(plan: Plan, placements: Placements, *, explain: bool = False) -> str:
    """The placements, the steps with their causes, and what is worth a warning."""
    text = f"Plan for project {plan.project} on {plan.host}\n"
    text += _indent(table([_place(p) for p in placements.items], ("SERVICE", "ENGINE", "ON", "CLAIM", "ADDRESS")))
    text += "\n" + _indent(table([(step.kind, step.subject, step.cause) for step in plan.steps]))
    if explain:
        text += "".join(_explained(p) for p in placements.items)
    text += "".join(f"warning: {line}\n" for line in plan.warnings)
    return text


def _place(p: Placement) -> tuple[str, ...]:
    on = " + ".join(f"{gpu.name} ({gpu.id})" for gpu in p.on) or "CPU"
    return (p.service, p.engine, on, gib(p.claim.total) if p.on else "-", f"{p.address}:{p.port}")


def _explained(p: Placement) -> str:
    if not p.claim.lines:
        return f"\n{p.service} claims no GPU memory\n"
    rows = [(line.label, gib(line.size).rjust(10), line.source) for line in p.claim.lines]
    rows.append(("claim", gib(p.claim.total).rjust(10), "the sum"))
    return f"\n{p.service} claims\n" + _indent(table(rows))


def _indent(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())


def plan_json(plan: Plan, placements: Placements) -> dict[str, object]:
    """Stable shape, version 1. Sizes are bytes."""
    return {
        "schema": 1,
        "project": plan.project,
        "host": plan.host,
        "placements": [_placement(p) for p in placements.items],
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
        "claim_bytes": p.claim.total,
        "claim": [{"label": line.label, "bytes": line.size, "source": line.source} for line in p.claim.lines],
        "address": p.address,
        "port": p.port,
    }


def steps_text(plan: Plan) -> str:
    """The steps alone, for plans without placements."""
    rows: Sequence[Sequence[str]] = [(step.kind, step.subject, step.cause) for step in plan.steps]
    return f"Plan for project {plan.project}\n" + _indent(table(rows))
