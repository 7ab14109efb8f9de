"""Who is answered when: a bounded queue in front of one thread that moves all answers on, a token at a time."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Condition, Event, Thread
from typing import Generic, Protocol, TypeVar

from .conversation import Ask, Completion
from .errors import ApiError, DeviceLostError

_log = logging.getLogger("server")
#: Threads that unpack images and make the model's input, so that the thread that generates never waits for it.
_PREPARING = 4


class Row(Protocol):
    """A request that is being answered."""

    failure: Exception | None

    @property
    def fresh(self) -> str:
        """The text that its last token made sure of."""
        ...

    @property
    def completion(self) -> Completion | None:
        """The answer once it is whole."""
        ...


P = TypeVar("P")
R = TypeVar("R", bound=Row)


class Engine(Protocol[P, R]):
    """What generates. All but ``prepare`` are called from one thread."""

    capacity: int
    rows: list[R]

    def prepare(self, ask: Ask) -> P:
        """Makes the model's input; from any thread. Raises ``ApiError`` for what does not fit."""
        ...

    def join(self, prepared: Sequence[P]) -> Sequence[R | Exception]:
        """Begins requests: for each its row with the first token, or why it failed."""
        ...

    def step(self) -> None:
        """One token more for each row. Raises ``MemoryError`` with all rows as they were."""
        ...

    def leave(self, rows: Sequence[R]) -> None:
        """Takes rows out."""
        ...


class Job:
    """A request that was accepted. ``answer`` is cancelled only when the server stops before the work began."""

    def __init__(self, ask: Callable[[], Ask], send: Callable[[str], None]) -> None:
        self.ask: Callable[[], Ask] | None = ask
        self.send = send
        self.result: Future[Completion] = Future()
        self.answer = asyncio.wrap_future(self.result)
        self.answer.add_done_callback(_seen)
        self.began = 0.0
        self._unwanted = Event()

    @property
    def unwanted(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self._unwanted.is_set()

    def give_up(self) -> None:
        """Nobody wants the answer: what waits leaves the queue, what runs ends at its next token."""
        self._unwanted.set()
        self.ask = None  # with it goes the body of the request
        self.result.cancel()


def _seen(answer: asyncio.Future[Completion]) -> None:
    if not answer.cancelled():
        answer.exception()  # where the caller has gone, nobody else looks at it


class Scheduler(Generic[P, R]):
    """Answers at most ``engine.capacity`` requests at once; of the others at most ``max_queue`` wait.

    Used from one event loop. ``lost`` is called from the generating thread when the device can't be used any more.
    """

    def __init__(self, engine: Engine[P, R], max_queue: int, lost: Callable[[], None] = lambda: None) -> None:
        self.stopping = False
        #: passes of the model that added a token to each answer, and tokens they added
        self.steps = 0
        self.stepped = 0
        self._engine = engine
        self._max_queue = max_queue
        self._lost = lost
        self._jobs: set[Job] = set()
        self._ready: deque[tuple[Job, P]] = deque()
        self._running: dict[int, tuple[Job, R]] = {}
        self._change = Condition()
        self._typical = 1.0  # seconds of an answer, a moving mean
        self._preparing = ThreadPoolExecutor(_PREPARING, thread_name_prefix="prepare")
        self._thread = Thread(target=self._run, name="generate", daemon=True)
        self._thread.start()

    @property
    def running(self) -> int:
        """How many requests are being answered."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return max(0, len(self._jobs) - len(self._running))

    def submit(self, ask: Callable[[], Ask], send: Callable[[str], None]) -> Job:
        """Queues a request. ``ask`` unpacks it and ``send`` gets the text of each token, both in other threads.

        Raises ``ApiError``: 429 when the queue is full, 503 when the server stops.
        """
        if self.stopping:
            raise stopping()
        if len(self._jobs) >= self._engine.capacity + self._max_queue:
            # The next place is free when one of the answers that are being written ends.
            raise ApiError(
                "too many requests wait already; try again later",
                status=429,
                code="overloaded",
                retry_after=max(1, math.ceil(self._typical / self._engine.capacity)),
            )
        job = Job(ask, send)
        self._jobs.add(job)
        job.answer.add_done_callback(lambda _: self._forget(job))
        self._preparing.submit(self._prepare, job)
        return job

    def stop(self) -> None:
        """What is being answered may end; what waits, and what comes, is refused."""
        with self._change:
            self.stopping = True
            for job in tuple(self._jobs):
                job.result.cancel()  # without effect on what has begun
            self._change.notify()
        self._preparing.shutdown(wait=False, cancel_futures=True)

    def _forget(self, job: Job) -> None:
        self._jobs.discard(job)
        if job.result.cancelled():
            with self._change:
                self._ready = deque(one for one in self._ready if one[0] is not job)

    def _prepare(self, job: Job) -> None:
        ask = job.ask
        if ask is None:
            return
        try:
            prepared = self._engine.prepare(ask())
        except Exception as error:  # noqa: BLE001 - the caller gets it
            _fail(job, error)
            return
        with self._change:
            self._ready.append((job, prepared))
            self._change.notify()

    def _run(self) -> None:
        """The thread: lets requests in, moves all answers on, lets out what has ended."""
        while True:
            with self._change:
                self._change.wait_for(lambda: self._ready or self._running or self.stopping)
                if self.stopping and not self._running:
                    return
                free = self._engine.capacity - len(self._running)
                new = [self._ready.popleft() for _ in range(min(free, len(self._ready)))]
            new = [(job, prepared) for job, prepared in new if job.result.set_running_or_notify_cancel()]
            try:
                if new:
                    self._begin(new)
                if self._running:
                    self._advance()
            except DeviceLostError as error:
                self._drop_all(error)
                self._lost()
                return

    def _begin(self, new: Sequence[tuple[Job, P]]) -> None:
        now = time.monotonic()
        for job, _ in new:
            job.began = now
        begun: list[tuple[Job, R]] = []
        for (job, _), row in zip(new, self._engine.join([prepared for _, prepared in new]), strict=True):
            if isinstance(row, Exception):
                _fail(job, row)
            else:
                begun.append((job, row))
        self._running.update((id(row), (job, row)) for job, row in begun)
        self._deliver(begun)

    def _advance(self) -> None:
        try:
            self._engine.step()
        except MemoryError as error:
            # The newest gives way: the others have their answers half written.
            job, row = list(self._running.values())[-1]
            self._out([(job, row)])
            _fail(job, error)
        except DeviceLostError:
            raise
        except Exception as error:  # noqa: BLE001 - the callers get it
            _log.exception("a pass of the model failed")
            self._drop_all(error)
        else:
            self.steps += 1
            self.stepped += len(self._running)
            self._deliver(list(self._running.values()))

    def _deliver(self, moved: Sequence[tuple[Job, R]]) -> None:
        """Sends what is new, and lets out whoever is done, has failed, or is not wanted any more."""
        ended: list[tuple[Job, R]] = []
        for job, row in moved:
            if job.unwanted or row.failure is not None or row.completion is not None:
                ended.append((job, row))
            if not job.unwanted and row.failure is None:
                job.send(row.fresh)
        self._out(ended)
        for job, row in ended:
            if row.failure is not None:
                _fail(job, row.failure)
            elif row.completion is not None:
                self._typical += (time.monotonic() - job.began - self._typical) / 8
                _log.info("%s, %.2f s", row.completion.told(), time.monotonic() - job.began)
                job.result.set_result(row.completion)
            else:
                _fail(job, ApiError("the caller has gone", status=499))

    def _out(self, ended: Sequence[tuple[Job, R]]) -> None:
        self._engine.leave([row for _, row in ended])
        for _, row in ended:
            del self._running[id(row)]

    def _drop_all(self, error: Exception) -> None:
        dropped = list(self._running.values())
        self._out(dropped)
        for job, _ in dropped:
            _fail(job, error)


def _fail(job: Job, error: Exception) -> None:
    """Tells the caller, unless it has gone."""
    if isinstance(error, MemoryError):
        message = "the memory ran out on this request; smaller images or fewer tokens may fit"
        error = ApiError(message, status=503, code="out_of_memory")
    if job.result.running() or job.result.set_running_or_notify_cancel():
        job.result.set_exception(error)


def stopping() -> ApiError:
    """The refusal of a server that stops."""
    return ApiError("the server is stopping", status=503, code="stopping")
