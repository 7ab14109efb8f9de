"""Generation: several answers at a time, a token of each in one pass of the model (continuous batching)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .answer import Answer, room_for
from .batch import Batch
from .choosing import Chooser
from .config import Config
from .conversation import Ask, Completion
from .errors import ApiError, DeviceLostError
from .families.base import Adapter, Encoded
from .scheduler import Engine as Served
from .serial import Narrator, SerialEngine

_log = logging.getLogger("server")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that is ready to be read by the model. ``room``: how many tokens its answer may have."""

    ask: Ask
    encoded: Encoded
    room: int


class Row:
    """A request that is being answered."""

    def __init__(self, answer: Answer, chooser: Chooser, prompt: list[int], position: int) -> None:
        self.failure: Exception | None = None
        self.position = position
        self._answer = answer
        self._chooser = chooser
        self._prompt = prompt

    @property
    def fresh(self) -> str:
        """The text that the last token made sure of."""
        return self._answer.fresh

    @property
    def completion(self) -> Completion | None:
        """The answer once it is whole."""
        return self._answer.completion

    @property
    def last(self) -> int:
        """The token that was chosen last."""
        return self._answer.tokens[-1]

    def take(self, scores: torch.Tensor, likeliest: int) -> None:
        """Chooses the next token. A failure is this row's alone."""
        try:
            seen = () if self._chooser.likeliest else (*self._prompt, *self._answer.tokens)
            token = likeliest if self._chooser.likeliest else self._chooser.choose(scores, seen)
            self._answer.push(token)
        except Exception as error:  # noqa: BLE001 - the caller gets it
            _log.exception("a request failed")
            self.failure = error.with_traceback(None)


class Engine:
    """Answers with one loaded model. All but ``prepare`` are for one thread.

    ``capacity``: how many rows there may be. ``images_at_once``: how many images one pass may read when requests begin
    together; a single request may hold more.
    """

    def __init__(
        self,
        adapter: Adapter,
        *,
        capacity: int,
        max_model_len: int,
        images_at_once: int = 1,
        stop: tuple[str, ...] = (),
    ) -> None:
        self.capacity = capacity
        self.rows: list[Row] = []
        self._adapter = adapter
        self._max_model_len = max_model_len
        self._images_at_once = images_at_once
        self._stop = stop
        self._batch = Batch(adapter.pack)

    def prepare(self, ask: Ask) -> Prepared:
        """Turns a request into the model's input. From any thread; the GPU is not touched.

        Raises ``ApiError`` 400 where it does not fit the model or its context.
        """
        encoded = self._adapter.encode(ask.turns, ask.options)
        prompt = encoded.inputs["input_ids"].shape[1]
        return Prepared(ask, encoded, room_for(prompt, ask.sampling.max_tokens, self._max_model_len))

    def join(self, prepared: Sequence[Prepared]) -> list[Row | Exception]:
        """Reads requests and chooses their first tokens; for each its row, or why it failed.

        Those that can be are read together. When that fails each is tried alone, so that only the bad one fails.
        """
        results: list[Row | Exception] = []
        for group in self._groups(prepared):
            results += self._read(group)
        return results

    def step(self) -> None:
        """One token more for each row.

        Raises ``MemoryError`` where there is not enough; all rows are then as they were, and fewer may fit. Raises
        ``DeviceLostError`` where CUDA has failed for good.
        """
        tokens = torch.tensor([[row.last] for row in self.rows], device=self._adapter.device)
        positions = torch.tensor([row.position for row in self.rows], device=self._adapter.device)
        mask, result = self._batch.next_mask(), None
        try:
            with torch.inference_mode():
                result = self._adapter.step(tokens, positions, mask, self._batch.cache)
        except (RuntimeError, MemoryError) as error:
            if not _out_of_memory(error):
                raise _lost(error) from error
        if result is None:
            # Only here: the error, while it was handled, held the tensors of the pass.
            self._batch.restore()
            raise _no_memory()
        self._batch.grown(result[1], mask)
        for row in self.rows:
            row.position += 1
        _choose(self.rows, result[0])

    def leave(self, rows: Sequence[Row]) -> None:
        """Takes rows out."""
        if rows:
            kept = [index for index, row in enumerate(self.rows) if row not in rows]
            self.rows = [self.rows[index] for index in kept]
            self._batch.keep(kept)

    def _groups(self, prepared: Sequence[Prepared]) -> Iterator[list[Prepared]]:
        group: list[Prepared] = []
        images = tokens = 0
        for one in prepared:
            size = one.encoded.inputs["input_ids"].shape[1]
            images, tokens = images + one.encoded.images, tokens + size
            fits = self._adapter.joint and images <= self._images_at_once and tokens <= self._max_model_len
            if group and not fits:
                yield group
                group, images, tokens = [], one.encoded.images, size
            group.append(one)
        if group:
            yield group

    def _read(self, group: list[Prepared]) -> list[Row | Exception]:
        failure: Exception | None = None
        try:
            return list(self._begin(group))
        except Exception as error:
            if isinstance(error, torch.AcceleratorError):
                raise _lost(error) from error
            if len(group) == 1 and not isinstance(error, ApiError) and not _out_of_memory(error):
                _log.exception("a request failed")
            failure = _no_memory() if _out_of_memory(error) else error.with_traceback(None)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(group) == 1:
            return [failure]
        return [result for one in group for result in self._read([one])]

    def _begin(self, group: list[Prepared]) -> list[Row]:
        with torch.inference_mode():
            begun = self._adapter.begin([one.encoded for one in group])
        rows = [self._row(one, position) for one, position in zip(group, begun.positions, strict=True)]
        with torch.inference_mode():
            self._batch.join(begun.layers, begun.mask)
        self.rows += rows
        _choose(rows, begun.scores)
        return rows

    def _row(self, prepared: Prepared, position: int) -> Row:
        sampling, prompt = prepared.ask.sampling, prepared.encoded.tokens
        answer = Answer(
            self._adapter.decode,
            prompt_tokens=len(prompt),
            room=prepared.room,
            ends=self._adapter.ends,
            stops=(*sampling.stop, *self._stop),
        )
        return Row(answer, Chooser(sampling, self._adapter.defaults, self._adapter.device), prompt, position)


def _choose(rows: Sequence[Row], scores: torch.Tensor) -> None:
    best, tokens = scores.max(-1)
    for row, value, token, own in zip(rows, best.tolist(), tokens.tolist(), scores, strict=True):
        if value != value:  # noqa: PLR0124 (not a number)
            row.failure = ArithmeticError("the model's scores are not numbers")
        else:
            row.take(own, token)


def _out_of_memory(error: Exception) -> bool:
    """Whether memory ran out: the GPU's, or the machine's, for which PyTorch has no exception of its own."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def _lost(error: Exception) -> Exception:
    """After an error of CUDA itself, every further call of the process fails: not verified here on a GPU."""
    if isinstance(error, torch.AcceleratorError):
        return DeviceLostError(f"the GPU is lost to this process: {error}")
    return error


def _no_memory() -> MemoryError:
    return MemoryError("the memory ran out on this request")


def _meaning(error: Exception) -> Exception:
    """An error as the scheduler knows it."""
    return _no_memory() if _out_of_memory(error) else _lost(error)


def engine_for(adapter: Adapter | Narrator, config: Config) -> Served[Any, Any]:
    """The engine that suits the adapter."""
    if isinstance(adapter, Narrator):
        return SerialEngine(adapter, meaning=_meaning, stop=config.stop)
    return Engine(
        adapter,
        capacity=min(config.max_num_seqs, adapter.most_rows or config.max_num_seqs),
        max_model_len=config.max_model_len,
        images_at_once=config.images_at_once,
        stop=config.stop,
    )


def gpu_memory() -> int | None:
    """Bytes of the GPU that PyTorch holds; None without one."""
    return torch.cuda.memory_reserved() if torch.cuda.is_available() else None
