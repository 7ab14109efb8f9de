"""A stand-in written for the tests; it holds no published code, only the published names, arguments and shapes.

Interface: OpenGVLab/InternVL2-2B, as of the copy named in tests/integration/engines/published.json.
"""

from typing import Any

from transformers.configuration_utils import PretrainedConfig


class InternLM2Config(PretrainedConfig):
    model_type = "internlm2"
    _auto_class = "AutoConfig"

    def __init__(
        self,
        vocab_size: int = 103168,
        hidden_size: int = 4096,
        intermediate_size: int = 11008,
        num_hidden_layers: int = 32,
        num_attention_heads: int = 32,
        num_key_value_heads: int | None = None,
        hidden_act: str = "silu",
        max_position_embeddings: int = 2048,
        initializer_range: float = 0.02,
        rms_norm_eps: float = 1e-6,
        use_cache: bool = True,
        pad_token_id: int = 0,
        bos_token_id: int = 1,
        eos_token_id: int = 2,
        tie_word_embeddings: bool = False,
        bias: bool = True,
        rope_theta: float = 10000,
        rope_scaling: dict[str, Any] | None = None,
        attn_implementation: str | None = "eager",
        **kwargs: Any,
    ) -> None:
        own = {name: value for name, value in locals().items() if name not in {"self", "kwargs", "__class__"}}
        for name in ("pad_token_id", "bos_token_id", "eos_token_id", "tie_word_embeddings"):
            kwargs[name] = own.pop(name)
        for name, value in own.items():
            setattr(self, name, value)
        if num_key_value_heads is None:
            self.num_key_value_heads = num_attention_heads
        if rope_scaling is not None and rope_scaling["type"] not in {"linear", "dynamic"}:
            raise ValueError(f"rope_scaling must be of type linear or dynamic, got {rope_scaling}")
        super().__init__(**kwargs)
