import asyncio
from threading import Event

import pytest

from orchestrator.server.errors import ApiError
from orchestrator.server.worker import Worker


def test_one_job_at_a_time_and_the_queue_is_bounded() -> None:
    release = Event()
    running: list[int] = []
    most: list[int] = []

    def work(_: Event) -> int:
        running.append(1)
        most.append(len(running))
        release.wait(10)
        running.pop()
        return len(most)

    async def scenario() -> list[int]:
        worker = Worker(max_queue=2)
        accepted = [worker.submit(work).answer for _ in range(3)]
        with pytest.raises(ApiError) as refused:
            worker.submit(work)
        assert (refused.value.status, refused.value.code) == (429, "overloaded")
        assert int(refused.value.headers["Retry-After"]) >= 1
        assert worker.running + worker.waiting == 3
        release.set()
        await asyncio.gather(*accepted)
        return [await worker.submit(work).answer]

    assert asyncio.run(scenario()) == [4]
    assert most == [1, 1, 1, 1]


def test_a_failed_job_makes_room_again() -> None:
    def fail(_: Event) -> None:
        raise ApiError("no")

    async def scenario() -> None:
        worker = Worker(max_queue=1)
        for _ in range(5):
            with pytest.raises(ApiError):
                await worker.submit(fail).answer

    asyncio.run(scenario())


def test_what_is_given_up_leaves_the_queue_or_is_told() -> None:
    began, told = Event(), Event()

    def until_told(cancelled: Event) -> None:
        began.set()
        if cancelled.wait(10):
            told.set()

    async def scenario() -> None:
        worker = Worker(max_queue=1)
        runs, waits = worker.submit(until_told), worker.submit(until_told)
        waits.give_up()
        with pytest.raises(asyncio.CancelledError):
            await waits.answer
        again = worker.submit(until_told)  # its place is free at once
        assert await asyncio.to_thread(began.wait, 10)
        again.give_up()
        runs.give_up()
        await runs.answer
        assert told.is_set()

    asyncio.run(scenario())


def test_a_stop_lets_run_what_runs_and_refuses_the_rest() -> None:
    began, release = Event(), Event()

    def work(_: Event) -> str:
        began.set()
        release.wait(10)
        return "done"

    async def scenario() -> None:
        worker = Worker(max_queue=1)
        runs, waits = worker.submit(work), worker.submit(work)
        assert await asyncio.to_thread(began.wait, 10)
        worker.stop()
        with pytest.raises(ApiError) as refused:
            worker.submit(work)
        assert (refused.value.status, refused.value.code) == (503, "stopping")
        release.set()
        assert await runs.answer == "done"
        with pytest.raises(asyncio.CancelledError):
            await waits.answer

    asyncio.run(scenario())


def test_out_of_memory_is_an_error_of_one_request() -> None:
    def greedy(_: Event) -> None:
        raise MemoryError

    async def scenario() -> None:
        worker = Worker(max_queue=1)
        with pytest.raises(ApiError) as failed:
            await worker.submit(greedy).answer
        assert (failed.value.status, failed.value.code) == (503, "out_of_memory")
        assert await worker.submit(lambda _: "next").answer == "next"

    asyncio.run(scenario())
