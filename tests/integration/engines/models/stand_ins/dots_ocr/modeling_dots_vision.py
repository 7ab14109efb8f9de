"""A stand-in written for the tests; it holds no published code, only the published names, arguments and shapes.

Interface: rednote-hilab/dots.ocr, as of the copy of September 2025 named in tests/integration/engines/published.json.
As published: pixels become bfloat16 whatever the weights are, and "sdpa" asks for a kernel that only CUDA has.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers.modeling_utils import PreTrainedModel

from .configuration_dots import DotsVisionConfig

try:
    from flash_attn import flash_attn_varlen_func
except ImportError:
    flash_attn_varlen_func = None


def _rotated(x: Any, angles: Any) -> Any:
    """Turns each pair (i, i + half) of the last dimension by its angle; x: (patches, heads, width)."""
    angles = angles.unsqueeze(1)
    first, second = x.float().chunk(2, dim=-1)
    turned = (first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin())
    return torch.cat(turned, dim=-1).to(x.dtype)


class VisionRotaryEmbedding(nn.Module):
    def __init__(self, dim: int, theta: float = 10000.0) -> None:
        super().__init__()
        frequencies = theta ** (-torch.arange(0, dim, 2, dtype=torch.float) / dim)
        self.register_buffer("inv_freq", frequencies, persistent=False)

    def forward(self, seqlen: int) -> Any:
        return torch.arange(seqlen, device=self.inv_freq.device).unsqueeze(1) * self.inv_freq


class RMSNorm(nn.Module):
    def __init__(self, dim: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Any) -> Any:
        return F.rms_norm(x.float(), self.weight.shape, eps=self.eps).to(x.dtype) * self.weight


class PatchMerger(nn.Module):
    def __init__(
        self,
        dim: int,
        context_dim: int,
        spatial_merge_size: int = 2,
        pre_norm: str = "layernorm",
        init_merger_std: float | None = None,
    ) -> None:
        super().__init__()
        self.hidden_size = context_dim * spatial_merge_size**2
        self.ln_q = nn.LayerNorm(context_dim, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(self.hidden_size, self.hidden_size), nn.GELU(), nn.Linear(self.hidden_size, dim)
        )

    def forward(self, x: Any) -> Any:
        return self.mlp(self.ln_q(x).view(-1, self.hidden_size))


class VisionAttention(nn.Module):
    """ "eager": every patch of every image against every other, with a mask."""

    def __init__(self, config: Any, dim: int, num_heads: int = 16, bias: bool = True) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, dim * 3, bias=bias)
        self.proj = nn.Linear(dim, dim, bias=bias)

    def forward(self, hidden_states: Any, cu_seqlens: Any, rotary_pos_emb: Any = None) -> Any:
        patches = hidden_states.shape[0]
        query, key, value = self.qkv(hidden_states).view(patches, 3, self.num_heads, -1).unbind(1)
        mixed = self._mix(_rotated(query, rotary_pos_emb), _rotated(key, rotary_pos_emb), value, cu_seqlens)
        return self.proj(mixed.reshape(patches, -1))

    def _mix(self, query: Any, key: Any, value: Any, cu_seqlens: Any) -> Any:
        heads_first = (tensor.transpose(0, 1).unsqueeze(0) for tensor in (query, key, value))
        mask = self._own_image(cu_seqlens, query.shape[0])
        return F.scaled_dot_product_attention(*heads_first, attn_mask=mask).squeeze(0).transpose(0, 1)

    @staticmethod
    def _own_image(cu_seqlens: Any, patches: int) -> Any:
        """True where two patches belong to one image."""
        image = torch.bucketize(torch.arange(patches, device=cu_seqlens.device), cu_seqlens, right=True)
        return image.unsqueeze(0) == image.unsqueeze(1)


class VisionAttentionV2(VisionAttention):
    """ "eager_v2": image by image, so without a mask."""

    def _mix(self, query: Any, key: Any, value: Any, cu_seqlens: Any) -> Any:
        lengths = cu_seqlens.diff().tolist()
        images = zip(*(tensor.split(lengths) for tensor in (query, key, value)), strict=True)
        mixed = [
            F.scaled_dot_product_attention(*(tensor.transpose(0, 1).unsqueeze(0) for tensor in image))
            for image in images
        ]
        return torch.cat([part.squeeze(0).transpose(0, 1) for part in mixed])


class VisionSdpaAttention(VisionAttention):
    """ "sdpa": as published it insists on the memory-efficient kernel, which the CPU does not have."""

    def _mix(self, query: Any, key: Any, value: Any, cu_seqlens: Any) -> Any:
        with sdpa_kernel(SDPBackend.EFFICIENT_ATTENTION):
            return super()._mix(query, key, value, cu_seqlens)


class VisionFlashAttention2(VisionAttention):
    """ "flash_attention_2": taken only where flash_attn can be imported."""

    def _mix(self, query: Any, key: Any, value: Any, cu_seqlens: Any) -> Any:
        longest = int(cu_seqlens.diff().max())
        return flash_attn_varlen_func(query, key, value, cu_seqlens, cu_seqlens, longest, longest)


DOTS_VISION_ATTENTION_CLASSES = {
    "eager": VisionAttention,
    "eager_v2": VisionAttentionV2,
    "flash_attention_2": VisionFlashAttention2,
    "sdpa": VisionSdpaAttention,
}


class DotsSwiGLUFFN(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.embed_dim, config.intermediate_size, bias=config.use_bias)
        self.fc2 = nn.Linear(config.intermediate_size, config.embed_dim, bias=config.use_bias)
        self.fc3 = nn.Linear(config.embed_dim, config.intermediate_size, bias=config.use_bias)

    def forward(self, x: Any) -> Any:
        return self.fc2(F.silu(self.fc1(x)) * self.fc3(x))


class DotsPatchEmbed(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.shape = (-1, config.num_channels, config.temporal_patch_size, config.patch_size, config.patch_size)
        self.proj = nn.Conv2d(config.num_channels, config.embed_dim, config.patch_size, config.patch_size)
        self.norm = RMSNorm(config.embed_dim, eps=config.rms_norm_eps)

    def forward(self, x: Any, grid_thw: Any = None) -> Any:
        return self.norm(self.proj(x.view(self.shape)[:, :, 0]).flatten(1))


class DotsViTPreprocessor(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.patchifier = DotsPatchEmbed(config)

    def forward(self, x: Any, grid_thw: Any = None) -> Any:
        return self.patchifier(x, grid_thw)


class DotsVisionBlock(nn.Module):
    def __init__(self, config: Any, attn_implementation: str = "flash_attention_2") -> None:
        super().__init__()
        if attn_implementation == "flash_attention_2" and flash_attn_varlen_func is None:
            attn_implementation = "eager"
        attention = DOTS_VISION_ATTENTION_CLASSES[attn_implementation]
        self.attn = attention(config, config.embed_dim, config.num_attention_heads, bias=config.use_bias)
        self.norm1 = RMSNorm(config.embed_dim, eps=config.rms_norm_eps)
        self.mlp = DotsSwiGLUFFN(config)
        self.norm2 = RMSNorm(config.embed_dim, eps=config.rms_norm_eps)

    def forward(self, hidden_states: Any, cu_seqlens: Any, rotary_pos_emb: Any) -> Any:
        attended = self.attn(self.norm1(hidden_states), cu_seqlens=cu_seqlens, rotary_pos_emb=rotary_pos_emb)
        hidden_states = hidden_states + attended
        return hidden_states + self.mlp(self.norm2(hidden_states))


class DotsVisionTransformer(PreTrainedModel):
    config_class = DotsVisionConfig

    def __init__(self, config: DotsVisionConfig) -> None:
        super().__init__(config)
        self.spatial_merge_size = config.spatial_merge_size
        self.patch_embed = DotsViTPreprocessor(config)
        self.rotary_pos_emb = VisionRotaryEmbedding(config.embed_dim // config.num_attention_heads // 2)
        self.blocks = nn.ModuleList(
            DotsVisionBlock(config, config.attn_implementation) for _ in range(config.num_hidden_layers)
        )
        if config.post_norm:
            self.post_trunk_norm = RMSNorm(config.embed_dim, eps=config.rms_norm_eps)
        self.merger = PatchMerger(
            dim=config.hidden_size,
            context_dim=config.embed_dim,
            spatial_merge_size=config.spatial_merge_size,
            init_merger_std=config.init_merger_std,
        )

    def _init_weights(self, module: Any) -> None:
        """The maker sets the weights."""

    def get_pos_ids_by_grid(self, grid_thw: Any) -> list[Any]:
        """Row and column of each patch, in the order in which patches come: merged squares together."""
        found = []
        size = self.spatial_merge_size
        for frames, height, width in grid_thw.tolist():
            places = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"), dim=-1)
            squares = places.view(height // size, size, width // size, size, 2).transpose(1, 2)
            found.append(squares.reshape(-1, 2).repeat(frames, 1))
        return found

    def rot_pos_emb(self, grid_thw: Any) -> Any:
        places = torch.cat(self.get_pos_ids_by_grid(grid_thw))
        return self.rotary_pos_emb(int(grid_thw[:, 1:].max()))[places].flatten(1)

    def forward(self, hidden_states: Any, grid_thw: Any, bf16: bool = True) -> Any:
        if bf16:
            hidden_states = hidden_states.bfloat16()
        hidden_states = self.patch_embed(hidden_states, grid_thw)
        angles = self.rot_pos_emb(grid_thw).to(hidden_states.device)
        frames = torch.repeat_interleave(grid_thw[:, 1] * grid_thw[:, 2], grid_thw[:, 0])
        cu_seqlens = F.pad(frames.cumsum(dim=0, dtype=torch.int32), (1, 0), value=0)
        for block in self.blocks:
            hidden_states = block(hidden_states, cu_seqlens=cu_seqlens, rotary_pos_emb=angles)
        if self.config.post_norm:
            hidden_states = self.post_trunk_norm(hidden_states)
        return self.merger(hidden_states)
