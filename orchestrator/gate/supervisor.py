"""The gate's shell: carries out what ``core`` decides, shows each phase, and reacts to a stop at once."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from . import core
from .engine import Engine, Watch
from .locks import GpuLocks, LockError
from .memory import look
from .progress import Progress, after_lines, after_look, news
from .secretfiles import SecretError, with_secrets
from .signs import Signs
from .state import RecordFile, StateFile
from .verdict import NO_KEY, NO_LOCKS, TOO_LARGE, WRONG_OPTION
from .wake import Stopped, Wake

_DEFAULT_POLICY = core.Policy()
#: seconds between two looks at how far a start is; Docker's health check reads the state less often
_LOOK_S = 1.0


@dataclass(frozen=True)
class Options:
    """What the command line says; sizes in MiB per GPU, times in seconds."""

    argv: tuple[str, ...]
    port: int
    state: Path
    locks: Path
    name: str
    host: str
    gpus: tuple[str, ...] = ()
    claim_mib: int = 0
    secrets: tuple[tuple[str, Path], ...] = ()
    weights: Path | None = None
    weights_bytes: int | None = None
    sleep_mode: bool = False
    policy: core.Policy = _DEFAULT_POLICY
    grace_s: float = 25.0
    poll_s: float = 0.25


class _Hopeless(Exception):  # a state of the world more than an error of ours
    """Waiting can't make enough GPU memory free."""


#: what keeps a start from being tried, with its class
_BEFORE: dict[type[Exception], str] = {
    LockError: NO_LOCKS,
    SecretError: NO_KEY,
    _Hopeless: TOO_LARGE,
}


class Supervisor:
    """Runs one engine until it is told to stop."""

    def __init__(self, options: Options, wake: Wake) -> None:
        self._options = options
        self._wake = wake
        self._file = StateFile(options.state, options.port, sleep_mode=options.sleep_mode)
        self._record = RecordFile(options.locks / core.record_name(options.name))
        self._locks = GpuLocks(options.locks, options.gpus, options.name, options.host)
        self._argv = core.digest(options.argv)
        self._state = core.State("", 0)
        self._engine: Engine | None = None
        self._told: set[str] = set()

    def run(self) -> int:
        """Supervise until a stop; returns the gate's exit code, 0 when the engine ended by our signal."""
        try:
            self._supervise()
        except Stopped as stopped:
            # Being asked to stop is somebody's decision: the next start is a new one, with all its tries.
            self._record.forget()
            return self._stop(stopped.signum)

    def refuse(self, reason: str) -> int:
        """Park for a command line that is wrong: ending would make Docker start us again for ever."""
        try:
            self._park(core.Park(reason, cause=WRONG_OPTION))
        except Stopped:
            return 0

    def _supervise(self) -> NoReturn:
        options = self._options
        following = core.resume(self._record.read(), options.host, self._argv, options.policy)
        while isinstance(following, core.Start):
            following = self._try(following)
        self._park(following)

    def _try(self, start: core.Start) -> core.Start | core.Park:
        self._pause(start)
        try:
            ended = self._one_start(start.restarts)
        except tuple(_BEFORE) as error:
            # Nothing was started, so nothing needs to be remembered: looking again costs nothing.
            return core.Park(str(error), start.restarts, _BEFORE[type(error)])
        self._state = replace(self._state, exit_code=ended.code)
        following = core.after_end(ended, start.restarts, self._options.policy)
        if isinstance(following, core.Park):
            self._remember(following.restarts + 1, following.reason, following.cause)
        return following

    def _pause(self, start: core.Start) -> None:
        self._state = replace(self._state, restarts=start.restarts, reason=start.reason, cause=start.cause)
        if start.pause_s:
            most = self._options.policy.restarts
            self._show(core.PAUSING, f"restart {start.restarts} of {most} after {start.pause_s:g} s: {start.reason}")
            self._wake.pause(start.pause_s)

    def _one_start(self, restarts: int) -> core.Ended:
        memory = self._make_room()
        environment = with_secrets(os.environ, self._options.secrets)
        self._remember(restarts + 1)
        self._show(core.STARTING, "; ".join(filter(None, (memory, "no answer from the engine yet"))))
        try:
            self._engine = Engine(self._options.argv, environment)
        except OSError as error:
            self._say(f"can't start {self._options.argv[0]}: {error.strerror}")
            self._locks.release()
            return core.Ended(core.code_of_failed_start(error.errno))
        ended = self._follow(self._engine)
        self._engine = None
        self._locks.release()
        return ended

    def _make_room(self) -> str:
        """Take the locks and wait for the memory; returns what is to be said about the memory."""
        options = self._options
        self._locks.acquire(self._queue)
        while True:
            cards, trouble = look(self._wake) if options.claim_mib and options.gpus else ({}, "")
            memory = core.judge_memory(options.gpus, options.claim_mib, cards, trouble)
            if memory.hopeless:
                raise _Hopeless(f"The claim is larger than the GPU: {memory.detail}.")
            if memory.go:
                return memory.detail
            self._show(core.WAITING_MEMORY, memory.detail)
            # nvidia-smi costs far more than a look at a lock
            self._wake.pause(4 * options.poll_s)

    def _queue(self, detail: str) -> None:
        self._show(core.QUEUED, detail)
        self._wake.pause(self._options.poll_s)

    def _follow(self, engine: Engine) -> core.Ended:
        ready_at = self._wait_ready(engine)
        ready_s = 0.0
        if ready_at is not None:
            self._locks.release()
            self._state = replace(self._state, reason="", cause="")
            self._show(core.READY)
            self._wait_end(engine, ready_at)
            ready_s = time.monotonic() - ready_at
        code = engine.bury()
        return core.Ended(code, engine.tail(), ready_at is not None, ready_s)

    def _wait_ready(self, engine: Engine) -> float | None:
        watch = Watch(self._options.port, self._options.poll_s, self._wake)
        signs = Signs(engine.pid, self._options.weights)
        last = signs.look()
        progress = Progress(moved=int(last.at), bytes=last.bytes, total=self._options.weights_bytes)
        try:
            while not (watch.answered or engine.has_ended()):
                self._show_progress(progress)
                self._wake.wait(_LOOK_S)
                now = signs.look()
                progress = after_look(after_lines(progress, engine.fresh(), now.at), last, now)
                last = now
        finally:
            watch.stop()
        return None if engine.has_ended() else time.monotonic()

    def _show_progress(self, progress: Progress) -> None:
        """Change what the health check shows of a start; a new phase of it makes one line for the log."""
        before = self._state.progress
        if before is None or news(before, progress):
            self._state = replace(self._state, progress=progress)
            self._write()
        if before is None or before.phase != progress.phase:
            self._say(f"{core.STARTING}: {progress.phase}")

    def _wait_end(self, engine: Engine, ready_at: float) -> None:
        forget_at: float | None = ready_at + self._options.policy.forget_after_s
        while not engine.has_ended():
            if forget_at is not None and time.monotonic() >= forget_at:
                forget_at = None
                self._record.forget()
                self._state = replace(self._state, restarts=0)
                self._show(core.READY)
            self._wake.wait(None if forget_at is None else forget_at - time.monotonic())

    def _park(self, following: core.Park) -> NoReturn:
        self._locks.release()
        state = replace(self._state, restarts=following.restarts)
        self._state = replace(state, reason=following.reason, cause=following.cause)
        self._show(core.PARKED, said=following.reason)
        while True:
            self._wake.wait(None)

    def _stop(self, signum: int) -> int:
        self._show(core.STOPPING)
        if self._engine is None:
            return 0
        self._engine.send(signum)
        until = time.monotonic() + self._options.grace_s
        while not self._engine.has_ended() and (left := until - time.monotonic()) > 0:
            self._wake.wait(left, stoppable=False)
        if not self._engine.has_ended():
            self._say(f"the engine did not stop within {self._options.grace_s:g} s: killed")
        code = self._engine.bury()
        return 0 if code in (0, 128 + signum) else code

    def _remember(self, starts: int, parked: str = "", cause: str = "") -> None:
        trouble = self._record.write(core.Record(self._options.host, self._argv, starts, parked, cause))
        if trouble:
            self._say_once(f"starts can't be counted over a restart of the container: {trouble}")

    def _show(self, phase: str, detail: str = "", said: str = "") -> None:
        """Change the state that the health check shows; a new phase also makes one line for the log."""
        fresh = phase != self._state.phase
        if not fresh and detail == self._state.detail and phase != core.READY:
            return
        since = int(time.time()) if fresh else self._state.since
        self._state = replace(self._state, phase=phase, since=since, detail=detail, progress=None)
        self._write()
        if fresh:
            said = said or detail
            self._say(f"{phase}: {said}" if said else phase)

    def _write(self) -> None:
        try:
            self._file.write(self._state)
        except OSError as error:
            self._say_once(f"the state can't be shown in {self._options.state}: {error.strerror}")

    def _say_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._say(text)

    def _say(self, text: str) -> None:
        try:
            print(f"gate: {core.clip(text, 1000)}", file=sys.stderr, flush=True)
        except OSError:
            return  # nobody reads us, which is no reason to stop
