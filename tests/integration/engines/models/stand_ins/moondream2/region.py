"""A stand-in written for the tests; it holds no published code, only the published names, arguments and shapes.

Interface: vikhyat/moondream as of 2025-06-19, released as vikhyatk/moondream2 2025-06-21.
"""

import math
from typing import Any

import torch

from .layers import mlp

SpatialRefs = list[tuple[float, ...]]


def fourier_features(x: Any, w: Any) -> Any:
    waves = 2 * math.pi * x @ w
    return torch.cat([waves.cos(), waves.sin()], dim=-1)


def encode_coordinate(coord: Any, w: Any) -> Any:
    return w.coord_encoder(fourier_features(coord, w.coord_features))


def decode_coordinate(hidden_state: Any, w: Any) -> Any:
    return mlp(hidden_state, w.coord_decoder)


def encode_size(size: Any, w: Any) -> Any:
    return w.size_encoder(fourier_features(size, w.size_features))


def decode_size(hidden_state: Any, w: Any) -> Any:
    return mlp(hidden_state, w.size_decoder).view(2, -1)


def encode_spatial_refs(spatial_refs: SpatialRefs, w: Any) -> dict[str, Any]:
    """Points give two coordinates; boxes give their middle, and their sizes apart."""
    coords: list[float] = []
    sizes = []
    for ref in spatial_refs:
        left, top, right, bottom = (*ref, *ref) if len(ref) == 2 else ref
        coords += [(left + right) / 2, (top + bottom) / 2]
        if len(ref) != 2:
            sizes.append([right - left, bottom - top])
    kind = {"device": w.coord_features.device, "dtype": w.coord_features.dtype}
    return {
        "coords": encode_coordinate(torch.tensor(coords, **kind).view(-1, 1), w),
        "sizes": encode_size(torch.tensor(sizes, **kind), w) if sizes else None,
    }
