"""A stand-in written for the tests; it holds no published code, only the published names, arguments and shapes.

Interface: vikhyat/moondream as of 2025-06-19, released as vikhyatk/moondream2 2025-06-21.
"""

from typing import Any

import torch


def precompute_freqs_cis(
    dim: int, end: int, theta: float = 10000.0, use_scaled: bool = False, dtype: Any = torch.float32
) -> Any:
    """(positions, dim / 2, 2): cosine and sine."""
    angles = torch.arange(end).unsqueeze(1) * theta ** (-torch.arange(0, dim, 2).float() / dim)
    return torch.stack([angles.cos(), angles.sin()], dim=-1)


def apply_rotary_emb(
    x: Any, freqs_cis: Any, position_ids: Any, num_heads: int, rot_dim: int = 32, interleave: bool = False
) -> Any:
    """Turns the first ``rot_dim`` numbers of each head: halves as pairs in, neighbours as pairs out, as published."""
    assert rot_dim == freqs_cis.shape[-2] * 2
    assert num_heads == x.shape[1]
    turned, rest = x[..., :rot_dim], x[..., rot_dim:]
    first, second = turned.chunk(2, dim=-1)
    cos, sin = freqs_cis[position_ids].unbind(-1)
    pairs = torch.stack((first * cos - second * sin, first * sin + second * cos), dim=-1)
    return torch.cat([pairs.flatten(-2).to(x.dtype), rest], dim=-1)
