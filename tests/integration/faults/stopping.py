"""``orchestrator`` with a fault port: the real command line in the real world, but it can be stopped between two steps.

Before and after each call of a port that may change anything it writes a line to the file STOP_LOG. At the line
STOP_AT, its number or its words, it sends itself the signal STOP_WITH. Whatever is not known to only look counts as a
change, so that new steps are covered by themselves. Run as ``python -m tests.integration.faults.stopping``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, cast

from orchestrator.app.world import RealWorld
from orchestrator.cli import run
from orchestrator.ports import World

#: calls that change nothing, by part of the world
LOOKS: Mapping[str, frozenset[str]] = {
    "docker": frozenset({"version", "observe", "reachable", "remains", "sizes", "gpu_ways", "memory", "disk"}),
    "actor": frozenset({"recipe", "gpus_seen", "logs"}),
    "compose": frozenset({"version"}),
    "builder": frozenset({"source", "buildable"}),
    "gpus": frozenset({"read", "uses", "holders"}),
    "models": frozenset(),
    "pulse": frozenset({"beating"}),
    "clock": frozenset({"now", "sleep"}),
    "workspace": frozenset(
        {"folder", "documents", "projects", "has", "kept", "secret_file", "stored", "unfinished", "measurements"}
        | {"listings", "lock_state"}
    ),
    "library": frozenset({"registry", "templates", "beside", "inquiry", "probe_image", "inventory", "folder"}),
}


class Boundaries:
    """Counts and writes down what is passed."""

    def __init__(self, log: Path, at: str, number: int) -> None:
        self._log, self._at, self._number = log, at, number
        self._passed, self._alone = 0, Lock()

    def passed(self, words: str) -> None:
        """Between two changes of the world. Several containers are changed at the same time, by threads."""
        with self._alone:
            self._passed += 1
            with self._log.open("a") as log:
                log.write(f"{words}\n")
            if self._at in {str(self._passed), words}:
                os.kill(os.getpid(), self._number)


class Port:
    """Stands before one part of the world."""

    def __init__(self, part: str, real: object, boundaries: Boundaries) -> None:
        self._part, self._real, self._passed = part, real, boundaries.passed

    def __getattr__(self, call: str) -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(self._real, call)
        if call in LOOKS.get(self._part, ()):
            return found
        words = f"{self._part}.{call}"
        if words == "workspace.write":
            return lambda project, files: self._written(words, found, project, files)
        return lambda *args, **named: self._changed(words, found, *args, **named)

    def _changed(self, words: str, call: Callable[..., Any], *args: object, **named: object) -> Any:
        if words in {"workspace.lock", "workspace.preparing"}:
            return self._held(words, call(*args, **named))
        if words in {"actor.pull", "actor.fetch", "builder.build"}:
            return self._going_on(words, call(*args, **named))
        self._passed(f"before {words}")
        result = call(*args, **named)
        self._passed(f"after {words}")
        return result

    def _written(self, words: str, write: Callable[..., None], project: str, files: Mapping[str, bytes]) -> None:
        """As ``write`` does it: one file after the other. Those of a folder count as one."""
        for part in dict.fromkeys(name.partition("/")[0] for name in files):
            some = {name: data for name, data in files.items() if name.partition("/")[0] == part}
            self._changed(f"{words} {part}", write, project, some)

    @contextmanager
    def _held(self, words: str, block: AbstractContextManager[None]) -> Iterator[None]:
        self._passed(f"before {words}")
        with block:
            self._passed(f"in {words}")
            yield
            self._passed(f"at the end of {words}")
        self._passed(f"after {words}")

    def _going_on(self, words: str, told: Iterator[Any]) -> Generator[Any, None, None]:
        self._passed(f"before {words}")
        for advance in told:
            yield advance
            self._passed(f"while {words}")
        self._passed(f"after {words}")


class StoppingWorld:
    """The real world behind fault ports."""

    def __init__(self, boundaries: Boundaries) -> None:
        self._real = RealWorld(lambda holder: print(f"waiting for {holder}", file=sys.stderr, flush=True))
        self._boundaries = boundaries

    def __getattr__(self, part: str) -> Port:
        return Port(part, getattr(self._real, part), self._boundaries)


def main() -> int:
    """The command line; returns its exit code."""
    setting = os.environ
    boundaries = Boundaries(Path(setting["STOP_LOG"]), setting["STOP_AT"], int(setting["STOP_WITH"]))
    return run(sys.argv[1:], cast("World", StoppingWorld(boundaries)))


if __name__ == "__main__":
    sys.exit(main())
