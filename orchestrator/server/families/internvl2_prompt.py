"""The prompt of InternVL2 with InternLM2 inside: the published template ``internlm2-chat``, as text and marks."""

from __future__ import annotations

from collections.abc import Sequence

from ..conversation import Turn
from ..errors import ApiError
from .marks import IMAGE, Mark, Piece, images_of_users

TEMPLATE = "internlm2-chat"
#: The ends of a message. The second one ends an answer too.
START, END = Mark("<|im_start|>"), Mark("<|im_end|>")


def pieces(turns: Sequence[Turn], system: str) -> list[Piece]:
    """The prompt of a conversation. ``system``: the model's own system prompt, where the conversation has none.

    A message's images come before its text, as in the published code; they are numbered where there are several.

    Raises ``ApiError`` 400 for a conversation that the template has no form for.
    """
    _check(turns)
    named = turns[0].role == "system"
    spoken = turns[1:] if named else turns
    made: list[Piece] = [START, f"system\n{turns[0].text if named else system}", END]
    numbered, number = sum(len(turn.images) for turn in spoken) > 1, 0
    for turn in spoken:
        text = f"{turn.role}\n"
        made.append(START)
        for _ in turn.images:
            number += 1
            made += [f"{text}Image-{number}: " if numbered else text, IMAGE]
            text = "\n"
        made += [text + turn.text, END]
    return [*made, START, "assistant\n"]


def _check(turns: Sequence[Turn]) -> None:
    images_of_users(turns, "InternVL2")
    wrong = None
    if any(turn.role == "system" for turn in turns[1:]):
        wrong = "InternVL2 takes one system prompt, as the first message"
    elif turns[-1].role != "user":
        wrong = "InternVL2 answers the user: the last message must be the user's"
    if wrong:
        raise ApiError(wrong, param="messages", code="invalid_value")
