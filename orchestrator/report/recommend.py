"""Advice as a table or JSON."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.inventory import Host, gib
from orchestrator.plan.advice import Advice
from orchestrator.profile import Profile, changes
from orchestrator.report.look import PLAIN, Look
from orchestrator.report.table import table

_HEADER = ("", "MODEL", "ENGINE", "CLAIM", "LIMITS", "REMARK")
#: positions of LIMITS and CLAIM, which a narrow place does without, in this order
_DROP = (4, 3)
#: the founding report's rule, in its own unit
_RULE = "By the founding report: under 6 GB Transformers, from 6 to 10 GB either, above 10 GB vLLM where it may."


def recommend_text(advice: Sequence[Advice], host: Host, look: Look = PLAIN) -> str:
    """A line per model and engine; ``*`` marks what the plan would choose for the model alone on the host."""
    gpus = ", ".join(f"{gpu.name} {gib(gpu.free if gpu.free is not None else gpu.total)}" for gpu in host.usable_gpus)
    text = f"Each model alone on {host.name} ({gpus or 'no GPU'}). {_RULE}\n"
    rows = table([_row(a) for a in advice], _HEADER, look, drop=_DROP, prose=True)
    return text + rows + "* is what the plan would choose\n"


def _row(a: Advice) -> tuple[str, ...]:
    option = a.option
    claim = gib(option.claim.total) if option.device == "gpu" else "CPU"
    if a.missing is None:
        return (
            "",
            a.model,
            a.engine,
            claim,
            limits(option.profile),
            "nobody tells what is free; --gpu takes it anyway",
        )
    if a.missing:
        return ("", a.model, a.engine, claim, limits(option.profile), f"does not fit: {gib(a.missing)} missing")
    return (
        "*" if a.chosen else "",
        a.model,
        a.engine,
        claim,
        limits(option.profile),
        "; ".join(changes(option.best, option.profile)),
    )


def limits(profile: Profile) -> str:
    """The profile in a few words."""
    words = [f"{profile.context:,} tokens x {profile.sequences}"]
    if profile.pixels:
        mega = profile.pixels / 1e6
        words.append(f"{mega:.1f} MP" if mega >= 0.1 else f"{mega:.2f} MP")
    if profile.tiles:
        words.append(f"{profile.tiles} tiles")
    words.append(profile.storage)
    if not profile.graphs:
        words.append("no graphs")
    if profile.gpus > 1:
        words.append(f"{profile.gpus} GPUs")
    return ", ".join(words)


def recommend_json(advice: Sequence[Advice], host: Host) -> dict[str, object]:
    """Stable shape, version 1. Sizes are bytes."""
    return {
        "schema": 1,
        "host": host.name,
        "models": [
            {
                "model": a.model,
                "engine": a.engine,
                "device": a.option.device,
                "fits": None if a.missing is None else not a.missing,
                "chosen": a.chosen,
                "missing_bytes": a.missing,
                "claim_bytes": a.option.claim.total,
                "profile": str(a.option.profile),
                "given_up": list(changes(a.option.best, a.option.profile)),
            }
            for a in advice
        ],
    }
