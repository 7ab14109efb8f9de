"""A stand-in written for the tests; it holds no published code, only the published names, arguments and shapes.

Interface: OpenGVLab/InternVL2-2B, as of the copy named in tests/integration/engines/published.json.
As published, it imports einops and, for a part that the configuration never asks for, timm.
"""

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from timm.models.layers import DropPath
from torch import nn
from transformers.activations import ACT2FN
from transformers.modeling_outputs import BaseModelOutput, BaseModelOutputWithPooling
from transformers.modeling_utils import PreTrainedModel

from .configuration_intern_vit import InternVisionConfig

try:
    import flash_attn

    has_flash_attn = flash_attn is not None
except ImportError:
    has_flash_attn = False


class InternVisionEmbeddings(nn.Module):
    def __init__(self, config: InternVisionConfig) -> None:
        super().__init__()
        self.side = config.image_size // config.patch_size
        self.class_embedding = nn.Parameter(torch.randn(1, 1, config.hidden_size))
        self.patch_embedding = nn.Conv2d(3, config.hidden_size, config.patch_size, config.patch_size)
        self.position_embedding = nn.Parameter(torch.randn(1, self.side**2 + 1, config.hidden_size))

    def forward(self, pixel_values: Any) -> Any:
        patches = self.patch_embedding(pixel_values)
        of_class, of_patches = self.position_embedding.split([1, self.side**2], dim=1)
        grid = rearrange(of_patches.float(), "1 (h w) c -> 1 c h w", h=self.side)
        grid = F.interpolate(grid, size=patches.shape[2:], mode="bicubic", align_corners=False)
        positions = torch.cat([of_class, rearrange(grid, "1 c h w -> 1 (h w) c").to(of_class)], dim=1)
        starts = self.class_embedding.expand(len(patches), 1, -1)
        return torch.cat([starts, patches.flatten(2).transpose(1, 2)], dim=1) + positions


class InternAttention(nn.Module):
    def __init__(self, config: InternVisionConfig) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=config.qkv_bias)
        self.proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden_states: Any) -> Any:
        query, key, value = rearrange(self.qkv(hidden_states), "b n (t h d) -> t b h n d", t=3, h=self.num_heads)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(rearrange(mixed, "b h n d -> b n (h d)"))


class InternMLP(nn.Module):
    def __init__(self, config: InternVisionConfig) -> None:
        super().__init__()
        self.act = ACT2FN[config.hidden_act]
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden_states: Any) -> Any:
        return self.fc2(self.act(self.fc1(hidden_states)))


class InternVisionEncoderLayer(nn.Module):
    def __init__(self, config: InternVisionConfig, drop_path_rate: float) -> None:
        super().__init__()
        assert config.norm_type == "layer_norm"
        self.attn = InternAttention(config)
        self.mlp = InternMLP(config)
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.ls1 = nn.Parameter(config.initializer_factor * torch.ones(config.hidden_size))
        self.ls2 = nn.Parameter(config.initializer_factor * torch.ones(config.hidden_size))
        self.drop_path1 = DropPath(drop_path_rate) if drop_path_rate > 0 else nn.Identity()
        self.drop_path2 = DropPath(drop_path_rate) if drop_path_rate > 0 else nn.Identity()

    def forward(self, hidden_states: Any) -> Any:
        hidden_states = hidden_states + self.drop_path1(self.attn(self.norm1(hidden_states)) * self.ls1)
        return hidden_states + self.drop_path2(self.mlp(self.norm2(hidden_states)) * self.ls2)


class InternVisionEncoder(nn.Module):
    def __init__(self, config: InternVisionConfig) -> None:
        super().__init__()
        rates = torch.linspace(0, config.drop_path_rate, config.num_hidden_layers).tolist()
        self.layers = nn.ModuleList(InternVisionEncoderLayer(config, rate) for rate in rates)

    def forward(
        self, inputs_embeds: Any, output_hidden_states: bool | None = None, return_dict: bool | None = None
    ) -> Any:
        states = [inputs_embeds]
        for layer in self.layers:
            states.append(layer(states[-1]))
        return BaseModelOutput(
            last_hidden_state=states[-1], hidden_states=tuple(states) if output_hidden_states else None
        )


class InternVisionModel(PreTrainedModel):
    main_input_name = "pixel_values"
    config_class = InternVisionConfig
    _supports_flash_attn_2 = True
    _no_split_modules = ("InternVisionEncoderLayer",)

    def __init__(self, config: InternVisionConfig) -> None:
        super().__init__(config)
        self.embeddings = InternVisionEmbeddings(config)
        self.encoder = InternVisionEncoder(config)

    def get_input_embeddings(self) -> Any:
        return self.embeddings

    def forward(
        self,
        pixel_values: Any = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        pixel_embeds: Any = None,
    ) -> Any:
        embedded = self.embeddings(pixel_values) if pixel_embeds is None else pixel_embeds
        encoded = self.encoder(embedded, output_hidden_states, return_dict)
        return BaseModelOutputWithPooling(
            last_hidden_state=encoded.last_hidden_state,
            pooler_output=encoded.last_hidden_state[:, 0],
            hidden_states=encoded.hidden_states,
        )
