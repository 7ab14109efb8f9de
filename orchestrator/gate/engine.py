"""The engine as a child: in its own process group, its output passed on unchanged, its last lines kept."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from .health import probe
from .wake import Wake

#: vLLM prints a cause, then 100 lines and more of other tracebacks, for each of its processes
_TAIL_LINES = 400
_LINE_BYTES = 2000
_GONE_S = 10.0


class Engine:
    """One run of the engine. Raises OSError when it can't be started (no such program, not executable)."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self._tail: deque[bytes] = deque(maxlen=_TAIL_LINES)
        self._child = subprocess.Popen(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._copiers = [
            threading.Thread(target=self._copy, args=pair, daemon=True)
            for pair in ((self._child.stdout, 1), (self._child.stderr, 2))
        ]
        for copier in self._copiers:
            copier.start()

    @property
    def pid(self) -> int:
        """Of its first process, and the number of its group."""
        return self._child.pid

    def has_ended(self) -> bool:
        """Without reaping it: its number, and so its group's, can't go to somebody else before `bury`."""
        if self._child.returncode is not None:
            return True
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def send(self, signum: int) -> None:
        """Pass a signal to the engine's first process, which knows best how to stop the others."""
        if not self.has_ended():
            os.kill(self.pid, signum)

    def bury(self) -> int:
        """Kill what is left of the group, wait until it is gone, return the exit code (128 + signal)."""
        self._kill_group()
        code = self._child.wait()
        until = time.monotonic() + _GONE_S
        while self._group_lives() and time.monotonic() < until:
            time.sleep(0.01)
        for copier in self._copiers:
            copier.join(timeout=1.0)  # the pipes are closed by now, unless a process left the group with one
        return code if code >= 0 else 128 - code

    def tail(self) -> tuple[str, ...]:
        """The last lines of both outputs, in the order in which they came."""
        return tuple(line.decode("utf-8", "replace") for line in tuple(self._tail))

    def _kill_group(self) -> None:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # all gone

    def _group_lives(self) -> bool:
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        # What is left may be zombies, which hold nothing any more but stay for ever without a proper init.
        return any(_lives_in(stat, self.pid) for stat in Path("/proc").glob("[0-9]*/stat"))

    def _copy(self, source: IO[bytes], target: int) -> None:
        rest = b""
        with source:
            while chunk := source.read(65536):
                _pass_on(chunk, target)
                # Progress bars go back with \r instead of starting a new line.
                *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
                self._tail.extend(line[:_LINE_BYTES] for line in lines[-_TAIL_LINES:])
                rest = rest[:_LINE_BYTES]
        if rest:
            self._tail.append(rest)


def _lives_in(stat: Path, group: int) -> bool:
    try:
        # After the name, which may hold anything: state, parent, group.
        state, _, of = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]
    except OSError:
        return False  # gone meanwhile
    return int(of) == group and state not in "ZX"


def _pass_on(chunk: bytes, target: int) -> None:
    try:
        while chunk:
            chunk = chunk[os.write(target, chunk) :]
    except OSError:
        return  # nobody reads us; the engine must not notice


class Watch:
    """Asks the engine for its health in a thread until it answers 200, then wakes the main thread once."""

    def __init__(self, port: int, every_s: float, wake: Wake) -> None:
        self.answered = False
        self._port = port
        self._every_s = every_s
        self._wake = wake
        self._over = threading.Event()
        threading.Thread(target=self._ask, daemon=True).start()

    def stop(self) -> None:
        """Ask no more; does not wait for a question that is under way."""
        self._over.set()

    def _ask(self) -> None:
        while not self._over.is_set():
            if probe(self._port) == 200:
                self.answered = True
                self._wake.poke()
                return
            self._over.wait(self._every_s)
