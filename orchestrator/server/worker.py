"""One thread that works, and a bounded queue in front of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from .errors import ApiError

T = TypeVar("T")


class Worker:
    """Runs one job at a time; of the others at most ``max_queue`` wait. Used from one event loop."""

    def __init__(self, max_queue: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="generate")
        self._limit = max_queue + 1
        self._jobs = 0

    def submit(self, job: Callable[[], T]) -> asyncio.Future[T]:
        """Starts or queues a job. Raises ``ApiError`` 503 when the queue is full."""
        if self._jobs >= self._limit:
            raise ApiError("too many requests wait already; try again later", status=503, code="overloaded")
        self._jobs += 1
        future = asyncio.wrap_future(self._pool.submit(job))
        future.add_done_callback(self._done)
        return future

    def _done(self, future: asyncio.Future[Any]) -> None:
        self._jobs -= 1
        if not future.cancelled():
            future.exception()  # seen: where the caller has gone, nobody else looks at it
