"""Why an engine ended, and whether another start could help. Pure: exit code and log to verdict.

What nobody knows may be tried again, because a wrong "can't heal" keeps a model down while a wrong "may heal" costs
three bounded starts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .causes import CAUSES, LAST_WORDS, WHILE_SERVING, Cause

#: the class of what nobody knows
UNKNOWN = "unknown"
KILLED = "killed-by-the-kernel"
# of what the gate finds without an engine
NO_KEY = "bad-token"
NO_LOCKS = "lock-folder"
TOO_LARGE = "gpu-too-small"
UNCLEAN = "unclean-end"
WRONG_OPTION = "gate-options"
_OWN = (UNKNOWN, KILLED, NO_KEY, NO_LOCKS, TOO_LARGE, UNCLEAN, WRONG_OPTION)
_KILL, _ILLEGAL, _BUS = 137, 132, 135
_ERROR_CHARACTERS = 160
#: an error as Python, argparse, a shell or a server ends with it, after what vLLM puts before a line
_ERROR = re.compile(
    r"^(?:\(\w+ pid=\d+\) )?(?:ERROR [^\]]*\] )?((?:[\w.-]+: )?[\w.]*(?:[Ee]rror|Exception)\b:? .*\S|server: .*\S)"
)


@dataclass(frozen=True)
class Verdict:
    """``reason``: what happened. ``heals``: may another start help. ``cause``: the class (``diagnosis.py``)."""

    reason: str
    heals: bool
    cause: str = UNKNOWN


# Before an engine was ready: these say it by themselves, if the log does not say more.
_BY_CODE = {
    2: ("wrong-configuration", "The engine refused its configuration (exit code 2)."),
    126: ("image-incomplete", "The engine's program can't be executed (exit code 126)."),
    127: ("image-incomplete", "The engine's program was not found (exit code 127)."),
    _ILLEGAL: ("wrong-cpu-instructions", "The engine uses instructions that this CPU does not have (signal 4)."),
    _BUS: ("no-shared-memory", "The container's shared memory is too small (signal 7)."),
}


def named() -> frozenset[str]:
    """Every class that the gate can name."""
    causes = (*CAUSES, *LAST_WORDS, *WHILE_SERVING)
    return frozenset({*_OWN, *(cause.name for cause in causes), *(name for name, _ in _BY_CODE.values())})


def describe_exit(code: int) -> str:
    """Say how a process ended; codes above 128 are 128 + signal, as in a shell."""
    if code == 0:
        return "The engine ended by itself with exit code 0."
    if code == _KILL:
        return "The engine was killed (signal 9): out of memory on the host, or by hand."
    if code > 128:
        return f"The engine died of signal {code - 128}."
    return f"The engine ended with exit code {code}."


def classify(code: int, tail: Sequence[str], *, was_ready: bool) -> Verdict:
    """Judge one end of an engine by its exit code and the last lines of its log.

    An engine that has answered before had a configuration that works, and its later log holds texts that came
    with requests; so nothing in either counts as beyond healing then.
    """
    if was_ready:
        found = None if code in (0, _KILL) else _find(WHILE_SERVING, tail)
        return found or Verdict(_unknown(code, ()), heals=True, cause=_unnamed(code))
    last = [line for line in tail if line.strip()][-1:]
    found = _find(CAUSES, tail) or _find(LAST_WORDS, last)
    if code in _BY_CODE:
        cause, reason = _BY_CODE[code]
        return found if found and not found.heals else Verdict(_with(reason, tail), heals=False, cause=cause)
    return found or Verdict(_unknown(code, tail), heals=True, cause=_unnamed(code))


def _find(causes: Sequence[Cause], tail: Sequence[str]) -> Verdict | None:
    told = ((cause, reason) for cause in causes if (reason := cause.told(tail)))
    return next((Verdict(reason, cause.heals, cause.name) for cause, reason in told), None)


def _unnamed(code: int) -> str:
    return KILLED if code == _KILL else UNKNOWN


def _unknown(code: int, tail: Sequence[str]) -> str:
    return describe_exit(code) if code in (0, _KILL) else _with(describe_exit(code), tail)


def _with(reason: str, tail: Sequence[str]) -> str:
    """With the log's own last error."""
    said = last_error(tail)
    return f"{reason[:-1]}: {said.rstrip('.')}." if said else reason


def last_error(tail: Sequence[str]) -> str:
    """The last line that is an error, without what the engine puts before its lines; "" where there is none."""
    found = (match for line in reversed(tail) if (match := _ERROR.match(line)))
    return next((match[1][:_ERROR_CHARACTERS] for match in found), "")
