"""When what served before a replacement comes back. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.observation import Container, Observation, Previous
from orchestrator.plan.steps import Step, versions


@dataclass(frozen=True, slots=True)
class Failure:
    """A start that failed. ``image``: what was asked for; ``container``: the id of what was followed, "" for none."""

    service: str
    image: str
    reason: str
    container: str = ""


@dataclass(frozen=True, slots=True)
class Return:
    """A predecessor that comes back: the step, and for people the name of its version."""

    previous: Previous
    version: str
    step: Step


def to_keep(steps: Sequence[Step], observation: Observation) -> tuple[Container, ...]:
    """Containers that serve, or could once awake, and will be replaced. Any other is worth no way back."""
    replaced = {step.target for step in steps if step.kind == "replace"}
    return tuple(c for c in observation.containers if (c.ready or c.asleep) and c.id in replaced)


def way_back(failure: Failure, kept: Sequence[Previous], now: Sequence[Container]) -> Return | None:
    """What comes back after a failure; None for nothing.

    ``now``: the project's containers as they are under the lock. What somebody else put there in the meantime stays.
    The state of the one that failed says nothing: its gate may be about to try it again. But one that somebody put to
    sleep meanwhile has not failed.
    """
    previous = next((p for p in kept if p.service == failure.service), None)
    there = [c for c in now if c.service == failure.service]
    if previous is None or any(c.asleep or c.id == previous.id or c.id != failure.container for c in there):
        return None
    old, new = versions(previous.image, failure.image)
    if old == new:
        old, new = "what served before", "the new container"
    target = there[0].id if there else ""
    cause = f"{new} failed: {failure.reason.rstrip('.')}"
    return Return(previous, old, Step("restore", failure.service, cause, target))
