"""A prompt as marks and texts, and its tokens: nothing that a caller writes can become a mark of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..conversation import Turn
from ..errors import ApiError


@dataclass(frozen=True, slots=True)
class Mark:
    """One of the model's own marks, by its text in the tokenizer."""

    text: str


#: The place of the next image.
IMAGE = Mark("(image)")

Piece = str | Mark


def pieces_of(turn: Turn, before: Sequence[Piece] = (), after: Sequence[Piece] = ()) -> Iterator[Piece]:
    """The parts of a message in their order, each image between what stands ``before`` and ``after`` one."""
    for part in turn.parts:
        if isinstance(part, str):
            yield part
        else:
            yield from (*before, IMAGE, *after)


def images_of_users(turns: Sequence[Turn], what: str) -> None:
    """Raises ``ApiError`` 400 where another message than the user's holds an image."""
    if any(turn.images for turn in turns if turn.role != "user"):
        message = f"{what} takes images in the user's messages only"
        raise ApiError(message, param="messages", code="invalid_value")


@dataclass(frozen=True, slots=True)
class Scribe:
    """Turns pieces into tokens.

    ``marks``: the tokens of the marks; ``swallowing``: those that take the blanks behind them; ``plain``: the tokens of
    a text, in which it sees no marks.
    """

    marks: Mapping[str, int]
    swallowing: frozenset[str]
    plain: Callable[[str], list[int]]

    def write(self, pieces: Sequence[Piece], images: Sequence[Sequence[int]] = ()) -> list[int]:
        """The tokens; ``images`` are those of each image, in order. Texts that touch are read as one."""
        tokens: list[int] = []
        waiting = iter(images)
        text, swallow = "", False
        for piece in (*pieces, None):
            if isinstance(piece, str):
                text += piece
                continue
            text = text.lstrip() if swallow else text
            tokens += self.plain(text) if text else []
            if piece is not None:
                tokens += next(waiting) if piece is IMAGE else [self.marks[piece.text]]
                text, swallow = "", piece.text in self.swallowing
        return tokens


def scribe_of(tokenizer: Any, plain: Any) -> Scribe:
    """A scribe by a fast tokenizer of transformers and a second one that was loaded with ``split_special_tokens``.

    There are two, since a tokenizer that is told call by call keeps what it was told last, whichever thread told it.
    """
    added = tokenizer.added_tokens_decoder.items()
    return Scribe(
        {str(mark.content): token for token, mark in added},
        frozenset(str(mark.content) for _, mark in added if mark.rstrip),
        lambda text: list(plain(text, add_special_tokens=False).input_ids),
    )
