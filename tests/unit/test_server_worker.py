import asyncio
from threading import Event

import pytest

from orchestrator.server.errors import ApiError
from orchestrator.server.worker import Worker


def test_one_job_at_a_time_and_the_queue_is_bounded() -> None:
    release = Event()
    running: list[int] = []
    most: list[int] = []

    def job() -> int:
        running.append(1)
        most.append(len(running))
        release.wait(10)
        running.pop()
        return len(most)

    async def scenario() -> list[int]:
        worker = Worker(max_queue=2)
        accepted = [worker.submit(job) for _ in range(3)]
        with pytest.raises(ApiError) as refused:
            worker.submit(job)
        assert (refused.value.status, refused.value.code) == (503, "overloaded")
        release.set()
        await asyncio.gather(*accepted)
        return [await worker.submit(job)]

    assert asyncio.run(scenario()) == [4]
    assert most == [1, 1, 1, 1]


def test_a_failed_job_makes_room_again() -> None:
    def fail() -> None:
        raise ApiError("no")

    async def scenario() -> None:
        worker = Worker(max_queue=1)
        for _ in range(5):
            with pytest.raises(ApiError):
                await worker.submit(fail)

    asyncio.run(scenario())
