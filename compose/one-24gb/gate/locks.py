"""One exclusive lock per GPU, held while an engine starts on it.

``flock`` belongs to the open file: the kernel drops it when the last process that has it open dies, however
it dies. Lock files are never deleted, because a lock on a deleted name protects nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .core import lock_names


class LockError(Exception):
    """The lock folder can't be used; the text is one sentence."""


class GpuLocks:
    """The locks of all GPUs of one container, taken in the sorted order that everyone keeps: no deadlock."""

    def __init__(self, folder: Path, gpus: Sequence[str], holder: str, host: str) -> None:
        self._folder = folder
        self._wanted = lock_names(gpus)
        self._holder = holder
        self._host = host
        self._held: list[int] = []

    def acquire(self, wait: Callable[[str], None]) -> None:
        """Take all locks; while one is taken, ``wait`` is called with who holds it and returns to look again.

        A held lock is kept while the next is waited for. Raises LockError, and what ``wait`` raises.
        """
        for name, gpu in self._wanted:
            fd = self._open(self._folder / name)
            self._held.append(fd)
            while not self._try(fd):
                wait(f"{gpu} is held by {_holder(fd)}")
            self._sign(fd)

    def release(self) -> None:
        """Give all locks back, held ones and the one being waited for."""
        while self._held:
            os.close(self._held.pop())

    def _open(self, path: Path) -> int:
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o660)
        except OSError as error:
            raise LockError(f"Can't open the lock {path}: {error.strerror}.") from error

    def _try(self, fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise LockError(f"Can't lock in {self._folder}: {error.strerror}.") from error
        return True

    def _sign(self, fd: int) -> None:
        note = {"holder": self._holder, "host": self._host, "pid": os.getpid(), "since": int(time.time())}
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, json.dumps(note).encode() + b"\n", 0)
        except OSError:
            return  # a full disk must not keep a model down: the lock holds without the note


def _holder(fd: int) -> str:
    """Who signed the lock; the note may be missing or half written, since only the lock itself is exact."""
    try:
        note = json.loads(os.pread(fd, 4096, 0))
        since = time.strftime("%H:%M:%S", time.gmtime(note["since"]))
        return f"{note['holder']} (host {note['host']}, pid {note['pid']}) since {since} UTC"
    except (OSError, OverflowError, ValueError, KeyError, TypeError):
        return "another container"
