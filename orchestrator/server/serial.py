"""Generation by a model that answers one request at a time, with a loop of its own that hands out pieces of text."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from .conversation import Ask, Completion, FinishReason
from .errors import DeviceLostError
from .streaming import StopFilter

_log = logging.getLogger("server")

Pieces = Generator[str, None, None]


@dataclass(frozen=True, slots=True)
class Errand:
    """A request that is ready. ``room``: how many tokens its answer may have; ``begin`` touches the model lazily."""

    ask: Ask
    prompt_tokens: int
    room: int
    begin: Callable[[], Pieces]


@runtime_checkable
class Narrator(Protocol):
    """A loaded model with a loop of its own."""

    #: passes of the model for the present answer, each of which read one token of it
    passes: int

    def prepare(self, ask: Ask) -> Errand:
        """Makes the model's input. From any thread. Raises ``ApiError`` 400 for what does not fit."""
        ...


class Row:
    """The request that is being answered."""

    def __init__(self, errand: Errand, narrator: Narrator, stops: Sequence[str]) -> None:
        self.failure: Exception | None = None
        self.fresh = ""
        self.completion: Completion | None = None
        self._errand = errand
        self._narrator = narrator
        self._filter = StopFilter(stops)
        self._pieces = errand.begin()
        self._text = ""

    def advance(self) -> None:
        """Takes in the next piece. Errors of the model come as they are."""
        piece = next(self._pieces, None)
        self.fresh = self._filter.rest() if piece is None else self._filter.push(piece)
        self._text += self.fresh
        if piece is None or self._filter.stopped:
            self.close()
            self.completion = self._whole()

    def close(self) -> None:
        """Ends the model's loop."""
        self._pieces.close()

    def _whole(self) -> Completion:
        passes, room = self._narrator.passes, self._errand.room
        reason: FinishReason = "stop" if self._filter.stopped or passes < room else "length"
        # One token more than were read again: the one that ended the answer, or was being told.
        return Completion(self._text, reason, self._errand.prompt_tokens, min(passes + 1, room))


class SerialEngine:
    """Answers one request at a time. All but ``prepare`` are for one thread.

    ``meaning`` turns an error into what the scheduler knows: ``MemoryError``, ``DeviceLostError``, or itself.
    """

    capacity = 1

    def __init__(
        self, narrator: Narrator, *, meaning: Callable[[Exception], Exception], stop: tuple[str, ...] = ()
    ) -> None:
        self.rows: list[Row] = []
        self._narrator = narrator
        self._meaning = meaning
        self._stop = stop

    def prepare(self, ask: Ask) -> Errand:
        """Makes the model's input. Raises ``ApiError`` 400 for what does not fit."""
        return self._narrator.prepare(ask)

    def join(self, prepared: Sequence[Errand]) -> list[Row | Exception]:
        """Begins requests; for each its row with the first piece of its answer, or why it failed."""
        results: list[Row | Exception] = []
        for errand in prepared:
            row = Row(errand, self._narrator, (*errand.ask.sampling.stop, *self._stop))
            self._advance(row)
            if row.failure is None:
                self.rows.append(row)
            results.append(row.failure or row)
        return results

    def step(self) -> None:
        """The next piece. Raises ``DeviceLostError`` where CUDA has failed for good."""
        for row in self.rows:
            self._advance(row)

    def leave(self, rows: Sequence[Row]) -> None:
        """Takes rows out; what they were writing ends."""
        for row in rows:
            row.close()
        self.rows = [row for row in self.rows if row not in rows]

    def _advance(self, row: Row) -> None:
        try:
            row.advance()
        except Exception as error:
            failure = self._meaning(error)
            if isinstance(failure, DeviceLostError):
                raise failure from error
            if failure is error:
                _log.exception("a request failed")
            row.failure = failure.with_traceback(None)
