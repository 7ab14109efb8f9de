"""A stand-in written for the tests; it holds no published code, only the published names, arguments and shapes.

Interface: vikhyat/moondream as of 2025-06-19, released as vikhyatk/moondream2 2025-06-21.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .config import TextConfig
from .layers import layer_norm, mlp
from .rope import apply_rotary_emb, precompute_freqs_cis


def text_encoder(input_ids: Any, w: Any) -> Any:
    return F.embedding(input_ids, w.wte)


def _attended(x: Any, block: Any, freqs_cis: Any, attn_mask: Any, position_ids: Any, config: TextConfig) -> Any:
    heads, shared = config.n_heads, config.n_kv_heads
    width = config.dim // heads
    parts = block.attn.qkv(x).split([heads * width, shared * width, shared * width], dim=-1)
    query, key, value = (part.unflatten(-1, (-1, width)).transpose(1, 2) for part in parts)
    query = apply_rotary_emb(query, freqs_cis, position_ids, heads)
    key = apply_rotary_emb(key, freqs_cis, position_ids, shared)
    key, value = block.kv_cache.update(position_ids, key, value)
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=attn_mask, enable_gqa=heads != shared)
    return block.attn.proj(mixed.transpose(1, 2).flatten(2))


def text_decoder(x: Any, w: Any, attn_mask: Any, position_ids: Any, config: TextConfig, lora: Any) -> Any:
    for block in w.blocks:
        seen = layer_norm(x, block.ln)
        x = x + _attended(seen, block, w.freqs_cis, attn_mask, position_ids, config) + mlp(seen, block.mlp)
    return x


def lm_head(hidden_BTC: Any, w: Any) -> Any:
    return w.lm_head(layer_norm(hidden_BTC[:, -1, :], w.post_ln))


def build_text_model(config: TextConfig, dtype: Any) -> Any:
    def dense(inner: int, outer: int) -> Any:
        return nn.Linear(inner, outer, dtype=dtype)

    def block() -> Any:
        return nn.ModuleDict(
            {
                "ln": nn.LayerNorm(dim, dtype=dtype),
                "attn": nn.ModuleDict({"qkv": dense(dim, rows), "proj": dense(dim, dim)}),
                "mlp": nn.ModuleDict({"fc1": dense(dim, config.ff_dim), "fc2": dense(config.ff_dim, dim)}),
            }
        )

    dim = config.dim
    rows = dim * (config.n_heads + 2 * config.n_kv_heads) // config.n_heads
    text = nn.ModuleDict(
        {
            "blocks": nn.ModuleList(block() for _ in range(config.n_layers)),
            "post_ln": nn.LayerNorm(dim, dtype=dtype),
            "lm_head": dense(dim, config.vocab_size),
        }
    )
    text.wte = nn.Parameter(torch.empty(config.vocab_size, dim, dtype=dtype))
    frequencies = precompute_freqs_cis(dim // (2 * config.n_heads), config.max_context)
    text.register_buffer("freqs_cis", frequencies, persistent=False)
    return text
