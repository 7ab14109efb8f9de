"""A stand-in written for the tests; it holds no published code, only the published names, arguments and shapes.

Interface: OpenGVLab/InternVL2-2B, as of the copy named in tests/integration/engines/published.json.
As published: its own names for Llama's parts, one matrix for query, key and value in groups, tuples as cache, logits
for every position.
"""

import math
from typing import Any

import torch
from einops import rearrange, repeat
from torch import nn
from transformers.activations import ACT2FN
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.modeling_utils import PreTrainedModel
from transformers.models.llama.modeling_llama import LlamaRMSNorm, apply_rotary_pos_emb

from .configuration_internlm2 import InternLM2Config


class _Angles(nn.Module):
    """Angles for the positions up to ``seq_len``; beyond the trained length the base grows ("dynamic")."""

    def __init__(self, config: InternLM2Config) -> None:
        super().__init__()
        self.config = config
        self.dim = config.hidden_size // config.num_attention_heads

    def forward(self, x: Any, position_ids: Any, seq_len: int) -> Any:
        base, trained = self.config.rope_theta, self.config.max_position_embeddings
        if self.config.rope_scaling is not None and seq_len > trained:
            factor = self.config.rope_scaling["factor"]
            base *= (factor * seq_len / trained - (factor - 1)) ** (self.dim / (self.dim - 2))
        frequencies = base ** (-torch.arange(0, self.dim, 2, device=x.device).float() / self.dim)
        angles = position_ids.unsqueeze(-1).float() * frequencies
        angles = torch.cat([angles, angles], dim=-1)
        return angles.cos().to(x.dtype), angles.sin().to(x.dtype)


class InternLM2Attention(nn.Module):
    def __init__(self, config: InternLM2Config) -> None:
        super().__init__()
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.groups = config.num_attention_heads // config.num_key_value_heads
        rows = (config.num_attention_heads + 2 * config.num_key_value_heads) * self.head_dim
        self.wqkv = nn.Linear(config.hidden_size, rows, bias=config.bias)
        self.wo = nn.Linear(config.hidden_size, config.hidden_size, bias=config.bias)
        self.rotary_emb = _Angles(config)

    def forward(
        self,
        hidden_states: Any,
        attention_mask: Any = None,
        position_ids: Any = None,
        past_key_value: Any = None,
        output_attentions: bool = False,
        use_cache: bool = False,
        **kwargs: Any,
    ) -> Any:
        together = rearrange(self.wqkv(hidden_states), "b n (h g d) -> b h n g d", g=self.groups + 2, d=self.head_dim)
        query = rearrange(together[..., :-2, :], "b h n g d -> b (h g) n d")
        key, value = together[..., -2, :], together[..., -1, :]
        past = 0 if past_key_value is None else past_key_value[0].shape[2]
        cos, sin = self.rotary_emb(value, position_ids, seq_len=past + query.shape[2])
        query, key = apply_rotary_pos_emb(query, key, cos, sin)
        if past_key_value is not None:
            key = torch.cat([past_key_value[0], key], dim=2)
            value = torch.cat([past_key_value[1], value], dim=2)
        wide_key, wide_value = (repeat(part, "b h n d -> b (h g) n d", g=self.groups) for part in (key, value))
        scores = query @ wide_key.transpose(2, 3) / math.sqrt(self.head_dim) + attention_mask
        mixed = scores.softmax(dim=-1, dtype=torch.float32).to(query.dtype) @ wide_value
        return self.wo(rearrange(mixed, "b h n d -> b n (h d)")), None, (key, value) if use_cache else None


class InternLM2MLP(nn.Module):
    def __init__(self, config: InternLM2Config) -> None:
        super().__init__()
        self.w1 = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.w3 = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.w2 = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.act_fn = ACT2FN[config.hidden_act]

    def forward(self, x: Any) -> Any:
        return self.w2(self.act_fn(self.w1(x)) * self.w3(x))


class InternLM2DecoderLayer(nn.Module):
    def __init__(self, config: InternLM2Config) -> None:
        super().__init__()
        self.attention = InternLM2Attention(config)
        self.feed_forward = InternLM2MLP(config)
        self.attention_norm = LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.ffn_norm = LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)

    def forward(
        self,
        hidden_states: Any,
        attention_mask: Any = None,
        position_ids: Any = None,
        past_key_value: Any = None,
        output_attentions: bool | None = False,
        use_cache: bool | None = False,
        **kwargs: Any,
    ) -> Any:
        seen = self.attention_norm(hidden_states)
        attended, _, cache = self.attention(seen, attention_mask, position_ids, past_key_value, use_cache=use_cache)
        hidden_states = hidden_states + attended
        return hidden_states + self.feed_forward(self.ffn_norm(hidden_states)), cache


class InternLM2PreTrainedModel(PreTrainedModel):
    config_class = InternLM2Config
    base_model_prefix = "model"
    _no_split_modules = ("InternLM2DecoderLayer",)
    _skip_keys_device_placement = "past_key_values"
    _supports_flash_attn_2 = True

    def _init_weights(self, module: Any) -> None:
        """The maker sets the weights."""


class InternLM2Model(InternLM2PreTrainedModel):
    _auto_class = "AutoModel"

    def __init__(self, config: InternLM2Config) -> None:
        super().__init__(config)
        self.tok_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, config.pad_token_id)
        self.layers = nn.ModuleList(InternLM2DecoderLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.post_init()

    def get_input_embeddings(self) -> Any:
        return self.tok_embeddings

    def set_input_embeddings(self, value: Any) -> None:
        self.tok_embeddings = value

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        position_ids: Any = None,
        past_key_values: Any = None,
        inputs_embeds: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        use_cache = self.config.use_cache if use_cache is None else use_cache
        hidden_states = self.tok_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        rows, length = hidden_states.shape[:2]
        past = 0 if past_key_values is None else past_key_values[0][0].shape[2]
        device = hidden_states.device
        if attention_mask is None:
            attention_mask = torch.ones(rows, past + length, device=device)
        if position_ids is None:
            position_ids = torch.arange(past, past + length, device=device).unsqueeze(0)
        seen = torch.arange(past + length, device=device) <= torch.arange(past, past + length, device=device)[:, None]
        seen = seen & attention_mask.bool()[:, None, None, :]
        mask = torch.zeros(seen.shape, device=device, dtype=hidden_states.dtype)
        mask = mask.masked_fill(~seen, torch.finfo(hidden_states.dtype).min)
        caches: tuple[Any, ...] = ()
        for index, layer in enumerate(self.layers):
            hidden_states, cache = layer(
                hidden_states,
                attention_mask=mask,
                position_ids=position_ids,
                past_key_value=None if past_key_values is None else past_key_values[index],
                use_cache=use_cache,
            )
            caches += (cache,)
        return BaseModelOutputWithPast(
            last_hidden_state=self.norm(hidden_states), past_key_values=caches if use_cache else None
        )


class InternLM2ForCausalLM(InternLM2PreTrainedModel):
    _auto_class = "AutoModelForCausalLM"
    _tied_weights_keys = ("output.weight",)

    def __init__(self, config: InternLM2Config) -> None:
        super().__init__(config)
        self.model = InternLM2Model(config)
        self.vocab_size = config.vocab_size
        self.output = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> Any:
        return self.model.tok_embeddings

    def set_input_embeddings(self, value: Any) -> None:
        self.model.tok_embeddings = value

    def get_output_embeddings(self) -> Any:
        return self.output

    def set_output_embeddings(self, new_embeddings: Any) -> None:
        self.output = new_embeddings

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        position_ids: Any = None,
        past_key_values: Any = None,
        inputs_embeds: Any = None,
        labels: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        outputs = self.model(input_ids, attention_mask, position_ids, past_key_values, inputs_embeds, use_cache)
        logits = self.output(outputs.last_hidden_state).float()
        return CausalLMOutputWithPast(logits=logits, past_key_values=outputs.past_key_values)

    def prepare_inputs_for_generation(
        self,
        input_ids: Any,
        past_key_values: Any = None,
        attention_mask: Any = None,
        inputs_embeds: Any = None,
        **kwargs: Any,
    ) -> Any:
        position_ids = kwargs.get("position_ids")
        if attention_mask is not None and position_ids is None:
            position_ids = (attention_mask.long().cumsum(-1) - 1).masked_fill(attention_mask == 0, 1)
        if past_key_values is not None:
            input_ids = input_ids[:, -1:]
            position_ids = None if position_ids is None else position_ids[:, -1:]
        first = inputs_embeds is not None and past_key_values is None
        inputs = {"inputs_embeds": inputs_embeds} if first else {"input_ids": input_ids}
        return inputs | {
            "position_ids": position_ids,
            "past_key_values": past_key_values,
            "use_cache": kwargs.get("use_cache"),
            "attention_mask": attention_mask,
        }
