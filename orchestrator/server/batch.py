"""The keys and values of several requests in one cache, so that one pass of the model serves them all.

Requests join and leave between passes. Each has its own length: shorter ones are padded on the left, where the
attention mask hides it. Shapes: keys and values are (rows, heads, length, head size), one pair a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn.functional import pad

Layers = list[tuple[torch.Tensor, torch.Tensor]]


class Batch:
    """The cache of the rows that are being answered, and which of its columns each row may see.

    ``pack`` makes the model's kind of cache of layers, and empties the list that it gets. What a change copies is freed
    layer by layer: at no time are all keys and values there twice.
    """

    def __init__(self, pack: Callable[[Layers], Any]) -> None:
        self._pack = pack
        #: the model's own kind of cache; None without rows
        self.cache: Any = None
        #: (rows, length), 1 for what a row may see
        self.mask = torch.zeros((0, 0), dtype=torch.long)

    def __len__(self) -> int:
        return int(self.mask.shape[0])

    def join(self, layers: Layers, mask: torch.Tensor) -> None:
        """Appends rows that have been read in; their layers are taken over. Where it fails, nothing has changed."""
        if len(self):
            length = max(self.mask.shape[1], mask.shape[1])
            mine = self._take()
            try:
                for index, (keys, values) in enumerate(mine):
                    new = layers[index]
                    mine[index] = (_joined(keys, new[0], length), _joined(values, new[1], length))
            except BaseException:
                rows, before = self.mask.shape
                self.cache = self._pack(
                    [(keys[:rows, :, -before:], values[:rows, :, -before:]) for keys, values in mine]
                )
                raise
            self.mask = torch.cat([_left(self.mask, length, -1), _left(mask, length, -1)])
            layers = mine
        else:
            self.mask = mask
        self.cache = self._pack(layers)

    def keep(self, rows: Sequence[int]) -> None:
        """Drops all other rows, and the columns that none of the rest sees."""
        layers = self._take()
        index = torch.tensor(rows, dtype=torch.long, device=self.mask.device)
        mask = self.mask[index]
        first = int(mask.any(0).int().argmax()) if rows else mask.shape[1]
        self.mask = mask[:, first:]
        if rows:
            for layer, (keys, values) in enumerate(layers):
                layers[layer] = (keys[index, :, first:], values[index, :, first:])
            self.cache = self._pack(layers)

    def next_mask(self) -> torch.Tensor:
        """The mask with one column more, for the token that comes next."""
        return torch.cat([self.mask, self.mask.new_ones((len(self), 1))], dim=1)

    def grown(self, cache: Any, mask: torch.Tensor) -> None:
        """A pass has added a column."""
        self.cache, self.mask = cache, mask

    def restore(self) -> None:
        """After a pass that failed half-way: removes what it had added to some of the layers."""
        length, layers = self.mask.shape[1], self._take()
        for layer, (keys, values) in enumerate(layers):
            layers[layer] = (keys[:, :, :length], values[:, :, :length])
        self.cache = self._pack(layers)

    def _take(self) -> Layers:
        layers = layers_of(self.cache)
        self.cache = None
        return layers


def _left(tensor: torch.Tensor, length: int, axis: int) -> torch.Tensor:
    missing = length - tensor.shape[axis]
    return pad(tensor, (0, 0, missing, 0) if axis == -2 else (missing, 0)) if missing else tensor


def _joined(mine: torch.Tensor, new: torch.Tensor, length: int) -> torch.Tensor:
    return torch.cat([_left(mine, length, -2), _left(new, length, -2)])


def layers_of(cache: Any) -> Layers:
    """Keys and values out of a cache: a ``DynamicCache`` of any transformers from 4.48 to 5, or tuples."""
    if hasattr(cache, "layers"):
        return [(layer.keys, layer.values) for layer in cache.layers]
    if hasattr(cache, "key_cache"):
        return list(zip(cache.key_cache, cache.value_cache, strict=True))
    return [(pair[0], pair[1]) for pair in cache]
