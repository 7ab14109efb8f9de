import asyncio
from collections.abc import Sequence
from threading import Event

import pytest

from orchestrator.server.conversation import Ask, Completion, Turn
from orchestrator.server.errors import ApiError, DeviceLostError
from orchestrator.server.scheduler import Job, Scheduler


class StubRow:
    """Writes the words of its question, one a step."""

    def __init__(self, words: Sequence[str]) -> None:
        self.failure: Exception | None = None
        self.completion: Completion | None = None
        self.fresh = ""
        self._words = list(words)
        self._said = ""
        self.move()

    def move(self) -> None:
        self.fresh = self._words.pop(0)
        self._said += self.fresh
        if self.fresh == "sick":
            self.failure = ArithmeticError("no number")
        if not self._words:
            self.completion = Completion(self._said, "stop", 1, 1)


class StubEngine:
    """A question is words.

    ``gate`` holds up each step until it is set; ``errors``: what the n-th step raises; ``moved``: rows of each step.
    """

    def __init__(self, capacity: int = 1) -> None:
        self.capacity = capacity
        self.rows: list[StubRow] = []
        self.gate = Event()
        self.gate.set()
        self.stepping = Event()
        self.errors: dict[int, Exception] = {}
        self.moved: list[int] = []

    def prepare(self, ask: Ask) -> list[str]:
        return ask.turns[0].text.split()

    def join(self, prepared: Sequence[list[str]]) -> Sequence[StubRow | Exception]:
        results: list[StubRow | Exception] = []
        for words in prepared:
            if words[0] == "huge":
                results.append(MemoryError())
                continue
            row = StubRow(words)
            self.rows.append(row)
            results.append(row)
        return results

    def step(self) -> None:
        self.stepping.set()
        assert self.gate.wait(10)
        if error := self.errors.pop(len(self.moved), None):
            raise error
        self.moved.append(len(self.rows))
        for row in self.rows:
            row.move()

    def leave(self, rows: Sequence[StubRow]) -> None:
        self.rows = [row for row in self.rows if row not in rows]


class Server:
    """A scheduler with its engine, and what each request was sent."""

    def __init__(self, capacity: int = 1, max_queue: int = 8) -> None:
        self.engine = StubEngine(capacity)
        self.lost = Event()
        self.scheduler = Scheduler(self.engine, max_queue, self.lost.set)
        self.sent: dict[str, list[str]] = {}

    def submit(self, text: str) -> Job:
        pieces = self.sent.setdefault(text, [])
        return self.scheduler.submit(lambda: Ask((Turn("user", (text,)),)), pieces.append)

    async def ready(self, count: int) -> None:
        """Waits until that many requests could be let in."""
        async with asyncio.timeout(10):
            while len(self.scheduler._ready) < count:
                await asyncio.sleep(0.001)


async def refusal(job: Job) -> ApiError:
    with pytest.raises(ApiError) as refused:
        await job.answer
    return refused.value


def test_an_answer_comes_in_pieces_and_as_a_whole() -> None:
    async def scenario() -> None:
        server = Server()
        answer = await server.submit("one two three").answer
        assert (answer.text, server.sent["one two three"]) == ("onetwothree", ["one", "two", "three"])

    asyncio.run(scenario())


def test_requests_join_and_leave_while_others_are_being_answered() -> None:
    async def scenario() -> None:
        server = Server(capacity=2)
        server.engine.gate.clear()
        long = server.submit("a b c d e f")
        assert await asyncio.to_thread(server.engine.stepping.wait, 10)
        short = server.submit("x y")
        await server.ready(1)
        third = server.submit("u v")
        await server.ready(2)
        server.engine.gate.set()
        answers = await asyncio.gather(long.answer, short.answer, third.answer)
        assert [answer.text for answer in answers] == ["abcdef", "xy", "uv"]
        assert server.sent["a b c d e f"] == ["a", "b", "c", "d", "e", "f"]
        assert max(server.engine.moved) == 2
        assert len(server.engine.moved) == 5  # all that the long one needs: the others went along
        assert (server.scheduler.steps, server.scheduler.stepped) == (5, 7)

    asyncio.run(scenario())


def test_the_queue_is_bounded() -> None:
    async def scenario() -> None:
        server = Server(capacity=1, max_queue=2)
        server.engine.gate.clear()
        accepted = [server.submit("a b") for _ in range(3)]
        with pytest.raises(ApiError) as refused:
            server.submit("a b")
        assert (refused.value.status, refused.value.code) == (429, "overloaded")
        assert int(refused.value.headers["Retry-After"]) >= 1
        assert server.scheduler.running + server.scheduler.waiting == 3
        server.engine.gate.set()
        await asyncio.gather(*(job.answer for job in accepted))
        assert (await server.submit("c").answer).text == "c"

    asyncio.run(scenario())


def test_a_request_that_is_wrong_fails_alone_and_makes_room_again() -> None:
    async def scenario() -> None:
        server = Server(capacity=2, max_queue=0)

        def wrong() -> Ask:
            raise ApiError("no")

        for _ in range(5):
            assert (await refusal(server.scheduler.submit(wrong, print))).message == "no"
        assert (await server.submit("a b").answer).text == "ab"

    asyncio.run(scenario())


def test_a_row_that_fails_does_not_harm_its_neighbour() -> None:
    async def scenario() -> None:
        server = Server(capacity=2)
        server.engine.gate.clear()
        first = server.submit("a b c d")
        assert await asyncio.to_thread(server.engine.stepping.wait, 10)
        second = server.submit("a sick c d")
        await server.ready(1)
        server.engine.gate.set()
        assert (await first.answer).text == "abcd"
        with pytest.raises(ArithmeticError):
            await second.answer
        assert server.engine.rows == []

    asyncio.run(scenario())


def test_what_is_given_up_leaves_the_queue_or_ends_at_its_next_token() -> None:
    async def scenario() -> None:
        server = Server(capacity=1, max_queue=1)
        server.engine.gate.clear()
        runs = server.submit("a b c d e f")
        assert await asyncio.to_thread(server.engine.stepping.wait, 10)
        waits = server.submit("never")
        waits.give_up()
        with pytest.raises(asyncio.CancelledError):
            await waits.answer
        again = server.submit("x y")  # its place is free at once
        runs.give_up()
        server.engine.gate.set()
        assert (await again.answer).text == "xy"
        assert server.sent["a b c d e f"] == ["a"]
        assert server.sent["never"] == []
        assert (await refusal(runs)).status == 499

    asyncio.run(scenario())


def test_a_stop_lets_run_what_runs_and_refuses_the_rest() -> None:
    async def scenario() -> None:
        server = Server(capacity=1, max_queue=1)
        server.engine.gate.clear()
        runs = server.submit("a b")
        assert await asyncio.to_thread(server.engine.stepping.wait, 10)
        waits = server.submit("c")
        server.scheduler.stop()
        with pytest.raises(ApiError) as refused:
            server.submit("d")
        assert (refused.value.status, refused.value.code) == (503, "stopping")
        server.engine.gate.set()
        assert (await runs.answer).text == "ab"
        with pytest.raises(asyncio.CancelledError):
            await waits.answer

    asyncio.run(scenario())


def test_out_of_memory_at_the_start_is_an_error_of_one_request() -> None:
    async def scenario() -> None:
        server = Server(capacity=2)
        failed = await refusal(server.submit("huge"))
        assert (failed.status, failed.code) == (503, "out_of_memory")
        assert (await server.submit("a b").answer).text == "ab"

    asyncio.run(scenario())


def test_out_of_memory_later_ends_the_newest() -> None:
    async def scenario() -> None:
        server = Server(capacity=2)
        server.engine.gate.clear()
        old = server.submit("a b c d e")
        assert await asyncio.to_thread(server.engine.stepping.wait, 10)
        new = server.submit("u v w x y")
        await server.ready(1)
        server.engine.errors[2] = MemoryError()
        server.engine.gate.set()
        assert (await old.answer).text == "abcde"
        assert (await refusal(new)).code == "out_of_memory"
        assert server.sent["u v w x y"] == ["u", "v"]

    asyncio.run(scenario())


def test_a_pass_that_fails_ends_what_runs_and_the_server_lives() -> None:
    async def scenario() -> None:
        server = Server(capacity=2)
        server.engine.errors[0] = RuntimeError("a bug")
        with pytest.raises(RuntimeError, match="a bug"):
            await server.submit("a b").answer
        assert (await server.submit("a b").answer).text == "ab"
        assert not server.lost.is_set()

    asyncio.run(scenario())


def test_a_lost_device_ends_the_server() -> None:
    async def scenario() -> None:
        server = Server()
        server.engine.errors[0] = DeviceLostError("gone")
        with pytest.raises(DeviceLostError):
            await server.submit("a b").answer
        assert await asyncio.to_thread(server.lost.wait, 10)

    asyncio.run(scenario())
