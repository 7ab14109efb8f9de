from collections.abc import Iterator

import pytest

from orchestrator.server.answer import room_for
from orchestrator.server.conversation import Ask, Completion, Sampling, Turn
from orchestrator.server.errors import ApiError, DeviceLostError
from orchestrator.server.serial import Errand, Narrator, Pieces, Row, SerialEngine


class StubNarrator:
    """Says the words of its question, each a token; ``error`` comes in the place of the word "sick"."""

    def __init__(self, error: Exception | None = None) -> None:
        self.passes = 0
        self.closed = 0
        self._error = error

    def prepare(self, ask: Ask) -> Errand:
        words = ask.turns[0].text.split()
        room = ask.sampling.max_tokens or 99
        return Errand(ask, len(words), room, lambda: self._say(words, room))

    def _say(self, words: list[str], room: int) -> Pieces:
        self.passes = 0
        try:
            for word in words[:room]:
                if word == "sick" and self._error:
                    raise self._error
                yield f"{word} "
                self.passes += 1
        finally:
            self.closed += 1


def engine(error: Exception | None = None, meant: Exception | None = None) -> tuple[SerialEngine, StubNarrator]:
    narrator = StubNarrator(error)
    return SerialEngine(narrator, meaning=lambda found: meant or found, stop=("END",)), narrator


def ask(text: str, max_tokens: int | None = None, stop: tuple[str, ...] = ()) -> Ask:
    return Ask((Turn("user", (text,)),), Sampling(max_tokens=max_tokens, stop=stop))


def begun(served: SerialEngine, asked: Ask) -> Row:
    row = served.join([served.prepare(asked)])[0]
    assert isinstance(row, Row)
    return row


def written(served: SerialEngine, asked: Ask) -> tuple[list[str], Completion]:
    row = begun(served, asked)

    def pieces() -> Iterator[str]:
        yield row.fresh
        while row.completion is None:
            served.step()
            yield row.fresh

    said = list(pieces())
    assert row.completion is not None
    served.leave([row])
    return said, row.completion


def test_the_stub_is_a_narrator() -> None:
    assert isinstance(StubNarrator(), Narrator)


# The token that ends an answer counts, as it does in every other family.
@pytest.mark.parametrize(
    ("asked", "text", "reason", "tokens"),
    [
        (ask("one two"), "one two ", "stop", 3),
        (ask("one two", max_tokens=3), "one two ", "stop", 3),
        (ask("one two", max_tokens=2), "one two ", "length", 2),
        (ask("one two three", max_tokens=1), "one ", "length", 1),
        (ask("one two three", stop=("two",)), "one ", "stop", 2),
        (ask("one two END three"), "one two ", "stop", 3),
    ],
)
def test_an_answer_ends(asked: Ask, text: str, reason: str, tokens: int) -> None:
    pieces, completion = written(engine()[0], asked)
    assert "".join(pieces) == completion.text == text
    assert (completion.finish_reason, completion.completion_tokens) == (reason, tokens)


def test_what_may_become_a_stop_string_is_held_back() -> None:
    pieces, _ = written(engine()[0], ask("one two three", stop=(" thrice",)))
    assert pieces == ["one", " two", " three", " "]


def test_who_leaves_ends_the_model_s_loop() -> None:
    served, narrator = engine()
    row = begun(served, ask("one two three"))
    served.leave([row])
    assert (served.rows, narrator.closed) == ([], 1)


@pytest.mark.parametrize("text", ["sick", "one sick"])
def test_a_failure_is_one_request_s(text: str) -> None:
    error, meant = RuntimeError("CUDA: no memory"), MemoryError("no memory")
    served, _ = engine(error, meant)
    found = served.join([served.prepare(ask(text))])[0]
    if isinstance(found, Row):
        served.step()
        served.leave([found])
        found = found.failure or found
    assert (found, served.rows) == (meant, [])
    assert written(served, ask("well"))[1].text == "well "


def test_a_lost_device_is_told() -> None:
    served, _ = engine(RuntimeError(), DeviceLostError("lost"))
    begun(served, ask("one sick"))
    with pytest.raises(DeviceLostError):
        served.step()


def test_the_room_of_an_answer() -> None:
    assert room_for(10, None, 30) == 20
    assert room_for(10, 20, 30) == 20
    for prompt, wanted in ((10, 21), (30, None), (40, 1)):
        with pytest.raises(ApiError, match="context is 30 tokens") as caught:
            room_for(prompt, wanted, 30)
        assert caught.value.code == "context_length_exceeded"
