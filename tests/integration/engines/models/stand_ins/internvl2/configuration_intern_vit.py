"""A stand-in written for the tests; it holds no published code, only the published names, arguments and shapes.

Interface: OpenGVLab/InternVL2-2B, as of the copy named in tests/integration/engines/published.json.
"""

from typing import Any

from transformers.configuration_utils import PretrainedConfig


class InternVisionConfig(PretrainedConfig):
    model_type = "intern_vit_6b"

    def __init__(
        self,
        num_channels: int = 3,
        patch_size: int = 14,
        image_size: int = 224,
        qkv_bias: bool = False,
        hidden_size: int = 3200,
        num_attention_heads: int = 25,
        intermediate_size: int = 12800,
        qk_normalization: bool = True,
        num_hidden_layers: int = 48,
        use_flash_attn: bool = True,
        hidden_act: str = "gelu",
        norm_type: str = "rms_norm",
        layer_norm_eps: float = 1e-6,
        dropout: float = 0.0,
        drop_path_rate: float = 0.0,
        attention_dropout: float = 0.0,
        initializer_range: float = 0.02,
        initializer_factor: float = 0.1,
        **kwargs: Any,
    ) -> None:
        given = {name: value for name, value in locals().items() if name not in {"self", "kwargs", "__class__"}}
        super().__init__(**kwargs)
        for name, value in given.items():
            setattr(self, name, value)
