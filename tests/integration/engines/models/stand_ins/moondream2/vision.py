"""A stand-in written for the tests; it holds no published code, only the published names, arguments and shapes.

Interface: vikhyat/moondream as of 2025-06-19, released as vikhyatk/moondream2 2025-06-21.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .config import VisionConfig
from .image_crops import overlap_crop_image
from .layers import attn, layer_norm, mlp


def prepare_crops(image: Any, config: VisionConfig, device: Any) -> tuple[Any, tuple[int, int]]:
    """As published: bfloat16, whatever the weights are."""
    cut = overlap_crop_image(
        np.array(image.convert("RGB")), max_crops=config.max_crops, overlap_margin=config.overlap_margin
    )
    crops = torch.from_numpy(cut["crops"]).permute(0, 3, 1, 2).to(device=device, dtype=torch.bfloat16)
    return crops.div_(255.0).sub_(0.5).div_(0.5), cut["tiling"]


def create_patches(x: Any, patch_size: int) -> Any:
    """(crops, channels, height, width) to (crops, patches, channels * patch_size ** 2)."""
    return F.unfold(x, kernel_size=patch_size, stride=patch_size).transpose(1, 2)


def vision_encoder(input_BCHW: Any, w: Any, config: VisionConfig) -> Any:
    x = w.patch_emb(create_patches(input_BCHW, config.enc_patch_size)) + w.pos_emb
    for block in w.blocks:
        x = x + attn(layer_norm(x, block.ln1), block.attn, n_heads=config.enc_n_heads)
        x = x + mlp(layer_norm(x, block.ln2), block.mlp)
    return layer_norm(x, w.post_ln)


def vision_projection(global_features: Any, reconstructed: Any, w: Any, config: VisionConfig) -> Any:
    side = config.crop_size // config.enc_patch_size
    pooled = F.adaptive_avg_pool2d(reconstructed.permute(2, 0, 1), output_size=(side, side))
    return mlp(torch.cat([global_features, pooled.flatten(1).T], dim=-1), w.proj_mlp)


def build_vision_model(config: VisionConfig, dtype: Any) -> Any:
    def dense(inner: int, outer: int) -> Any:
        return nn.Linear(inner, outer, dtype=dtype)

    def block() -> Any:
        return nn.ModuleDict(
            {
                "ln1": nn.LayerNorm(dim, dtype=dtype),
                "attn": nn.ModuleDict({"qkv": dense(dim, 3 * dim), "proj": dense(dim, dim)}),
                "ln2": nn.LayerNorm(dim, dtype=dtype),
                "mlp": nn.ModuleDict({"fc1": dense(dim, config.enc_ff_dim), "fc2": dense(config.enc_ff_dim, dim)}),
            }
        )

    dim = config.enc_dim
    inner = config.proj_inner_dim
    vision = nn.ModuleDict(
        {
            "patch_emb": dense(config.enc_patch_size**2 * config.in_channels, dim),
            "blocks": nn.ModuleList(block() for _ in range(config.enc_n_layers)),
            "post_ln": nn.LayerNorm(dim, dtype=dtype),
            "proj_mlp": nn.ModuleDict({"fc1": dense(2 * dim, inner), "fc2": dense(inner, config.proj_out_dim)}),
        }
    )
    patches = (config.crop_size // config.enc_patch_size) ** 2
    vision.pos_emb = nn.Parameter(torch.zeros(1, patches, dim, dtype=dtype))
    return vision
