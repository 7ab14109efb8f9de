"""The prompt of Phi-3-vision and Phi-3.5-vision, as in their template and on their model cards."""

from __future__ import annotations

from collections.abc import Sequence

from ..conversation import Turn
from ..errors import ApiError
from .marks import Mark, Piece, images_of_users, pieces_of

#: What ends an answer: the end of a message, the end of all, and the beginning of a message that nobody asked for.
ENDS = ("<|end|>", "<|endoftext|>", "<|assistant|>")
_END, _ASSISTANT = Mark(ENDS[0]), Mark(ENDS[2])


def pieces(turns: Sequence[Turn]) -> list[Piece]:
    """The prompt of a conversation; each part of a message is a line.

    Raises ``ApiError`` 400 for images outside the user's messages, and where the last message is not the user's.
    """
    images_of_users(turns, "Phi-3-vision")
    if turns[-1].role != "user":
        message = "Phi-3-vision answers the user: the last message must be the user's"
        raise ApiError(message, param="messages", code="invalid_value")
    made: list[Piece] = []
    for turn in turns:
        made += [Mark(f"<|{turn.role}|>")]
        for piece in pieces_of(turn):
            made += ["\n", piece]
        made += [_END, "\n"]
    return [*made, _ASSISTANT, "\n"]
