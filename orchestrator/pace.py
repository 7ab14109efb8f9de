"""Patience: how long a phase may stand still, and how fast something goes on. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from types import MappingProxyType

#: seconds without any sign of progress after which nobody waits any longer, by phase. A phase that goes on, however
#: slowly, is waited for without end; ``--timeout`` caps the whole.
STALL: Mapping[str, float] = MappingProxyType(
    {
        # a build step that installs PyTorch, or a layer of 8 GB that is unpacked, may say nothing for minutes
        "image": 900.0,
        # the gate's first word comes with Docker's first health check, within seconds
        "starting": 120.0,
        # imports of PyTorch from a cold disk; they use the CPU, which is a sign
        "boot": 300.0,
        # a hub that limits rates is asked again for a few minutes before the engine gives up
        "weights": 300.0,
        # reading is a sign, and so is converting
        "load": 300.0,
        # compiling and capturing use the CPU; a wait for another GPU of the group does not
        "warm-up": 600.0,
        # as long as what starts before it goes on, that is a sign
        "queued": 600.0,
        # for the memory that others hold; a change of what is free is a sign
        "waiting-memory": 600.0,
        # the gate's longest pause is a minute
        "pausing": 120.0,
        "unresponsive": 120.0,
    }
)
#: for phases that are not in the table
OTHERS = 300.0
#: seconds over which a rate is taken: long enough to be steady, short enough to follow the network
_WINDOW = 30.0


def stall_limit(phase: str) -> float:
    """Seconds that a phase may go without a sign of progress."""
    return STALL.get(phase, OTHERS)


class Pace:
    """Bytes a second, from how many were there when."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def rate(self, at: float, done: int | None) -> float | None:
        """Note that ``done`` bytes were there; bytes a second over the last half minute, None while not known."""
        if done is None:
            return None
        if self._seen and done < self._seen[-1][1]:
            self._seen.clear()
        if not self._seen or done > self._seen[-1][1] or at - self._seen[-1][0] >= 1:
            self._seen.append((at, done))
        while len(self._seen) > 2 and at - self._seen[0][0] > _WINDOW:
            self._seen.popleft()
        (first, least), (last, most) = self._seen[0], self._seen[-1]
        return (most - least) / (last - first) if last > first and most > least else None
