"""One thread that works, and a bounded queue in front of it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Any, Generic, TypeVar

from .errors import ApiError

T = TypeVar("T")


class Job(Generic[T]):
    """Work that was accepted. ``answer`` is cancelled only when the server stops before the work began."""

    def __init__(self, task: Future[T], cancelled: Event) -> None:
        self.answer = asyncio.wrap_future(task)
        self._task = task
        self._cancelled = cancelled

    def give_up(self) -> None:
        """Nobody wants the answer: what waits leaves the queue, what runs is told to end."""
        self._cancelled.set()
        self._task.cancel()


class Worker:
    """Runs one job at a time; of the others at most ``max_queue`` wait. Used from one event loop."""

    def __init__(self, max_queue: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="generate")
        self._limit = max_queue + 1
        self._tasks: set[Future[Any]] = set()
        self._typical = 1.0  # seconds of a job, a moving mean
        self.stopping = False

    @property
    def running(self) -> int:
        """How many jobs run: 0 or 1."""
        return sum(task.running() for task in self._tasks)

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._tasks) - self.running

    def submit(self, work: Callable[[Event], T]) -> Job[T]:
        """Starts or queues work; the event it gets is set when nobody wants its answer any more.

        Raises ``ApiError``: 429 when the queue is full, 503 when the server stops.
        """
        if self.stopping:
            raise stopping()
        if len(self._tasks) >= self._limit:
            # The next place is free when the job that runs ends.
            raise ApiError(
                "too many requests wait already; try again later",
                status=429,
                code="overloaded",
                retry_after=max(1, math.ceil(self._typical)),
            )
        cancelled = Event()
        task = self._pool.submit(self._run, work, cancelled)
        self._tasks.add(task)
        job = Job(task, cancelled)

        def done(answer: asyncio.Future[T]) -> None:
            self._tasks.discard(task)
            if not answer.cancelled():
                answer.exception()  # seen: where the caller has gone, nobody else looks at it

        job.answer.add_done_callback(done)
        return job

    def stop(self) -> None:
        """What runs may end; what waits, and what comes, is refused."""
        self.stopping = True
        for task in tuple(self._tasks):
            task.cancel()

    def _run(self, work: Callable[[Event], T], cancelled: Event) -> T:
        began = time.monotonic()
        try:
            return work(cancelled)
        except MemoryError:
            message = "the memory ran out on this request; smaller images or fewer tokens may fit"
            raise ApiError(message, status=503, code="out_of_memory") from None
        finally:
            self._typical += (time.monotonic() - began - self._typical) / 8


def stopping() -> ApiError:
    """The refusal of a server that stops."""
    return ApiError("the server is stopping", status=503, code="stopping")
