"""A stand-in written for the tests; it holds no published code, only the published names, arguments and shapes.

Interface: vikhyat/moondream as of 2025-06-19, released as vikhyatk/moondream2 2025-06-21.
As published, config.json can't change these numbers. They are small here, but for those that the code relies on:
27 x 27 patches of 14 pixels in 27 layers, heads of 64, 2048 places, 1024 steps of a coordinate.
"""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class TextConfig:
    dim: int = 128
    ff_dim: int = 128
    n_layers: int = 2
    vocab_size: int = 266
    max_context: int = 2048
    n_heads: int = 2
    n_kv_heads: int = 2
    prefix_attn: int = 730
    group_size: int | None = None


@dataclass(frozen=True)
class VisionConfig:
    enc_dim: int = 16
    enc_patch_size: int = 14
    enc_n_layers: int = 27
    enc_ff_dim: int = 16
    enc_n_heads: int = 2
    proj_out_dim: int = 128
    crop_size: int = 378
    in_channels: int = 3
    max_crops: int = 12
    overlap_margin: int = 4
    proj_inner_dim: int = 64


@dataclass(frozen=True)
class RegionConfig:
    dim: int = 128
    coord_feat_dim: int = 32
    coord_out_dim: int = 1024
    size_feat_dim: int = 64
    size_out_dim: int = 2048
    inner_dim: int = 64
    group_size: int | None = None


def _templates() -> dict[str, dict[str, list[int]] | None]:
    """Tokens 10 to 265 are bytes; the published ones are words of its own vocabulary."""
    return {
        "caption": {"short": [1, 110, 2, 120, 3], "normal": [1, 110, 2, 121, 3], "long": [1, 110, 2, 122, 3]},
        "query": {"prefix": [1, 111, 2], "suffix": [3]},
        "detect": {"prefix": [1, 112, 113, 2], "suffix": [3]},
        "point": {"prefix": [1, 114, 2], "suffix": [3]},
    }


@dataclass(frozen=True)
class TokenizerConfig:
    bos_id: int = 0
    eos_id: int = 0
    answer_id: int = 3
    thinking_id: int = 4
    coord_id: int = 5
    size_id: int = 6
    start_ground_points_id: int = 7
    end_ground_id: int = 9
    templates: dict[str, dict[str, list[int]] | None] = field(default_factory=_templates)


@dataclass(frozen=True)
class MoondreamConfig:
    text: TextConfig = field(default_factory=TextConfig)
    vision: VisionConfig = field(default_factory=VisionConfig)
    region: RegionConfig = field(default_factory=RegionConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any]) -> "MoondreamConfig":
        return cls(
            text=TextConfig(**config_dict.get("text", {})),
            vision=VisionConfig(**config_dict.get("vision", {})),
            region=RegionConfig(**config_dict.get("region", {})),
            tokenizer=TokenizerConfig(**config_dict.get("tokenizer", {})),
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
