"""One place to wait: for a signal, a child's end, a poke from a thread, or a time, whichever comes first."""

from __future__ import annotations

import os
import select
import signal
import time
from types import FrameType


class Stopped(Exception):  # not an error: somebody asked us to stop
    """SIGTERM or SIGINT came; raised from waits only, so that no step is cut in the middle."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


class Wake:
    """Waits without polling. Create it once, in the main thread, before any child or thread is started."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._stop: int | None = None
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _signum, _frame: None)
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._note)

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        self._stop = signum

    def poke(self) -> None:
        """End the current or next wait, from any thread."""
        try:
            os.write(self._write, b"\0")
        except BlockingIOError:
            return  # the pipe is full of reasons to wake up already

    def wait(self, seconds: float | None, *, stoppable: bool = True) -> None:
        """Sleep until something happens, at most ``seconds`` (None: no limit). Raises Stopped."""
        if not (stoppable and self._stop):
            # poll and not select: this must work with file descriptors above 1023 too
            poller = select.poll()
            poller.register(self._read, select.POLLIN)
            poller.poll(None if seconds is None else max(0.0, seconds) * 1000)
            self._drain()
        if stoppable and self._stop:
            raise Stopped(self._stop)

    def pause(self, seconds: float) -> None:
        """Sleep the whole time, whatever wakes us, unless asked to stop. Raises Stopped."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.wait(left)

    def _drain(self) -> None:
        try:
            while os.read(self._read, 4096):
                pass
        except BlockingIOError:
            return
