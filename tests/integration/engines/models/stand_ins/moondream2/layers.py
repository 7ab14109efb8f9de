"""A stand-in written for the tests; it holds no published code, only the published names, arguments and shapes.

Interface: vikhyat/moondream as of 2025-06-19, released as vikhyatk/moondream2 2025-06-21.
"""

from typing import Any

import torch.nn.functional as F


def linear(x: Any, w: Any) -> Any:
    """As published, past the module: what replaces a Linear by another module breaks here."""
    return F.linear(x, w.weight, w.bias)


def layer_norm(x: Any, w: Any) -> Any:
    return F.layer_norm(x, w.bias.shape, w.weight, w.bias)


def mlp(x: Any, w: Any, lora: Any = None) -> Any:
    return w.fc2(F.gelu(w.fc1(x), approximate="tanh"))


def attn(x: Any, w: Any, n_heads: int) -> Any:
    query, key, value = (part.unflatten(-1, (n_heads, -1)).transpose(1, 2) for part in linear(x, w.qkv).chunk(3, -1))
    return linear(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2), w.proj)
