"""When things happened in a vLLM container, in Unix seconds: from its log and from its processes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from tests.integration.engine import Engine

#: Prints when the gate's child was started. Docker's init is process 1, the gate is its child.
_STARTED = """
import glob, os, time
found = [open(name).read() for name in glob.glob("/proc/[0-9]*/stat")]
parents = {int(text.split()[0]): text.rpartition(")")[2].split() for text in found}
(gate,) = [pid for pid, rest in parents.items() if rest[1] == "1"]
ticks = min(int(rest[19]) for rest in parents.values() if int(rest[1]) == gate)
print(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK"))
"""


@dataclass(frozen=True)
class Moments:
    """``answered``: the first 200 of /health. ``asked``: the first look at /v1/models. ``told``: the first answer.

    vLLM logs an answer just after it was sent, so who got it may note an earlier time by a millisecond.
    """

    started: float
    answered: float
    asked: float
    told: float


def moments(engine: Engine, container: str) -> Moments:
    """Of a container that has been asked one question."""
    started = float(engine.run("docker", "exec", container, "python3", "-c", _STARTED).stdout)
    log = engine.run("docker", "logs", "--timestamps", container).stdout
    found = re.findall(r'^(\S+)Z .*"(GET|POST) (\S+) HTTP/1.1" 200', log, re.MULTILINE)
    at = [(path, datetime.fromisoformat(f"{when[:26]}+00:00").timestamp()) for when, _, path in found]
    return Moments(
        started,
        next(when for path, when in at if path == "/health"),
        next(when for path, when in at if path == "/v1/models"),
        next(when for path, when in at if path == "/v1/chat/completions"),
    )
