"""How text is to look where it is shown: the width of the place, and whether it has colours."""

from __future__ import annotations

from dataclasses import dataclass, replace

_GREEN, _YELLOW, _RED = "\x1b[32m", "\x1b[33m", "\x1b[31m"
_END = "\x1b[0m"
#: words of states, steps and verdicts that have a colour; all others have none
_TONES = {
    **dict.fromkeys(("ready", "create", "ok"), _GREEN),
    **dict.fromkeys(("starting", "queued", "waiting-memory", "pausing", "replace", "note"), _YELLOW),
    **dict.fromkeys(("parked", "dead", "unresponsive", "remove", "PROBLEM"), _RED),
}


@dataclass(frozen=True, slots=True)
class Look:
    """``columns``: width of the place; 0 where lines may be as long as they like."""

    columns: int = 0
    colour: bool = False

    def inside(self, indent: int) -> Look:
        """The same place, so many columns further in."""
        return replace(self, columns=max(1, self.columns - indent)) if self.columns else self

    def toned(self, word: str, padded: str) -> str:
        """A padded word in the colour of what it means, if it has one here."""
        tone = _TONES.get(word) if self.colour else None
        return f"{tone}{padded}{_END}" if tone else padded


#: a pipe, or a file
PLAIN = Look()
