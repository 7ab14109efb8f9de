"""A stand-in written for the tests; it holds no published code, only the published names, arguments and shapes.

Interface: microsoft/Phi-3-vision-128k-instruct, as of the copy named in tests/integration/engines/published.json.
"""

from typing import Any

from transformers.configuration_utils import PretrainedConfig


class Phi3VConfig(PretrainedConfig):
    model_type = "phi3_v"
    keys_to_ignore_at_inference = ("past_key_values",)

    def __init__(
        self,
        vocab_size: int = 32064,
        hidden_size: int = 3072,
        intermediate_size: int = 8192,
        num_hidden_layers: int = 32,
        num_attention_heads: int = 32,
        num_key_value_heads: int | None = None,
        resid_pdrop: float = 0.0,
        embd_pdrop: float = 0.0,
        attention_dropout: float = 0.0,
        hidden_act: str = "silu",
        max_position_embeddings: int = 4096,
        original_max_position_embeddings: int = 4096,
        initializer_range: float = 0.02,
        rms_norm_eps: float = 1e-5,
        use_cache: bool = True,
        tie_word_embeddings: bool = False,
        rope_theta: float = 10000.0,
        rope_scaling: dict[str, Any] | None = None,
        bos_token_id: int = 1,
        eos_token_id: int = 32000,
        pad_token_id: int = 32000,
        sliding_window: int | None = None,
        embd_layer: str | dict[str, Any] = "default",
        **kwargs: Any,
    ) -> None:
        own = {name: value for name, value in locals().items() if name not in {"self", "kwargs", "__class__"}}
        for name in ("bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings"):
            kwargs[name] = own.pop(name)
        for name, value in own.items():
            setattr(self, name, value)
        if num_key_value_heads is None:
            self.num_key_value_heads = num_attention_heads
        if rope_scaling is not None and rope_scaling.get("type") not in {"su", "yarn"}:
            raise ValueError(f"rope_scaling must be of type su or yarn, got {rope_scaling}")
        super().__init__(**kwargs)
