"""An answer in pieces: text that is safe to send as tokens come, and OpenAI's chunks as server-sent events."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .conversation import Completion
from .stopping import cut

#: What a decoder puts in the place of a character whose bytes have not all come.
_UNFINISHED = "\ufffd"
DONE = "data: [DONE]\n\n"


def held_back(text: str, stops: Sequence[str]) -> int:
    """How many of the last characters may be the beginning of a stop string."""
    longest = min(max((len(stop) for stop in stops), default=0) - 1, len(text))
    for count in range(longest, 0, -1):
        if any(stop.startswith(text[-count:]) for stop in stops):
            return count
    return 0


class StopFilter:
    """Lets text through up to the first stop string; what may become one is held back until that is clear."""

    def __init__(self, stops: Sequence[str]) -> None:
        self.stopped = False
        self._stops = stops
        self._held = ""

    def push(self, text: str) -> str:
        """The text that can be sent after this further text; often none."""
        if self.stopped:
            return ""
        text, self.stopped = cut(self._held + text, self._stops)
        count = 0 if self.stopped else held_back(text, self._stops)
        self._held = text[len(text) - count :]
        return text[: len(text) - count]

    def rest(self) -> str:
        """What is still held back, once no more text comes."""
        return self._held


class TextStream:
    """Turns tokens into text that will not change any more.

    Held back: a character until all its bytes have come, and what may become a stop string.
    """

    def __init__(self, decode: Callable[[list[int]], str], stops: Sequence[str]) -> None:
        self._decode = decode
        self._filter = StopFilter(stops)
        # Tokens already sent stay as context, since some tokenizers write the first token differently.
        self._window: list[int] = []
        self._context = 0
        self._seen = 0
        self._sent = 0

    def push(self, tokens: Sequence[int]) -> str:
        """The text that can be sent after these further tokens; often none."""
        if self._filter.stopped:
            return ""
        ready = self._filter.push(self._characters(tokens))
        self._sent += len(ready)
        return ready

    def rest(self, answer: str) -> str:
        """What is still to be sent of the whole answer."""
        return answer[self._sent :]

    def _characters(self, tokens: Sequence[int]) -> str:
        self._window += tokens
        text = self._decode(self._window)
        # Some decoders write one mark for each byte of an unfinished character, and of finished ones just before it.
        new = text[self._seen :].rstrip(_UNFINISHED)
        self._seen += len(new)
        if new and not text.endswith(_UNFINISHED):
            self._window = self._window[self._context :]
            self._context = len(self._window)
            self._seen = len(self._decode(self._window))
        return new


def event(data: dict[str, Any]) -> str:
    """One server-sent event. Non-ASCII is escaped, so no client can take a character for a line's end."""
    return f"data: {json.dumps(data, separators=(',', ':'))}\n\n"


@dataclass(frozen=True, slots=True)
class Chunks:
    """The chunks of one answer; ``created`` in Unix seconds."""

    request_id: str
    created: int
    model: str
    include_usage: bool

    def role(self) -> str:
        """The first chunk: who speaks."""
        return self._choice({"role": "assistant", "content": ""})

    def text(self, text: str) -> str:
        """A piece of the answer."""
        return self._choice({"content": text})

    def end(self, completion: Completion) -> str:
        """The last chunks: why it ended, usage where it was asked for, and the end of the stream."""
        last = self._choice({}, completion.finish_reason)
        usage = self._chunk([], completion.usage()) if self.include_usage else ""
        return last + usage + DONE

    def _choice(self, delta: dict[str, str], finish_reason: str | None = None) -> str:
        return self._chunk([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}], None)

    def _chunk(self, choices: list[dict[str, Any]], usage: dict[str, int] | None) -> str:
        chunk: dict[str, Any] = {
            "id": self.request_id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }
        return event({**chunk, "usage": usage} if self.include_usage else chunk)
