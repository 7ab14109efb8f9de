"""dots.ocr, a stand-in: Qwen2 with a tiny vision tower. Needs transformers 4.51."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, Qwen2TokenizerFast

from .making import byte_level, fill, prefer, readable, write_code, write_json, write_weights

END, END_ANSWER = "<|endoftext|>", "<|endofassistant|>"
#: In the order of the published tokenizer, from 151643 on, from 151656 and from 151665 there.
SPECIAL = (
    END,
    "<|im_start|>",
    "<|im_end|>",
    "<|video_pad|>",
    "<|imgpad|>",
    "<|img|>",
    "<|endofimg|>",
    "<|systemprompt|>",
    "<|endofsystemprompt|>",
    "<|user|>",
    "<|endofuser|>",
    "<|assistant|>",
    END_ANSWER,
    "[PAD]",
)
#: The tokenizer's own template, which takes texts only.
TEMPLATE = """\
{%- for message in messages %}
{%- if message.role == 'system' %}{{- '<|system|>' + message.content + '<|endofsystem|>\n' }}
{%- elif message.role == 'user' %}{{- '<|user|>' + message.content + '<|endofuser|>' }}
{%- elif message.role == 'assistant' %}{{- '<|assistant|>' + message.content }}
{%- if not loop.last %}{{- '<|endofassistant|>' }}{% endif %}
{%- endif %}
{%- endfor %}
{%- if messages[-1].role != 'assistant' %}{{- '<|assistant|>' }}{% endif %}"""

#: The processor's template: as published, a user's message in parts gets no marks of its own, but a leading space.
PARTS_TEMPLATE = """\
{%- for message in messages %}
{%- if message.role == 'system' %}{{- '<|system|>' + message.content + '<|endofsystem|>\n' }}
{%- elif message.role == 'user' and message.content is string %}{{- '<|user|>' + message.content + '<|endofuser|>' }}
{%- elif message.role == 'user' %}{{- ' ' }}
{%- for part in message.content %}
{%- if part.type == 'image' %}{{- '<|img|><|imgpad|><|endofimg|>' }}{% else %}{{- part.text }}{% endif %}
{%- endfor %}
{%- elif message.role == 'assistant' %}{{- '<|assistant|>' + message.content }}
{%- if not loop.last %}{{- '<|endofassistant|>' }}{% endif %}
{%- endif %}
{%- endfor %}
{%- if messages[-1].role != 'assistant' %}{{- '<|assistant|>' }}{% endif %}"""


def make(folder: Path, seed: int) -> None:
    tokens = byte_level(SPECIAL)
    write_code("dots_ocr", folder)
    write_json(
        folder,
        config={
            "architectures": ["DotsOCRForCausalLM"],
            "model_type": "dots_ocr",
            "auto_map": {
                "AutoConfig": "configuration_dots.DotsOCRConfig",
                "AutoModelForCausalLM": "modeling_dots_ocr.DotsOCRForCausalLM",
            },
            "attention_bias": True,
            "hidden_size": 64,
            "intermediate_size": 128,
            "max_position_embeddings": 4096,
            "num_attention_heads": 2,
            "num_hidden_layers": 2,
            "num_key_value_heads": 1,
            "rms_norm_eps": 1e-6,
            "rope_theta": 1000000,
            "sliding_window": 131072,
            "use_sliding_window": False,
            "tie_word_embeddings": False,
            "torch_dtype": "bfloat16",
            "use_cache": True,
            "vocab_size": tokens.get_vocab_size(),
            "image_token_id": tokens.token_to_id("<|imgpad|>"),
            "video_token_id": tokens.token_to_id("<|video_pad|>"),
            "vision_config": {
                "embed_dim": 48,
                "hidden_size": 64,
                "intermediate_size": 96,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "attn_implementation": "flash_attention_2",
            },
        },
        generation_config={
            "max_length": 4096,
            "eos_token_id": [tokens.token_to_id(END), tokens.token_to_id(END_ANSWER)],
        },
        chat_template={"chat_template": PARTS_TEMPLATE},
        preprocessor_config={
            "min_pixels": 3136,
            "max_pixels": 11289600,
            "patch_size": 14,
            "temporal_patch_size": 1,
            "merge_size": 2,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711],
            "image_processor_type": "Qwen2VLImageProcessor",
            "processor_class": "DotsVLProcessor",
        },
    )
    Qwen2TokenizerFast(
        tokenizer_object=tokens,
        eos_token=END,
        pad_token="[PAD]",
        unk_token=None,
        bos_token=None,
        model_max_length=4096,
        chat_template=TEMPLATE,
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)
    config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
    model = AutoModelForCausalLM.from_config(config, trust_remote_code=True, torch_dtype=torch.float32)
    fill(model, seed, deviation=0.2)
    prefer(model.lm_head.weight, readable(tokens, END_ANSWER))
    write_weights(model, folder)
