"""What the engine needs of a family's adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ..conversation import Turn


class Adapter(Protocol):
    """A loaded model with its prompt format. ``model`` and ``tokenizer`` are objects of transformers."""

    model: Any
    tokenizer: Any

    def encode(self, turns: Sequence[Turn]) -> Mapping[str, Any]:
        """The arguments of ``model.generate``, tensors on the model's device, ``input_ids`` among them.

        Raises ``ApiError`` where the conversation does not fit the family.
        """
        ...
