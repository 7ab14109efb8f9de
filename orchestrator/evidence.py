"""What was measured and verified, and what engines say of themselves, as values. They rest on what ran alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

EvidenceLevel = Literal["none", "reported", "listed", "served-tiny", "answered"]
#: each proves more than the one before it
LEVELS: tuple[EvidenceLevel, ...] = get_args(EvidenceLevel)

#: "wrong": it served, and an answer was not the known one; "failed": it did not serve, or gave no answer;
#: "incompatible": the registry's facts or rules forbid the pair, and it was not tried
Outcome = Literal["answered", "wrong", "failed", "does-not-fit", "incompatible"]

#: of the records that ``verify`` writes; another version's are passed over
RECORD_VERSION = 1


@dataclass(frozen=True, slots=True)
class Use:
    """What one container really holds of one GPU now, all its processes together.

    ``container_id`` is "" for processes that are in no container. ``bytes`` is None where the driver does not tell it
    for one of them, because a sum without that one would look like a measurement.
    """

    container_id: str
    gpu: str
    bytes: int | None


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds memory of a GPU. ``bytes`` is None where the driver does not tell.

    ``command`` and ``user`` are "" where this user can't look; ``container_id`` is "" for a process in no container.
    """

    pid: int
    gpu: str
    bytes: int | None
    command: str = ""
    user: str = ""
    container_id: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Fingerprint:
    """What a measurement holds for: another image, revision, profile, card or driver has to be measured anew."""

    model: str
    engine: str
    profile: str
    image_id: str
    revision: str
    gpu_kind: str
    driver: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a start held of each of its GPUs when it was ready: the largest, in bytes. ``when`` is in Unix seconds."""

    fingerprint: Fingerprint
    static: int
    when: float


@dataclass(frozen=True, slots=True)
class Listing:
    """What the engine inside one image said of itself when it was asked, at ``when`` in Unix seconds.

    ``architectures``: each with the class that serves it, "" where the engine does not tell. ``families``: those of our
    server in that image; None where it holds no server of ours.
    """

    engine: str
    version: str
    image: str
    image_id: str
    when: float
    architectures: Mapping[str, str]
    families: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said, and how quickly.

    ``first`` and ``whole``: seconds from the request to the first token and to the end. ``tokens``: as the server
    counts them; 0 where it does not say.
    """

    text: str
    first: float
    whole: float
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Check:
    """One reference task: what was expected, what the model answered, and where that did not pass, why."""

    task: str
    passed: bool
    expected: str
    answered: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured of one verification, in seconds, tokens a second and bytes; None where it was not.

    ``peak_bytes`` is the most that was seen of one ``peak_of``: "gpu", memory that its processes held of one
    GPU; "container", memory of the host that they used.
    """

    time_to_ready_s: float | None = None
    time_to_first_token_s: float | None = None
    tokens_per_s: float | None = None
    peak_bytes: int | None = None
    peak_of: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """How one model did on one engine, here, at ``when`` in Unix seconds.

    ``level`` is what this run alone proves. ``revision`` of the weights: "" where they are not pinned, or not a
    repository's. ``image_digest``: "" where the image is named by a tag. ``gpu``: its kind, or "CPU"; "" where nothing
    was started. ``missing_bytes``: what a pair that does not fit lacks, where that is known. ``failure``: the class of
    ``diagnosis.FAILURES``, "" without one; ``cause``: a sentence.
    """

    model: str
    engine: str
    outcome: Outcome
    level: EvidenceLevel
    when: float
    tool_version: str
    engine_version: str = ""
    image: str = ""
    image_id: str = ""
    image_digest: str = ""
    revision: str = ""
    gpu: str = ""
    driver: str = ""
    profile: str = ""
    figures: Figures = Figures()
    checks: tuple[Check, ...] = ()
    missing_bytes: int | None = None
    failure: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Verifications:
    """What ``verify`` recorded on this host, the last of each pair, and a remark for each record that can't be read."""

    found: tuple[Verification, ...] = ()
    remarks: tuple[str, ...] = ()

    def of(self, model: str, engine: str) -> Verification | None:
        """The last verification of a pair."""
        return next((v for v in self.found if (v.model, v.engine) == (model, engine)), None)


def day(when: float) -> str:
    """The day in UTC of a time in Unix seconds, ``2026-01-24``."""
    return datetime.fromtimestamp(when, UTC).date().isoformat()


def to_record(verification: Verification) -> dict[str, Any]:
    """A verification as JSON's values."""
    return {"version": RECORD_VERSION, **asdict(verification)}


def from_record(record: object) -> Verification:
    """A verification from JSON's values. ValueError, with what is wrong, unless it is one of this version, whole."""
    if isinstance(record, dict) and record.get("version") != RECORD_VERSION:
        raise ValueError(f"version {record.get('version')!r} is not {RECORD_VERSION}")
    found = _fields(record, _VERIFICATION)
    del found["version"]
    for name, allowed in (("outcome", get_args(Outcome)), ("level", LEVELS)):
        if found[name] not in allowed:
            raise ValueError(f"{name} can't be {found[name]!r}")
    found["figures"] = Figures(**_fields(found["figures"], _FIGURES))
    found["checks"] = tuple(Check(**_fields(check, _CHECK)) for check in found["checks"])
    return Verification(**found)


_NUMBER = (int, float)
_TEXTS = {"str", "Outcome", "EvidenceLevel"}
_CHECK: Mapping[str, tuple[type, ...]] = {
    "task": (str,),
    "passed": (bool,),
    "expected": (str,),
    "answered": (str,),
    "why": (str,),
}
_FIGURES: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("time_to_ready_s", "time_to_first_token_s", "tokens_per_s"), (*_NUMBER, type(None))),
    "peak_bytes": (int, type(None)),
    "peak_of": (str,),
}
_VERIFICATION: Mapping[str, tuple[type, ...]] = {
    **{name: (str,) for name, kind in Verification.__annotations__.items() if kind in _TEXTS},
    "version": (int,),
    "when": _NUMBER,
    "figures": (dict,),
    "checks": (list,),
    "missing_bytes": (int, type(None)),
}


def _fields(value: object, kinds: Mapping[str, tuple[type, ...]]) -> dict[str, Any]:
    """An object with these keys and no others, each of its kind."""
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is no object")  # noqa: TRY004 (callers know one kind of error)
    if wrong := sorted(map(str, value.keys() ^ kinds.keys())):
        raise ValueError(f"missing or unknown: {', '.join(wrong)}")
    for name, allowed in kinds.items():
        if type(value[name]) not in allowed:
            raise ValueError(f"{name} can't be {value[name]!r}")
    return dict(value)
