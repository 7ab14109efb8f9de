"""What an engine says of itself, held against the registry: agrees, contradicts, or a trap. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from orchestrator import traits
from orchestrator.errors import OrchestratorError
from orchestrator.evidence import LEVELS, EvidenceLevel, Listing, Verification
from orchestrator.registry.spec import Engine, EngineName, ModelSpec

Verdict = Literal["agrees", "contradicts the report", "contradicts the registry", "trap"]
NAMES: Mapping[str, str] = {"vllm": "vLLM", "transformers": "Transformers"}


@dataclass(frozen=True, slots=True)
class Pair:
    """A model on an engine, and what the engine says of it.

    ``images``: references of the images that may be asked, the entry's own first. Without a ``listing``, ``problem``
    says why, and ``hint`` what to do; ``failed``: there is an image, and it could not be asked.
    """

    spec: ModelSpec
    engine: EngineName
    images: tuple[str, ...]
    listing: Listing | None = None
    problem: str = ""
    hint: str = ""
    failed: bool = False
    verified: Verification | None = None
    """What ``verify`` found of it here."""

    @property
    def known(self) -> Engine:
        """The registry's entry for the engine."""
        return self.spec.on(self.engine)

    @property
    def finding(self) -> Finding | None:
        """What the engine says; None where it was not asked."""
        return None if self.listing is None else compare(self.spec, self.engine, self.listing)

    @property
    def contradicted(self) -> bool:
        """Whether the engine contradicts the registry's own claim."""
        return self.finding is not None and self.finding.verdict == "contradicts the registry"

    @property
    def level(self) -> EvidenceLevel:
        """How the pair is known to work: the most of what the registry says, the engine said, and was verified here."""
        finding = self.finding
        listed: EvidenceLevel = "listed" if finding is not None and finding.evidence else "none"
        verified: EvidenceLevel = self.verified.level if self.verified is not None else "none"
        return max(self.known.evidence.level, listed, verified, key=LEVELS.index)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one engine says of one model. ``says`` is a few words, ``why`` a sentence.

    ``listed``: the engine has a class of its own for the architecture. That makes evidence, a trap does not.
    """

    says: str
    why: str
    verdict: Verdict
    listed: bool

    @property
    def evidence(self) -> bool:
        """Whether it counts as the level ``listed``."""
        return self.listed and self.verdict not in {"trap", "contradicts the registry"}


def parse(said: str, *, engine: EngineName, image: str, image_id: str, when: float) -> Listing:
    """The answer of ``inquiry.py``. OrchestratorError where it is something else."""
    try:
        found: dict[str, Any] = json.loads(said)
        families = found.get("families")
        return Listing(
            engine=engine,
            version=str(found["version"]),
            image=image,
            image_id=image_id,
            when=when,
            architectures={str(name): str(class_) for name, class_ in found["architectures"].items()},
            families=None if families is None else tuple(map(str, families)),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OrchestratorError(
            f"{image} said something else than a list of architectures: {said[:100]!r}",
            hint="see whether this is an image of the engine",
        ) from error


def compare(spec: ModelSpec, engine: EngineName, listing: Listing) -> Finding:
    """What this engine says of the model, and whether report and registry say the same."""
    known = spec.on(engine)
    return _vllm(spec, known, listing) if engine == "vllm" else _transformers(spec, known, listing)


def _vllm(spec: ModelSpec, known: Engine, listing: Listing) -> Finding:
    name, vllm = spec.architecture.name, f"vLLM {listing.version}"
    served_by = listing.architectures.get(name)
    if served_by is None:
        fallback = any(other.startswith("Transformers") for other in listing.architectures)
        why = f"{vllm} has no class for {name}" + ("; it would try its Transformers backend" if fallback else "")
        return _judged(known, "not listed", why, listed=False)
    says = "listed" if served_by in {"", name} else f"listed as {served_by}"
    if not known.possible and (name in traits.VLLM_OTHER_MODELS or says != "listed"):
        why = f"{vllm} has {name}, but serves another model by it ({served_by or 'unnamed'}): never start it there"
        return Finding(says, why, "trap", listed=True)
    return _judged(known, says, f"{vllm} lists {name}", listed=True)


def _transformers(spec: ModelSpec, known: Engine, listing: Listing) -> Finding:
    name, family, library = spec.architecture.name, spec.architecture.family, f"Transformers {listing.version}"
    if listing.families is not None and family not in listing.families:
        return _judged(known, "not served", f"the server in {listing.image} has no family {family}", listed=False)
    if name in listing.architectures:
        more = "; the registry runs the repository's own code all the same" if spec.source.remote_code else ""
        return _judged(known, "native", f"{library} has {name}{more}", listed=True)
    if spec.source.remote_code:
        why = f"{library} has no class {name}: the repository's own code is needed, as the registry says"
        return Finding("remote code", why, "agrees", listed=False)
    return _judged(known, "not native", f"{library} has no class {name}", listed=False)


def _judged(known: Engine, says: str, why: str, *, listed: bool) -> Finding:
    """The verdict where it depends on nothing but the engine's own list."""
    if listed != known.possible:
        claim = "possible" if known.possible else "impossible"
        return Finding(says, f"{why}; the registry says {claim}", "contradicts the registry", listed=listed)
    if known.report.status is not None and listed != known.report.allowed:
        return Finding(says, f"{why}; the report says {known.report.status!r}", "contradicts the report", listed=listed)
    return Finding(says, why, "agrees", listed=listed)


def heard(listings: Sequence[Listing], engine: EngineName, images: Sequence[str]) -> Listing | None:
    """What the first of these images that was ever asked said."""
    known = {listing.image: listing for listing in listings if listing.engine == engine}
    return next((known[image] for image in images if image in known), None)
