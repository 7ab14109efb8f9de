"""A stand-in written for the tests; it holds no published code, only the published names, arguments and shapes.

Interface: microsoft/Phi-3-vision-128k-instruct, as of the copy named in tests/integration/engines/published.json.
As published: no SDPA, two sets of rotary factors (below and beyond 4096 positions), tuples as well as a cache object
for ``past_key_values``, logits for every position.
"""

import math
from typing import Any

import torch
from torch import nn
from transformers.cache_utils import Cache, DynamicCache
from transformers.modeling_attn_mask_utils import _prepare_4d_causal_attention_mask
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.modeling_utils import PreTrainedModel
from transformers.models.phi3.modeling_phi3 import Phi3DecoderLayer, Phi3RMSNorm

from .configuration_phi3_v import Phi3VConfig
from .image_embedding_phi3_v import Phi3ImageEmbedding


class Phi3SuScaledRotaryEmbedding(nn.Module):
    def __init__(self, dim: int, config: Phi3VConfig, device: Any = None) -> None:
        super().__init__()
        self.dim = dim
        self.config = config

    @torch.no_grad()
    def forward(self, x: Any, position_ids: Any, seq_len: Any = None) -> Any:
        trained = self.config.original_max_position_embeddings
        kind = "long_factor" if int(position_ids.max()) + 1 > trained else "short_factor"
        factors = torch.tensor(self.config.rope_scaling[kind], dtype=torch.float32, device=x.device)
        powers = torch.arange(0, self.dim, 2, device=x.device).float() / self.dim
        angles = position_ids.unsqueeze(-1).float() / (factors * self.config.rope_theta**powers)
        longer = self.config.max_position_embeddings / trained
        scale = math.sqrt(1 + math.log(longer) / math.log(trained)) if longer > 1 else 1.0
        angles = torch.cat((angles, angles), dim=-1)
        return (angles.cos() * scale).to(x.dtype), (angles.sin() * scale).to(x.dtype)


class Phi3VPreTrainedModel(PreTrainedModel):
    config_class = Phi3VConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ("Phi3DecoderLayer",)
    _skip_keys_device_placement = "past_key_values"
    _supports_flash_attn_2 = True
    _supports_sdpa = False
    _supports_cache_class = True

    def _init_weights(self, module: Any) -> None:
        """The maker sets the weights."""


class Phi3VModel(Phi3VPreTrainedModel):
    def __init__(self, config: Phi3VConfig) -> None:
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, config.pad_token_id)
        self.vision_embed_tokens = Phi3ImageEmbedding(config, wte=self.embed_tokens, **config.embd_layer)
        self.layers = nn.ModuleList(Phi3DecoderLayer(config, index) for index in range(config.num_hidden_layers))
        self.norm = Phi3RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.rotary = Phi3SuScaledRotaryEmbedding(config.hidden_size // config.num_attention_heads, config)
        self.post_init()

    def get_input_embeddings(self) -> Any:
        return self.embed_tokens

    def set_input_embeddings(self, value: Any) -> None:
        self.embed_tokens = value

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        position_ids: Any = None,
        past_key_values: Any = None,
        inputs_embeds: Any = None,
        pixel_values: Any = None,
        image_sizes: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        use_cache = self.config.use_cache if use_cache is None else use_cache
        tuples = use_cache and not isinstance(past_key_values, Cache)
        if tuples:
            past_key_values = DynamicCache.from_legacy_cache(past_key_values)
        if inputs_embeds is None and pixel_values is not None and image_sizes is not None:
            inputs_embeds = self.vision_embed_tokens(input_ids, pixel_values=pixel_values, image_sizes=image_sizes)
        elif inputs_embeds is None:
            inputs_embeds = self.embed_tokens(input_ids)
        rows, length = inputs_embeds.shape[:2]
        past = past_key_values.get_seq_length() if use_cache else 0
        if position_ids is None:
            position_ids = torch.arange(past, past + length, device=inputs_embeds.device).unsqueeze(0)
        mask = _prepare_4d_causal_attention_mask(
            attention_mask, (rows, length), inputs_embeds, past, sliding_window=self.config.sliding_window
        )
        hidden_states = inputs_embeds
        positions = self.rotary(hidden_states, position_ids)
        for layer in self.layers:
            hidden_states = layer(
                hidden_states,
                attention_mask=mask,
                position_ids=position_ids,
                past_key_value=past_key_values,
                use_cache=use_cache,
                position_embeddings=positions,
            )[0]
        cache = past_key_values.to_legacy_cache() if tuples else past_key_values
        return BaseModelOutputWithPast(
            last_hidden_state=self.norm(hidden_states),
            past_key_values=cache if use_cache else None,
        )


class Phi3VForCausalLM(Phi3VPreTrainedModel):
    _tied_weights_keys = ("lm_head.weight",)

    def __init__(self, config: Phi3VConfig) -> None:
        super().__init__(config)
        self.model = Phi3VModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> Any:
        return self.model.embed_tokens

    def set_input_embeddings(self, value: Any) -> None:
        self.model.embed_tokens = value

    def get_output_embeddings(self) -> Any:
        return self.lm_head

    def set_output_embeddings(self, new_embeddings: Any) -> None:
        self.lm_head = new_embeddings

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        position_ids: Any = None,
        past_key_values: Any = None,
        inputs_embeds: Any = None,
        pixel_values: Any = None,
        image_sizes: Any = None,
        labels: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            pixel_values=pixel_values,
            image_sizes=image_sizes,
            use_cache=use_cache,
        )
        logits = self.lm_head(outputs.last_hidden_state).float()
        return CausalLMOutputWithPast(logits=logits, past_key_values=outputs.past_key_values)

    def prepare_inputs_for_generation(
        self,
        input_ids: Any,
        past_key_values: Any = None,
        attention_mask: Any = None,
        inputs_embeds: Any = None,
        pixel_values: Any = None,
        image_sizes: Any = None,
        **kwargs: Any,
    ) -> Any:
        past = 0
        if past_key_values is not None:
            cached = isinstance(past_key_values, Cache)
            past = past_key_values.get_seq_length() if cached else past_key_values[0][0].shape[2]
        position_ids = kwargs.get("position_ids")
        if attention_mask is not None and position_ids is None:
            position_ids = (attention_mask.long().cumsum(-1) - 1).masked_fill(attention_mask == 0, 1)
        if inputs_embeds is not None and past == 0:
            inputs = {"inputs_embeds": inputs_embeds}
        else:
            inputs = {"input_ids": input_ids[:, past:]}
        return inputs | {
            "position_ids": None if position_ids is None else position_ids[:, past:],
            "past_key_values": past_key_values,
            "use_cache": kwargs.get("use_cache"),
            "attention_mask": attention_mask,
            "pixel_values": pixel_values,
            "image_sizes": image_sizes,
        }
