"""What the engine needs of a family's adapter, and what most families have in common."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from transformers import DynamicCache

from ..batch import Layers, layers_of
from ..conversation import Turn


@dataclass(frozen=True, slots=True)
class Encoded:
    """One request as the model takes it.

    ``inputs``: arguments of the model's first pass for this request alone, tensors on the CPU; ``input_ids`` and
    ``attention_mask`` of shape (1, tokens) among them. ``images``: how many images (or tiles of images) they hold.
    """

    inputs: Mapping[str, torch.Tensor]
    images: int

    @property
    def tokens(self) -> list[int]:
        """The prompt's tokens, those of images among them."""
        ids: list[int] = self.inputs["input_ids"][0].tolist()
        return ids


@dataclass(frozen=True, slots=True)
class Begun:
    """Requests that the model has read.

    ``scores``: (rows, vocabulary), for the token that comes next. ``positions``: the place of that token in each row,
    as the family counts places.
    """

    scores: torch.Tensor
    layers: Layers
    mask: torch.Tensor
    positions: Sequence[int]


class Adapter(Protocol):
    """A loaded model with its prompt format."""

    #: the model's own generation config, for what a caller leaves open
    defaults: Any
    #: tokens that end an answer
    ends: frozenset[int]
    device: torch.device
    #: whether several requests may be read in one pass
    joint: bool
    #: how many answers may be written at the same time; None: as many as there is room for
    most_rows: int | None

    def encode(self, turns: Sequence[Turn], options: Mapping[str, Any]) -> Encoded:
        """A request for the model. Called from several threads.

        Raises ``ApiError`` 400 where the conversation or the options do not fit the family; it says what would.
        """
        ...

    def decode(self, tokens: Sequence[int], *, special: bool) -> str:
        """Tokens to text; ``special``: with the special tokens shown."""
        ...

    def pack(self, layers: Layers) -> Any:
        """The model's kind of cache; the list is empty afterwards."""
        ...

    def begin(self, encoded: Sequence[Encoded]) -> Begun:
        """Reads requests in one pass."""
        ...

    def step(
        self, tokens: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor, cache: Any
    ) -> tuple[torch.Tensor, Any]:
        """Reads one further token of each row; the scores for the next one, and the cache.

        Shapes: tokens (rows, 1), positions (rows,), mask (rows, length with the token), scores (rows, vocabulary).
        """
        ...


class CausalAdapter:
    """For models whose ``forward`` takes tokens, a mask, positions and a cache, as transformers' own do."""

    joint = True
    most_rows: int | None = None
    #: inputs that are as long as the prompt, and what pads them on the left; all others are joined at their first axis
    padding: ClassVar[Mapping[str, int]] = {"input_ids": 0, "attention_mask": 0}

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.defaults = model.generation_config
        self.ends = ends_of(model.generation_config)
        self.device = model.device
        self._last = last_only(model.forward)

    def decode(self, tokens: Sequence[int], *, special: bool) -> str:
        """Tokens to text; ``special``: with the special tokens shown."""
        return str(self.tokenizer.decode(tokens, skip_special_tokens=not special))

    def pack(self, layers: Layers) -> Any:
        """A ``DynamicCache`` that holds these tensors themselves: newer versions would copy what they are given."""
        cache = DynamicCache()
        for index in range(len(layers)):
            keys, values = layers.pop(0)
            if hasattr(cache, "layers"):
                cache.update(keys[:, :, :0], values[:, :, :0], index)
                cache.layers[index].keys, cache.layers[index].values = keys, values
            else:
                cache.update(keys, values, index)
        return cache

    def begin(self, encoded: Sequence[Encoded]) -> Begun:
        """Reads requests in one pass."""
        inputs = {name: tensor.to(self.device) for name, tensor in self.collate(encoded).items()}
        places, following = self.places(inputs)
        output = self.model(**inputs, position_ids=places, past_key_values=self.pack([]), use_cache=True, **self._last)
        return Begun(output.logits[:, -1], layers_of(output.past_key_values), inputs["attention_mask"], following)

    def step(
        self, tokens: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor, cache: Any
    ) -> tuple[torch.Tensor, Any]:
        """Reads one further token of each row."""
        output = self.model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=self.spread(positions[:, None]),
            past_key_values=cache,
            use_cache=True,
        )
        return output.logits[:, -1], output.past_key_values

    def collate(self, encoded: Sequence[Encoded]) -> dict[str, torch.Tensor]:
        """The inputs of several requests as one."""
        length = max(one.inputs["input_ids"].shape[1] for one in encoded)
        together: dict[str, list[torch.Tensor]] = {}
        for one in encoded:
            for name, tensor in one.inputs.items():
                if name in self.padding:
                    missing = length - tensor.shape[1]
                    tensor = torch.nn.functional.pad(tensor, (missing, 0), value=self.padding[name])  # noqa: PLW2901
                together.setdefault(name, []).append(tensor)
        return {name: torch.cat(tensors) for name, tensors in together.items()}

    def places(self, inputs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, list[int]]:
        """``position_ids`` of the first pass, and the place that follows in each row."""
        mask = inputs["attention_mask"]
        return (mask.cumsum(-1) - 1).clamp(min=0), mask.sum(-1).tolist()

    def spread(self, positions: torch.Tensor) -> torch.Tensor:
        """Places of shape (rows, 1) in the shape that the model takes."""
        return positions


def ends_of(config: Any) -> frozenset[int]:
    """The tokens that end an answer, by a generation config."""
    ends = config.eos_token_id
    return frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])


def last_only(forward: Any) -> dict[str, int]:
    """The argument that keeps a model from computing scores for all of a prompt, where it has one."""
    known = inspect.signature(forward).parameters
    return next(({name: 1} for name in ("logits_to_keep", "num_logits_to_keep") if name in known), {})
