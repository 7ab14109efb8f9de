"""The compatibility report as JSON of a documented, stable shape (docs/json.md). Sizes are bytes."""

from __future__ import annotations

from orchestrator.evidence import to_record
from orchestrator.inventory import GIB
from orchestrator.registry.spec import Fact
from orchestrator.report.checking import heard_json
from orchestrator.report.compatibility import REFERENCE, Advised, Choice, Report, Row
from orchestrator.report.compatibility_text import january
from orchestrator.report.contradictions import Contradiction, contradictions
from orchestrator.report.january import DATE
from orchestrator.report.language import Language


def report_json(report: Report, spoken: Language) -> dict[str, object]:
    """Version 1. The texts of the registry are in the language that was asked for, all words of ours in English."""
    return {
        "schema": 1,
        "language": spoken.code,
        "version": report.version,
        "follows": DATE,
        "reference_gpu_bytes": REFERENCE * GIB,
        "summary": _summary(report),
        "pairs": [_pair(row, spoken) for row in report.rows],
        "trials": [_pair(row, spoken) for row in report.trials],
        "recommendations": [_advised(advised) for advised in report.advised],
        "test_plan": [
            {"priority": priority, **_name(row), "done": row.tested}
            for priority, rows in report.plan.items()
            for row in rows
        ],
        "known_problems": [
            {"pairs": [_name(row) for row in rows], **_fact(fact, spoken)} for fact, rows in report.problems.items()
        ],
        "contradictions": [_contradiction(found, spoken) for found in contradictions(report.rows)],
        "remarks": list(report.remarks),
    }


def _summary(report: Report) -> dict[str, object]:
    return {
        "transformers": len(report.on("transformers", possible=True)),
        "vllm": len(report.on("vllm", possible=True)),
        "vllm_on_request": sum(row.on_request for row in report.on("vllm", possible=True)),
        "only_transformers": len(report.only_transformers),
        "pairs": len(report.possible),
        "tested_pairs": sum(row.tested for row in report.possible),
        "tiny_pairs": len(report.tiny),
        "january": january(report),
    }


def _name(row: Row) -> dict[str, object]:
    return {"model": row.spec.name, "engine": row.engine}


def _pair(row: Row, spoken: Language) -> dict[str, object]:
    said, known = row.known.report, row.known
    listing, finding = row.pair.listing, row.pair.finding
    return {
        **_name(row),
        "repository": row.spec.source.repository,
        "architecture": row.spec.architecture.name,
        "summary": spoken.translated(row.spec.summary),
        "possible": known.possible,
        "automatic": known.possible and known.report.allowed,
        "remote_code": row.spec.source.remote_code,
        "january": {
            "allowed": said.allowed,
            "memory_gb": said.memory_gb,
            "status": said.status,
            "notes": said.notes and spoken.translated(said.notes),
        }
        if row.in_january
        else None,
        "claim_bytes": row.claim,
        "smallest_claim_bytes": row.smallest,
        "profile": row.profile and str(row.profile),
        "ready_bytes": row.ready,
        "evidence": row.pair.level,
        "stand_in": known.evidence.stand_in,
        "tested": row.tested,
        "reasons": [] if known.possible else [_fact(fact, spoken) for fact in row.problems],
        "asked": {"listed": finding.listed, "verdict": finding.verdict, **heard_json(listing)}
        if listing and finding
        else None,
        "verification": row.verification and to_record(row.verification),
    }


def _advised(advised: Advised) -> dict[str, object]:
    return {
        "over_gb": advised.step.over_gb,
        "to_gb": advised.step.to_gb,
        "january": [_name(row) for row in advised.january],
        "cards": [
            {"gpu_bytes": card.gib * GIB, "models": [_choice(choice) for choice in card.choices]}
            for card in advised.cards
        ],
    }


def _choice(choice: Choice) -> dict[str, object]:
    option = choice.advice.option
    return {
        **_name(choice.row),
        "device": option.device,
        "fits": choice.advice.missing == 0,
        "missing_bytes": choice.advice.missing,
        "claim_bytes": option.claim.total,
        "profile": str(option.profile),
        "january": [{"engine": engine, "fits": fits} for engine, fits in choice.january],
    }


def _contradiction(found: Contradiction, spoken: Language) -> dict[str, object]:
    figure = found.row.figure if found.kind == "memory" else None
    return {
        "kind": found.kind,
        "model": found.row.spec.name,
        "engine": None if found.whole else found.row.engine,
        "said": found.said if found.kind in {"memory", "architecture"} else spoken.translated(found.said),
        "now": found.now,
        "weights_bytes": figure and figure.weights,
        "below_weights": figure and figure.below_weights,
        "claim_bytes": figure and found.row.claim,
        "would_hold": figure and figure.fits and str(figure.fits),
        "evidence": [_fact(fact, spoken) for fact in found.evidence],
    }


def _fact(fact: Fact, spoken: Language) -> dict[str, object]:
    return {"text": spoken.translated(fact.text), "source": spoken.translated(fact.source)}
