"""What drifted, in plain words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.drift.names import FLAGS
from orchestrator.observation import LABEL

Side = Literal["file", "container", "plan", "original"]
#: a setting, what should be of it and what is; None for nothing
Difference = tuple[str, str | None, str | None]

_FLAGS = frozenset(what for what, _, _ in FLAGS)
EDITED = "edited by hand"
#: the digest of the rendered service; it differs with whatever else does
DIGEST = f"label {LABEL}digest"
_NETWORK = "network "
_SECRET = re.compile("key|token|secret|password|credential", re.IGNORECASE)
_LONGEST = 80
#: drifts that one sentence names before it only counts
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing in which two sides differ: what ``by`` says it should be, and what ``at`` has."""

    service: str
    what: str
    """The setting; EDITED for a file of which no more is known, and then ``found`` says where it is."""
    wanted: str
    found: str
    by: Side = "file"
    at: Side = "container"

    @property
    def words(self) -> str:
        """``memory limit: none in the file, 2 GiB in the container``."""
        return f"file {EDITED}: {self.difference}" if self.at == "file" else self.difference

    @property
    def difference(self) -> str:
        """The same, without that the file is the one that was edited."""
        if self.what == EDITED:
            return self.found
        return f"{self.what}: {self.wanted} in the {self.by}, {self.found} in the {self.at}"

    @property
    def harmless(self) -> bool:
        """Whether the model runs as it should all the same: one more network was connected to its container."""
        return self.at == "container" and self.what.startswith(_NETWORK) and self.wanted == "none"


@dataclass(frozen=True, slots=True)
class Drifted:
    """All the drift of one container, and what to do about it."""

    drifts: tuple[Drift, ...]
    remedy: str

    @property
    def words(self) -> str:
        """All of it in one line."""
        return f"{words(self.drifts)}; {self.remedy}"


def words(drifts: Sequence[Drift]) -> str:
    """Drifts in one line, after the first few only how many more."""
    pairs = zip((None, *drifts), drifts[:_NAMED], strict=False)
    said = [d.difference if last and last.at == d.at == "file" else d.words for last, d in pairs]
    more = len(drifts) - _NAMED
    return "; ".join([*said, f"and {more} more"] if more > 0 else said)


def drifts(service: str, found: Iterable[Difference], by: Side, at: Side) -> tuple[Drift, ...]:
    """Differences as drift."""
    every = [Drift(service, what, *_shown(what, wanted, there), by, at) for what, wanted, there in found]
    return tuple(d for d in every if d.what != DIGEST or len(every) == 1)


def _shown(what: str, wanted: str | None, found: str | None) -> tuple[str, str]:
    """Both values for people; what may be a secret is never shown."""
    if _SECRET.search(what) and what.startswith(("environment ", "command ")):
        both = wanted is not None and found is not None
        one, other = ("one value", "another") if both else ("set", "set")
        return one if wanted is not None else "none", other if found is not None else "none"
    nothing = "no" if what in _FLAGS else "none"
    return _short(nothing if wanted is None else wanted), _short(nothing if found is None else found)


def _short(text: str) -> str:
    plain = "".join(c if c.isprintable() else " " for c in text) or "empty"
    return plain if len(plain) <= _LONGEST else f"{plain[:_LONGEST]}..."
