"""``verify``: which pairs, in which order; whether a record still holds; what an examination proves. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from orchestrator import __version__
from orchestrator.errors import RequestError
from orchestrator.evidence import Answer, Check, EvidenceLevel, Figures, Outcome, Verification
from orchestrator.inventory import Host
from orchestrator.observation import Image as LocalImage
from orchestrator.plan.images import images_of
from orchestrator.plan.request import Mode
from orchestrator.registry.spec import ENGINES, Engine, EngineName, ModelSpec

#: after the priorities of the founding report's test plan
_LAST = 4
#: what ``Verification.gpu`` says of a container without one
CPU = "CPU"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model on an engine, to be verified."""

    spec: ModelSpec
    engine: EngineName

    @property
    def known(self) -> Engine:
        """The registry's entry for the engine."""
        return self.spec.on(self.engine)

    @property
    def service(self) -> str:
        """How the pair is called, as its Compose service is."""
        return f"{self.spec.name}-{self.engine}"

    @property
    def revision(self) -> str:
        """Of the weights; "" where none is pinned."""
        return self.spec.source.revision or ""


def in_order(specs: Sequence[ModelSpec], mode: Mode = "auto") -> tuple[Candidate, ...]:
    """Every pair of these models, in the order of the report's priorities. RequestError where ``mode`` leaves none."""
    pairs = [
        Candidate(spec, name) for spec in specs for name in ENGINES if spec.engine(name) and mode in {"auto", name}
    ]
    if not pairs:
        raise RequestError(
            f"none of these models has a {mode} entry in the registry", hint="see 'orchestrator models list'"
        )
    return tuple(sorted(pairs, key=lambda pair: (pair.known.report.test_priority or _LAST, pair.service)))


def holds(record: Verification, pair: Candidate, images: Mapping[str, LocalImage], host: Host) -> bool:
    """Whether a record is of the same versions, image, weights and card as a start now would be."""
    wanted = {image.reference for device in pair.known.devices for image in images_of(pair.known, device)}
    image = images.get(record.image)
    cards = {(gpu.kind, host.driver) for gpu in host.usable_gpus} | {(CPU, "")}
    return (
        record.tool_version == __version__
        and record.revision == pair.revision
        and record.image in wanted
        and image is not None
        and image.id == record.image_id
        and (record.gpu, record.driver) in cards
    )


def replaces(new: Verification, old: Verification | None) -> bool:
    """Whether a record takes the place of an earlier one: what ran is not forgotten for what could not be started."""
    return old is None or bool(new.image_id) or not old.image_id


def proved(checks: Sequence[Check], *, whole: bool) -> tuple[Outcome, EvidenceLevel]:
    """What these answers prove; ``whole``: nothing was left unanswered.

    Weights that read a picture right are real ones. Others may be made, or the wrong ones: they were served, no more.
    """
    right = [check.passed for check in checks]
    level: EvidenceLevel = "answered" if any(right) else "served-tiny"
    if not whole:
        return "failed", level if any(right) else "none"
    return ("answered" if all(right) else "wrong"), level


def figures(ready: float | None, answers: Sequence[Answer], peak: int | None, peak_of: str) -> Figures:
    """The median time to the first token, and all tokens over the time that their answers took as a whole.

    Not the tokens after each first one: a busy server sends several at once, and a short answer has none left to time.
    """
    tokens = sum(answer.tokens for answer in answers)
    seconds = sum(answer.whole for answer in answers if answer.tokens)
    return Figures(
        time_to_ready_s=None if ready is None else round(ready, 3),
        time_to_first_token_s=round(median(answer.first for answer in answers), 3) if answers else None,
        tokens_per_s=round(tokens / seconds, 2) if seconds > 0 else None,
        peak_bytes=peak,
        peak_of=peak_of if peak is not None else "",
    )
