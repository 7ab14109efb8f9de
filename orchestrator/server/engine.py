"""Generation: one answer at a time, by transformers' ``generate``."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from threading import Event
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from .conversation import Completion, Sampling, Turn
from .errors import ApiError
from .families.base import Adapter
from .stopping import cut, tail_tokens
from .streaming import TextStream

_log = logging.getLogger("server")


#: Below it the sampler would divide by so little that numbers overflow; the likeliest token wins anyway.
_COLDEST = 1e-3


class _EachToken(StoppingCriteria):  # type: ignore[misc]
    """Sends text as it comes; ends generation at a stop string, or when nobody waits for the answer any more."""

    def __init__(
        self,
        tokenizer: Any,
        prompt_tokens: int,
        stops: Sequence[str],
        cancelled: Event,
        send: Callable[[str], None],
    ) -> None:
        self.text = TextStream(lambda tokens: str(tokenizer.decode(tokens, skip_special_tokens=True)), stops)
        self._tokenizer = tokenizer
        self._begin = self._next = prompt_tokens
        self._stops = stops
        self._tail = tail_tokens(stops)
        self._cancelled = cancelled
        self._send = send

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:  # noqa: ARG002 (the signature is transformers')
        done = self._cancelled.is_set()
        if not done:
            self._send(self.text.push(input_ids[0, self._next :].tolist()))
            self._next = input_ids.shape[1]
        if self._stops and not done:
            answer = input_ids[0, self._begin :][-self._tail :]
            done = cut(self._tokenizer.decode(answer), self._stops)[1]
        return torch.full((input_ids.shape[0],), done, dtype=torch.bool, device=input_ids.device)


class Engine:
    """Answers conversations with one loaded model. Not for several threads at once."""

    def __init__(self, adapter: Adapter, *, max_model_len: int, stop: tuple[str, ...] = ()) -> None:
        self._adapter = adapter
        self._max_model_len = max_model_len
        self._stop = stop
        eos = adapter.model.generation_config.eos_token_id
        self._ends = set(eos if isinstance(eos, list) else [eos])

    def complete(
        self, turns: Sequence[Turn], sampling: Sampling, cancelled: Event, send: Callable[[str], None]
    ) -> Completion:
        """The answer; cut short when ``cancelled`` is set. ``send`` gets the text of each token, which may be empty.

        Raises ``ApiError`` 400 where prompt and answer pass the context, ``MemoryError`` where a GPU's memory runs out.
        """
        began = time.monotonic()
        completion = None
        with contextlib.suppress(torch.OutOfMemoryError):
            completion = self._complete(turns, sampling, cancelled, send)
        if completion is None:
            # Only here: the error, while it was handled, held the tensors of the request.
            torch.cuda.empty_cache()
            raise MemoryError("the GPU's memory ran out on this request")
        _log.info(
            "answered: %d prompt tokens, %d tokens, %s, %.2f s",
            completion.prompt_tokens,
            completion.completion_tokens,
            "cancelled" if cancelled.is_set() else completion.finish_reason,
            time.monotonic() - began,
        )
        return completion

    def _complete(
        self, turns: Sequence[Turn], sampling: Sampling, cancelled: Event, send: Callable[[str], None]
    ) -> Completion:
        inputs = self._adapter.encode(turns)
        prompt_tokens = int(inputs["input_ids"].shape[1])
        stops = (*sampling.stop, *self._stop)
        criteria = _EachToken(self._adapter.tokenizer, prompt_tokens, stops, cancelled, send)
        if sampling.seed is None:
            torch.seed()  # else what follows a seeded request would be foreseeable
        else:
            torch.manual_seed(sampling.seed)
        with torch.inference_mode():
            output = self._adapter.model.generate(
                **inputs,
                **_choice(sampling),
                max_new_tokens=self._room(prompt_tokens, sampling.max_tokens),
                stopping_criteria=StoppingCriteriaList([criteria]),
            )
        answer = output[0, prompt_tokens:].tolist()
        # Judged with the special tokens in sight, since a stop string may be one of them.
        stopped = cut(self._adapter.tokenizer.decode(answer), stops)[1] or (bool(answer) and answer[-1] in self._ends)
        text = cut(self._adapter.tokenizer.decode(answer, skip_special_tokens=True), stops)[0]
        send(criteria.text.rest(text))
        return Completion(text, "stop" if stopped else "length", prompt_tokens, len(answer))

    def _room(self, prompt_tokens: int, max_tokens: int | None) -> int:
        room = self._max_model_len - prompt_tokens
        if room < (max_tokens or 1):
            message = (
                f"the model's context is {self._max_model_len} tokens; the prompt takes {prompt_tokens}"
                f" and the answer may take {max_tokens or 1}"
            )
            raise ApiError(message, param="messages", code="context_length_exceeded")
        return max_tokens or room


def _choice(sampling: Sampling) -> dict[str, Any]:
    """The arguments of ``generate`` that choose tokens; none where the model's own config is to decide.

    What the caller leaves out is as in OpenAI's API then: a model's own top_k of 1 would make any temperature greedy.
    """
    temperature, top_p = sampling.temperature, sampling.top_p
    if temperature is None and top_p is None:
        return {}
    if temperature is not None and temperature < _COLDEST:
        return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    return {
        "do_sample": True,
        "temperature": 1.0 if temperature is None else temperature,
        "top_p": 1.0 if top_p is None else top_p,
        "top_k": 0,
    }
