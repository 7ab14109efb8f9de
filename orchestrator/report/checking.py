"""What engines said of the registry's models, as text and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.compatibility import NAMES, Pair
from orchestrator.evidence import Listing, day
from orchestrator.report.look import PLAIN, Look
from orchestrator.report.table import table

_HEADER = ("MODEL", "ENGINE", "ARCHITECTURE", "REPORT", "ENGINE SAYS", "VERDICT")
#: positions of ARCHITECTURE, REPORT and ENGINE SAYS, which a narrow place does without, in this order
_DROP = (2, 3, 4)
_NOT_ASKED, _FAILED = "not asked", "failed"


def verdict(pair: Pair) -> str:
    """The verdict in words, also where there is no finding."""
    if pair.finding is not None:
        return pair.finding.verdict
    return _FAILED if pair.failed else _NOT_ASKED


def check_text(pairs: Sequence[Pair], look: Look = PLAIN) -> str:
    """A table of all pairs, then what was asked, what there is to explain, and how to ask the rest."""
    rows = [
        (
            pair.spec.name,
            pair.engine,
            pair.spec.architecture.name,
            _reported(pair),
            pair.finding.says if pair.finding else "-",
            _loud(verdict(pair)),
        )
        for pair in pairs
    ]
    blocks = ("".join(f"{line}\n" for line in lines) for lines in (_asked(pairs), _explained(pairs), _missing(pairs)))
    return "\n".join([table(rows, _HEADER, look, drop=_DROP, prose=True), *filter(None, blocks)])


def _reported(pair: Pair) -> str:
    report = pair.known.report
    if report.status is None:
        return "-"
    return "allowed" if report.allowed else "not allowed"


def _loud(word: str) -> str:
    return word.upper() if word in {"trap", "contradicts the registry", _FAILED} else word


def _asked(pairs: Sequence[Pair]) -> Iterator[str]:
    """Each image once; where it stands in for the entry's own, that is said."""
    listings = {(pair.engine, pair.listing.image): pair.listing for pair in pairs if pair.listing}
    for listing in listings.values():
        yield f"asked: {engine_text(listing)} in {listing.image}, image {_short(listing)}"
        for image in sorted({pair.images[0] for pair in pairs if pair.listing is listing and _stands_in(pair)}):
            yield f"       the entries' own {image} is not here: docker pull {image}"


def _stands_in(pair: Pair) -> bool:
    """Whether another version was asked than the entry's. The variants of an image of ours are of one version."""
    return pair.engine == "vllm" and pair.listing is not None and pair.listing.image != pair.images[0]


def _explained(pairs: Sequence[Pair]) -> Iterator[str]:
    """What is not as it should be, and why the impossible is so."""
    for pair in pairs:
        if pair.finding and (pair.finding.verdict != "agrees" or not pair.known.possible):
            yield f"{pair.spec.name} on {pair.engine}: {_loud(pair.finding.verdict)}. {pair.finding.why}"


def _missing(pairs: Sequence[Pair]) -> Iterator[str]:
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for pair in pairs:
        if pair.listing is None:
            reasons.setdefault((verdict(pair), pair.problem, pair.hint), []).append(pair.spec.name)
    for (word, problem, hint), names in reasons.items():
        yield f"{word}: {', '.join(names)}: {problem}"
        if hint:
            yield f"       {hint}"


def heard_text(pair: Pair) -> str:
    """What was said of one pair and when; "" where nobody was asked."""
    listing, finding = pair.listing, pair.finding
    if listing is None or finding is None:
        return ""
    said = f"listed by {engine_text(listing)}" if finding.evidence else finding.why
    other = f"; the entry's image is {pair.images[0]}" if _stands_in(pair) else ""
    return f"{said}, image {listing.image} {_short(listing)}, asked {day(listing.when)}{other}"


def check_json(pairs: Sequence[Pair]) -> dict[str, object]:
    """A documented shape (docs/json.md)."""
    return {"schema": 1, "pairs": [_pair(pair) for pair in pairs]}


def _pair(pair: Pair) -> dict[str, object]:
    finding = pair.finding
    return {
        "model": pair.spec.name,
        "engine": pair.engine,
        "architecture": pair.spec.architecture.name,
        "report": None if pair.known.report.status is None else pair.known.report.allowed,
        "registry": pair.known.possible,
        "listed": finding.listed if finding else None,
        "says": finding.says if finding else "",
        "verdict": verdict(pair),
        "why": finding.why if finding else pair.problem,
        "hint": pair.hint,
        "evidence": pair.level,
        "asked": heard_json(pair.listing) if pair.listing else None,
    }


def heard_json(listing: Listing) -> dict[str, object]:
    """Which image was asked, and when."""
    return {"image": listing.image, "image_id": listing.image_id, "version": listing.version, "when": listing.when}


def engine_text(listing: Listing) -> str:
    """The engine and its version."""
    return f"{NAMES[listing.engine]} {listing.version}"


def _short(listing: Listing) -> str:
    return listing.image_id[: len("sha256:") + 12]
