"""What the gate decides: frozen values in, frozen values out; no I/O, no clock, no environment."""

from __future__ import annotations

import errno
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .progress import Progress
from .verdict import UNCLEAN, classify

SCHEMA = 1
QUEUED = "queued"
WAITING_MEMORY = "waiting-memory"
STARTING = "starting"
READY = "ready"
PAUSING = "pausing"
PARKED = "parked"
STOPPING = "stopping"

# Docker keeps the last five outputs of a health check, each cut at 4 KiB; ours stays one line below 1 KiB.
_REASON_BYTES = 280
_DETAIL_BYTES = 300
_TEXT_BYTES = 80


@dataclass(frozen=True)
class State:
    """What is going on; ``since`` in Unix seconds, ``exit_code`` of the engine's last end (128 + signal).

    ``cause``: the class of ``reason``, "" where that is no failure.
    """

    phase: str
    since: int
    restarts: int = 0
    reason: str = ""
    detail: str = ""
    exit_code: int | None = None
    progress: Progress | None = None
    cause: str = ""

    def to_json(self, port: int, *, sleep_mode: bool = False) -> str:
        """One line; ``port`` and ``sleep_mode`` are for our own health check and are not shown by it."""
        return json.dumps(
            {
                "schema": SCHEMA,
                "phase": self.phase,
                "since": self.since,
                "restarts": self.restarts,
                "reason": clip(self.reason, _REASON_BYTES),
                "cause": self.cause,
                "detail": clip(self.detail, _DETAIL_BYTES),
                "exit_code": self.exit_code,
                "progress": self.progress
                and replace(self.progress, text=clip(self.progress.text, _TEXT_BYTES)).shown(),
                "port": port,
                "sleep_mode": sleep_mode,
            }
        )


def clip(text: str, limit: int) -> str:
    """Make ``text`` one line that takes at most ``limit`` bytes inside a JSON string."""
    line = " ".join(text.split())
    if len(json.dumps(line)) - 2 <= limit:
        return line
    while len(json.dumps(line)) - 2 > limit - 3:
        # Cutting by the surplus ends after a few rounds, also where one character takes six bytes.
        surplus = len(json.dumps(line)) - 2 - (limit - 3)
        line = line[: -max(1, surplus // 6)]
    return line + "..."


def lock_names(gpus: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Lock file name and GPU id, once per GPU, in the order in which everyone has to take them."""
    return tuple(sorted({(_file_name("gpu", gpu, "lock"), gpu) for gpu in gpus}))


def record_name(container: str) -> str:
    """File name, on the lock volume, of what is remembered about one container."""
    return _file_name("gate", container, "json")


def _file_name(kind: str, word: str, suffix: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}", word):
        return f"{kind}-{word}.{suffix}"
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", word)[:60]
    # The other sign keeps a made-up name apart from every word that needed no change.
    return f"{kind}~{safe}-{digest([word])[:12]}.{suffix}"


def digest(words: Sequence[str]) -> str:
    """SHA-256 over a list of words, in hex; their borders count."""
    whole = "\0".join(words).encode("utf-8", "surrogateescape")
    return hashlib.sha256(whole).hexdigest()


# --- GPU memory -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Card:
    """Memory of one GPU in MiB."""

    free_mib: int
    total_mib: int


@dataclass(frozen=True)
class Memory:
    """``detail``: the numbers, or why not known. ``go``: start now. ``hopeless``: waiting can't help."""

    detail: str
    go: bool
    hopeless: bool


def parse_cards(text: str) -> dict[str, Card]:
    """Read ``uuid, free, total`` lines of ``nvidia-smi``; a card that does not tell is left out."""
    rows = (re.fullmatch(r"\s*([^,]+?)\s*,\s*(\d+)\s*,\s*(\d+)\s*", line) for line in text.splitlines())
    return {row[1]: Card(int(row[2]), int(row[3])) for row in rows if row}


def judge_memory(gpus: Sequence[str], claim_mib: int, cards: Mapping[str, Card], trouble: str = "") -> Memory:
    """Compare the claim, per GPU, with what is free; what is not known is said and holds nothing up."""
    if not claim_mib or not gpus:
        return Memory("", go=True, hopeless=False)
    known = [(gpu, cards[gpu]) for gpu in gpus if gpu in cards]
    unknown = [gpu for gpu in gpus if gpu not in cards]
    short = [(gpu, card) for gpu, card in known if card.free_mib < claim_mib]
    words = [f"{gpu}: {card.free_mib} of {card.total_mib} MiB free, {claim_mib} claimed" for gpu, card in short]
    if unknown:
        words.append(f"free memory not known for {', '.join(unknown)} ({trouble or 'nvidia-smi does not tell'})")
    hopeless = any(card.total_mib < claim_mib for _, card in known)
    return Memory("; ".join(words), go=not short, hopeless=hopeless)


# --- what to do next ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Policy:
    """How often to try again, the pauses before each try in seconds, and when a count is forgotten."""

    restarts: int = 3
    pauses: tuple[float, ...] = (5.0, 20.0, 60.0)
    forget_after_s: float = 600.0

    def pause(self, restart: int) -> float:
        """Seconds before restart number ``restart`` (1 is the first); the last pause repeats."""
        return self.pauses[min(restart, len(self.pauses)) - 1] if restart and self.pauses else 0.0


def code_of_failed_start(number: int | None) -> int:
    """Exit code, as a shell gives it, for the errno of a program that could not be started.

    Anything but a wrong program, such as no memory or no process left for a fork, is 1 and may heal.
    """
    if number in (errno.ENOENT, errno.ENOTDIR):
        return 127
    return 126 if number in (errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.E2BIG, errno.ELOOP) else 1


@dataclass(frozen=True)
class Ended:
    """How an engine ended; ``ready_s`` is for how long it had been ready, 0 if never."""

    code: int
    tail: tuple[str, ...] = ()
    was_ready: bool = False
    ready_s: float = 0.0


@dataclass(frozen=True)
class Start:
    """Start the engine after ``pause_s`` seconds; ``restarts`` counts this start if it is not the first."""

    restarts: int = 0
    pause_s: float = 0.0
    reason: str = ""
    cause: str = ""


@dataclass(frozen=True)
class Park:
    """Leave the GPU free and wait for a human."""

    reason: str
    restarts: int = 0
    cause: str = ""


def after_end(ended: Ended, restarts: int, policy: Policy) -> Start | Park:
    """Decide what follows an end of the engine that nobody asked for."""
    verdict = classify(ended.code, ended.tail, was_ready=ended.was_ready)
    used = 0 if ended.was_ready and ended.ready_s >= policy.forget_after_s else restarts
    if not verdict.heals:
        return Park(verdict.reason, used, verdict.cause)
    if used >= policy.restarts:
        return Park(f"{verdict.reason} Gave up after {used} restarts.", used, verdict.cause)
    return Start(used + 1, policy.pause(used + 1), verdict.reason, verdict.cause)


# --- what is remembered over an unclean end of the container --------------------------------------


@dataclass(frozen=True)
class Record:
    """Starts since the last good time of one container, kept outside it; ``parked`` is the reason or empty.

    ``cause`` is its class; records of older gates have none.

    ``container`` and ``argv`` say whose record it is: a new container or command line has a clean slate.
    """

    container: str
    argv: str
    starts: int
    parked: str = ""
    cause: str = ""

    def to_json(self) -> str:
        """One line."""
        return json.dumps({"schema": SCHEMA, **self.__dict__}) + "\n"


def read_record(text: str) -> Record | None:
    """The record, or None where the text is not one."""
    try:
        found = json.loads(text)
        record = Record(found["container"], found["argv"], found["starts"], found["parked"], found.get("cause", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    texts = all(isinstance(word, str) for word in (record.container, record.argv, record.parked, record.cause))
    return record if texts and isinstance(record.starts, int) else None


def resume(record: Record | None, container: str, argv: str, policy: Policy) -> Start | Park:
    """What to do first when the gate comes up.

    A record of this very container is only there when it did not end by a clean stop (``docs/gate.md``), so
    its starts count as failed.
    """
    if record is None or (record.container, record.argv) != (container, argv):
        return Start()
    again = "Kept over an unclean end of the container; `docker restart` tries again."
    used = max(record.starts, 1)
    if record.parked:
        return Park(f"{record.parked} {again}", used - 1, record.cause)
    if used > policy.restarts:
        reason = f"The container went down uncleanly after {used} starts of the engine. {again}"
        return Park(reason, used - 1, UNCLEAN)
    reason = "The container went down uncleanly during or soon after the last start."
    return Start(used, policy.pause(used), reason, UNCLEAN)
