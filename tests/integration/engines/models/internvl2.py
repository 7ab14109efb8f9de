"""InternVL2, a stand-in: a small vision tower, InternLM2 by its own names, a tokenizer of sentencepiece.

Needs transformers 4.48, einops, sentencepiece, and something that answers to ``timm`` (here: made on the spot).
"""

from __future__ import annotations

import io
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import sentencepiece
import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer

from .making import fill, prefer, write_code, write_json, write_weights

#: In the published order, from 92538 on.
SPECIAL = (
    "<|plugin|>",
    "<|interpreter|>",
    "<|action_end|>",
    "<|action_start|>",
    "<|im_end|>",
    "<|im_start|>",
    "<img>",
    "</img>",
    "<IMG_CONTEXT>",
    "<quad>",
    "</quad>",
    "<ref>",
    "</ref>",
    "<box>",
    "</box>",
)
#: Not the template of the model's own ``chat``, which lives in conversation.py: as published.
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
#: Tiles have 112 x 112 pixels, so 16 tokens instead of 256.
TILE = 112


def make(folder: Path, seed: int) -> None:
    write_code("internvl2", folder)
    pieces = _train(folder / "tokenizer.model")
    special = {text: pieces + index for index, text in enumerate(SPECIAL)}
    tokens = {0: "<unk>", 1: "<s>", 2: "</s>"} | {index: text for text, index in special.items()}
    write_json(
        folder,
        config={
            "architectures": ["InternVLChatModel"],
            "model_type": "internvl_chat",
            "auto_map": {
                "AutoConfig": "configuration_internvl_chat.InternVLChatConfig",
                "AutoModel": "modeling_internvl_chat.InternVLChatModel",
                "AutoModelForCausalLM": "modeling_internvl_chat.InternVLChatModel",
            },
            "downsample_ratio": 0.5,
            "dynamic_image_size": True,
            "force_image_size": TILE,
            "max_dynamic_patch": 12,
            "min_dynamic_patch": 1,
            "ps_version": "v2",
            "select_layer": -1,
            "template": "internlm2-chat",
            "torch_dtype": "float32",
            "use_thumbnail": True,
            "llm_config": {
                "architectures": ["InternLM2ForCausalLM"],
                "model_type": "internlm2",
                "attn_implementation": "flash_attention_2",
                "bias": False,
                "bos_token_id": 1,
                "eos_token_id": 2,
                "pad_token_id": 2,
                "hidden_act": "silu",
                "hidden_size": 64,
                "intermediate_size": 128,
                "max_position_embeddings": 4096,
                "num_attention_heads": 2,
                "num_hidden_layers": 2,
                "num_key_value_heads": 1,
                "rms_norm_eps": 1e-5,
                "rope_scaling": {"factor": 2.0, "type": "dynamic"},
                "rope_theta": 1000000,
                "tie_word_embeddings": False,
                "torch_dtype": "float32",
                "use_cache": True,
                "vocab_size": pieces + len(SPECIAL),
            },
            "vision_config": {
                "architectures": ["InternVisionModel"],
                "model_type": "intern_vit_6b",
                "drop_path_rate": 0.0,
                "hidden_act": "gelu",
                "hidden_size": 32,
                "image_size": TILE,
                "initializer_factor": 1.0,
                "intermediate_size": 64,
                "layer_norm_eps": 1e-6,
                "norm_type": "layer_norm",
                "num_attention_heads": 2,
                "num_hidden_layers": 2,
                "patch_size": 14,
                "qk_normalization": False,
                "qkv_bias": True,
                "torch_dtype": "float32",
                "use_flash_attn": True,
            },
        },
        generation_config={"eos_token_id": [special["<|im_end|>"], special["<|im_start|>"]]},
        tokenizer_config={
            "added_tokens_decoder": {
                index: {"content": text, "special": True, "normalized": False, "lstrip": False, "rstrip": False}
                for index, text in tokens.items()
            },
            "additional_special_tokens": list(SPECIAL),
            "auto_map": {"AutoTokenizer": ["tokenization_internlm2.InternLM2Tokenizer", None]},
            "bos_token": "<s>",
            "eos_token": "</s>",
            "pad_token": "</s>",
            "unk_token": "<unk>",
            "chat_template": TEMPLATE,
            "clean_up_tokenization_spaces": False,
            "model_max_length": 4096,
            "tokenizer_class": "InternLM2Tokenizer",
        },
    )
    _supply_timm()
    config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
    model = AutoModel.from_config(config, trust_remote_code=True, torch_dtype=torch.float32)
    fill(model, seed, deviation=0.2)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True, use_fast=False)
    prefer(model.language_model.output.weight, [special["<|im_end|>"], *_readable(tokenizer, pieces)])
    write_weights(model, folder)


def _train(file: Path) -> int:
    """Writes a vocabulary of all bytes and the characters of ASCII; gives its size."""
    ascii_words = [chr(code) * 2 for code in range(33, 127)]
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(ascii_words),
        model_writer=written,
        model_type="bpe",
        vocab_size=3 + 256 + 95,  # the marks, the bytes, and one piece per character and for the blank
        character_coverage=1.0,
        byte_fallback=True,
        pad_id=-1,
        normalization_rule_name="identity",
        num_threads=1,
        minloglevel=2,
    )
    file.write_bytes(written.getvalue())
    return int(sentencepiece.SentencePieceProcessor(model_file=str(file)).get_piece_size())


def _readable(tokenizer: Any, pieces: int) -> list[int]:
    plain = [token for token in range(pieces) if len(tokenizer.convert_ids_to_tokens(token)) == 1]
    return [token for token in plain if tokenizer.convert_ids_to_tokens(token).isascii()]


def _supply_timm() -> None:
    """A module with the one name that the code imports and never uses."""
    for name in ("timm", "timm.models", "timm.models.layers"):
        module = sys.modules.setdefault(name, ModuleType(name))
        module.__spec__ = ModuleSpec(name, None)
    sys.modules["timm.models.layers"].__dict__["DropPath"] = nn.Identity
