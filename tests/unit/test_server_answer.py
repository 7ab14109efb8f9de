from collections.abc import Sequence

import pytest

from orchestrator.server.answer import Answer
from orchestrator.server.conversation import Completion

WORDS = {1: "one ", 2: "two ", 3: "three", 8: "<|end|>", 9: "<|stop|>"}
SPECIAL = {8, 9}


def decode(tokens: Sequence[int], *, special: bool) -> str:
    return "".join(WORDS[token] for token in tokens if special or token not in SPECIAL)


def written(tokens: Sequence[int], *, room: int = 99, stops: Sequence[str] = ()) -> tuple[list[str], Completion | None]:
    answer = Answer(decode, prompt_tokens=5, room=room, ends={8}, stops=stops)
    pieces = []
    for token in tokens:
        assert answer.completion is None
        answer.push(token)
        pieces.append(answer.fresh)
    return pieces, answer.completion


@pytest.mark.parametrize(
    ("tokens", "room", "stops", "text", "reason"),
    [
        ([1, 2, 8], 99, (), "one two ", "stop"),
        ([8], 99, (), "", "stop"),
        ([1, 2], 2, (), "one two ", "length"),
        ([1, 8], 2, (), "one ", "stop"),
        ([1, 2, 3], 99, ("thr",), "one two ", "stop"),
        ([1, 2], 99, (" t",), "one", "stop"),
        ([1, 9], 99, ("<|stop|>",), "one ", "stop"),
    ],
)
def test_an_answer_ends(tokens: list[int], room: int, stops: tuple[str, ...], text: str, reason: str) -> None:
    pieces, completion = written(tokens, room=room, stops=stops)
    assert completion is not None
    assert (completion.text, completion.finish_reason, completion.prompt_tokens) == (text, reason, 5)
    assert completion.completion_tokens == len(tokens)
    assert "".join(pieces) == text


def test_it_goes_on_until_then() -> None:
    assert written([1, 2, 3]) == (["one ", "two ", "three"], None)
