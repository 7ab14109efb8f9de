"""The prompt of dots.ocr, as its template for texts has it.

The repository's other template, for messages in parts, leaves out the marks around the user's message by a slip; its
own client for vLLM writes them.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..conversation import Turn
from .marks import Mark, Piece, images_of_users, pieces_of

END, PATCH = "<|endoftext|>", "<|imgpad|>"
END_ANSWER = "<|endofassistant|>"
_BEFORE, _AFTER = Mark("<|img|>"), Mark("<|endofimg|>")
_USER, _END_USER = Mark("<|user|>"), Mark("<|endofuser|>")
_ASSISTANT, _END_ASSISTANT = Mark("<|assistant|>"), Mark(END_ANSWER)


def pieces(turns: Sequence[Turn]) -> list[Piece]:
    """The prompt of a conversation. Where the last message is the assistant's, the model goes on with it.

    Raises ``ApiError`` 400 for images outside the user's messages.
    """
    images_of_users(turns, "dots.ocr")
    made: list[Piece] = []
    for turn in turns:
        parts = pieces_of(turn, [_BEFORE], [_AFTER])
        if turn.role == "user":
            made += [_USER, *parts, _END_USER]
        elif turn.role == "assistant":
            made += [_ASSISTANT, *parts, _END_ASSISTANT]
        else:
            # Plain text: the tokenizer has marks of other names, which the template does not use.
            made += ["<|system|>", *parts, "<|endofsystem|>\n"]
    return made[:-1] if turns[-1].role == "assistant" else [*made, _ASSISTANT]
