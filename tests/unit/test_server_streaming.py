import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.server.conversation import Completion
from orchestrator.server.stopping import cut
from orchestrator.server.streaming import DONE, Chunks, TextStream, event, held_back


def decode(tokens: list[int]) -> str:
    """A byte-level tokenizer with one token per byte."""
    return bytes(tokens).decode(errors="replace")


def stream(text: str, stops: list[str]) -> tuple[list[str], str]:
    """The pieces that are sent while the bytes come, up to a stop string; and the whole answer."""
    made = TextStream(decode, stops)
    pieces: list[str] = []
    tokens: list[int] = []
    for byte in text.encode():
        tokens.append(byte)
        pieces.append(made.push([byte]))
        if cut(decode(tokens), stops)[1]:
            break
    answer = cut(decode(tokens), stops)[0]
    return [*pieces, made.rest(answer)], answer


def data(text: str) -> list[Any]:
    """The JSON of each event but the last, [DONE]."""
    return [json.loads(part.removeprefix("data: ")) for part in text.removesuffix(DONE).split("\n\n") if part]


# Few letters, so that stop strings are met; some characters of two, three and four bytes.
LETTERS = st.text(alphabet="abй€🙂", max_size=30)


@given(LETTERS, st.lists(st.text(alphabet="abй€🙂", min_size=1, max_size=4), max_size=4))
def test_the_pieces_are_the_answer_and_no_piece_has_to_be_taken_back(text: str, stops: list[str]) -> None:
    pieces, answer = stream(text, stops)
    assert "".join(pieces) == answer
    assert not any("\ufffd" in piece for piece in pieces)
    sent = ""
    for piece in pieces:
        sent += piece
        assert not any(stop in sent for stop in stops)


@given(st.text(max_size=30))
def test_any_text_comes_whole(text: str) -> None:
    assert "".join(stream(text, [])[0]) == text


@given(st.binary(max_size=30))
def test_bytes_that_are_no_text_come_as_the_plain_answer_has_them(raw: bytes) -> None:
    made = TextStream(decode, [])
    sent = "".join(made.push([byte]) for byte in raw)
    assert sent + made.rest(decode(list(raw))) == decode(list(raw))


def test_a_character_waits_for_its_last_byte() -> None:
    made = TextStream(decode, [])
    assert [made.push([byte]) for byte in "€".encode()] == ["", "", "€"]


@given(LETTERS)
def test_decoders_that_write_a_mark_for_each_byte_are_waited_for_too(text: str) -> None:
    def by_bytes(tokens: list[int]) -> str:
        """As tokenizers with byte fallback: one broken end spoils all the bytes before it."""
        try:
            return bytes(tokens).decode()
        except UnicodeDecodeError:
            return "\ufffd" * len(tokens)

    made = TextStream(by_bytes, [])
    assert "".join(made.push([byte]) for byte in text.encode()) == text


def test_the_beginning_of_a_stop_string_is_held_back() -> None:
    assert held_back("xab", ["abc", "bd"]) == 2
    assert held_back("xb", ["abc", "bd"]) == 1
    assert held_back("x", ["abc"]) == 0
    assert held_back("x", []) == 0
    assert stream("one END two", ["END"])[0][:5] == ["o", "n", "e", " ", ""]


def test_a_stream_has_the_shape_of_openai() -> None:
    chunks = Chunks("id", 5, "demo", include_usage=False)
    first, piece, last = data(chunks.role() + chunks.text("й") + chunks.end(Completion("й", "stop", 3, 2)))
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert (piece["choices"][0]["delta"], piece["choices"][0]["finish_reason"]) == ({"content": "й"}, None)
    assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"]) == ({}, "stop")
    for chunk in (first, piece, last):
        assert (chunk["id"], chunk["object"], chunk["created"]) == ("id", "chat.completion.chunk", 5)
        assert "usage" not in chunk
    assert chunks.end(Completion("", "length", 3, 2)).endswith("data: [DONE]\n\n")


def test_usage_comes_last_and_only_when_asked_for() -> None:
    chunks = Chunks("id", 5, "demo", include_usage=True)
    first, _, usage = data(chunks.role() + chunks.end(Completion("", "stop", 3, 2)))
    assert first["usage"] is None
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


@given(st.text())
def test_an_event_is_one_line(text: str) -> None:
    line = event({"text": text})
    assert line.splitlines()[1:] == [""]
    assert json.loads(line.removeprefix("data: ")) == {"text": text}
