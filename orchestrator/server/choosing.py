"""The next token from a model's scores, for each request by its own rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from .conversation import Sampling

#: Below it the scores would be divided by so little that numbers overflow; the likeliest token wins anyway.
_COLDEST = 1e-3


class Chooser:
    """The rules of one request: transformers' own processors, and a random generator of its own.

    So what a seed gives does not depend on who else is being answered.
    """

    def __init__(self, sampling: Sampling, defaults: Any, device: torch.device) -> None:
        self._processors = LogitsProcessorList()
        penalty = getattr(defaults, "repetition_penalty", None)
        if penalty is not None and penalty != 1.0:
            self._processors.append(RepetitionPenaltyLogitsProcessor(penalty))
        rules = rules_of(sampling, defaults)
        if rules is not None:
            temperature, top_k, top_p = rules
            if temperature != 1.0:
                self._processors.append(TemperatureLogitsWarper(temperature))
            if top_k:
                self._processors.append(TopKLogitsWarper(top_k))
            if top_p < 1.0:
                self._processors.append(TopPLogitsWarper(top_p))
        self._generator: torch.Generator | None = None
        if rules is not None:
            self._generator = torch.Generator(device)
            if sampling.seed is None:
                self._generator.seed()
            else:
                self._generator.manual_seed(sampling.seed)

    @property
    def likeliest(self) -> bool:
        """Whether it is always the token with the highest score."""
        return self._generator is None and not self._processors

    def choose(self, scores: torch.Tensor, seen: Sequence[int]) -> int:
        """The next token. ``scores``: one number for each token; ``seen``: the tokens so far, prompt and answer."""
        # Some families mark images by negative numbers, which are no tokens.
        tokens = torch.tensor([[token for token in seen if token >= 0]], device=scores.device)
        processed = self._processors(tokens, scores.float()[None])
        if self._generator is None:
            return int(processed.argmax())
        return int(torch.multinomial(processed.softmax(-1), 1, generator=self._generator))


def rules_of(sampling: Sampling, defaults: Any) -> tuple[float, int, float] | None:
    """Temperature, top_k (0 for none) and top_p; None where the likeliest token is taken.

    What the caller leaves out is as in OpenAI's API once it names one of them: a model's own top_k of 1 would make any
    temperature mean nothing. Without either, the model's own generation config decides.
    """
    temperature, top_p = sampling.temperature, sampling.top_p
    if temperature is not None and temperature < _COLDEST:
        return None
    if temperature is not None or top_p is not None:
        return (1.0 if temperature is None else temperature, 0, 1.0 if top_p is None else top_p)
    if not getattr(defaults, "do_sample", False):
        return None
    own = {name: getattr(defaults, name, None) for name in ("temperature", "top_k", "top_p")}
    if own["temperature"] is not None and own["temperature"] < _COLDEST:
        return None
    return (own["temperature"] or 1.0, own["top_k"] or 0, 1.0 if own["top_p"] is None else own["top_p"])
