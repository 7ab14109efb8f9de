"""What a fault is, and how one is judged and put on record."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.diagnosis import FAILURES, UNKNOWN
from tests.integration.cli import Cli
from tests.integration.engine import Objects
from tests.integration.faults.results import record

#: the volumes that stay on purpose
CACHES = frozenset({"orchestrator-weights", "orchestrator-cache", "orchestrator-locks"})
#: "(no-disk)", as messages have it
_NAMED = re.compile(r"\(([a-z-]+)\)")
#: what is written before it takes a file's place
_DRAFT = re.compile(r"\..+\.\d+")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that is broken, and what has to be said of it.

    ``name``: its own, in lower case with hyphens. ``broken`` and ``how``: for docs/reliability.md. ``cause``: the class
    (``orchestrator/diagnosis.py``), "" for what has none, such as a request that is wrong. ``exit``: the exit code.
    ``words``: a pattern of the message.
    """

    name: str
    broken: str
    how: str
    exit: int
    words: str
    cause: str = ""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What came of a fault. ``ready``: whether it was called so while it was broken."""

    code: int
    said: str
    cause: str
    seconds: float
    ready: bool = False


def judge(fault: Fault, seen: Seen, lost: Sequence[str] = ()) -> None:
    """Put it on record, then hold it to the table. ``lost``: names of what is left that should be gone."""
    cause = "" if seen.cause == UNKNOWN and not fault.cause else seen.cause
    words = re.search(fault.words, seen.said, re.MULTILINE) is not None
    record(
        fault.name,
        "faults",
        broken=fault.broken,
        how=fault.how,
        expected=fault.cause,
        cause=cause,
        exit=fault.exit,
        code=seen.code,
        words=words,
        ready=seen.ready,
        left=list(lost),
        seconds=round(seen.seconds, 2),
    )
    assert (cause, seen.code) == (fault.cause, fault.exit), seen
    assert words, f"{fault.words!r} is not in {seen.said}"
    assert not seen.ready, seen
    assert not lost, seen


def named(said: str) -> str:
    """The class that a message names, "" for none."""
    return next((name for name in _NAMED.findall(said) if name in FAILURES), "")


def left(cli: Cli, before: Objects) -> tuple[str, ...]:
    """What there is more than before, but for the volumes that stay; locks that are held, and half written files."""
    return (*_objects(cli, before), *locks(cli), *_drafts(cli.state))


def _objects(cli: Cli, before: Objects) -> Iterator[str]:
    now = cli.engine.objects() - before
    yield from (f"container {id_[:12]}" for id_ in now.containers)
    yield from (f"network {id_[:12]}" for id_ in now.networks)
    yield from (f"volume {name}" for name in now.volumes - CACHES)


def locks(cli: Cli) -> Iterator[str]:
    of_gpus = cli.engine.folder / "data" / "volumes" / "orchestrator-locks" / "_data"
    for file in (cli.state / "orchestrator.lock", *of_gpus.glob("gpu-*.lock")):
        if file.is_file() and not _free(file):
            yield f"lock {file.name}"


def _free(file: Path) -> bool:
    with file.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _drafts(folder: Path) -> Iterator[str]:
    yield from (f"file {path.name}" for path in folder.glob("**/.*") if _DRAFT.fullmatch(path.name))
