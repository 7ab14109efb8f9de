"""One answer as it grows: from tokens to text that can be sent, and when it ends."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from .conversation import Completion, FinishReason
from .errors import ApiError
from .stopping import cut, tail_tokens
from .streaming import TextStream


class Decode(Protocol):
    """Tokens to text."""

    def __call__(self, tokens: Sequence[int], *, special: bool) -> str:
        """The text; ``special``: with the special tokens shown."""
        ...


class Answer:
    """Takes in tokens. ``fresh`` is the text that the last one made sure of; ``completion`` is set at the end."""

    def __init__(
        self,
        decode: Decode,
        *,
        prompt_tokens: int,
        room: int,
        ends: Collection[int],
        stops: Sequence[str] = (),
    ) -> None:
        self.tokens: list[int] = []
        self.fresh = ""
        self.completion: Completion | None = None
        self._decode = decode
        self._prompt_tokens = prompt_tokens
        self._room = room
        self._ends = ends
        self._stops = tuple(stops)
        self._tail = tail_tokens(stops)
        self._stream = TextStream(lambda tokens: decode(tokens, special=False), self._stops)

    def push(self, token: int) -> None:
        """Takes in the next token; not to be called once ``completion`` is set."""
        self.tokens.append(token)
        self.fresh = self._stream.push([token])
        # Judged with the special tokens in sight, since a stop string may be one of them.
        stopped = token in self._ends or (
            bool(self._stops) and cut(self._decode(self.tokens[-self._tail :], special=True), self._stops)[1]
        )
        if stopped or len(self.tokens) >= self._room:
            text = cut(self._decode(self.tokens, special=False), self._stops)[0]
            self.fresh += self._stream.rest(text)
            reason: FinishReason = "stop" if stopped else "length"
            self.completion = Completion(text, reason, self._prompt_tokens, len(self.tokens))


def room_for(prompt_tokens: int, wanted: int | None, context: int) -> int:
    """How many tokens an answer may have: what is wanted, else all that the context leaves.

    Raises ``ApiError`` 400 where prompt and answer do not fit into the context.
    """
    room = context - prompt_tokens
    if room < (wanted or 1):
        message = (
            f"the model's context is {context} tokens; the prompt takes {prompt_tokens}"
            f" and the answer may take {wanted or 1}"
        )
        raise ApiError(message, param="messages", code="context_length_exceeded")
    return wanted or room
