"""Phi-3-vision, a stand-in: Phi-3 and CLIP, tiny. Needs transformers 4.48."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
from transformers import AutoConfig, AutoModelForCausalLM, LlamaTokenizerFast

from .making import fill, prefer, readable, write_code, write_json, write_weights

#: The published order from 32000 on; the flag is "swallows the blanks that follow".
SPECIAL = (
    ("<|endoftext|>", False),
    ("<|assistant|>", True),
    ("<|placeholder1|>", True),
    ("<|placeholder2|>", True),
    ("<|placeholder3|>", True),
    ("<|placeholder4|>", True),
    ("<|system|>", False),
    ("<|end|>", False),
    ("<|placeholder5|>", True),
    ("<|placeholder6|>", True),
    ("<|user|>", False),
    *((f"<|placeholder{number}|>", True) for number in range(7, 40)),
    ("<|image|>", True),
)
END, END_TURN = "<|endoftext|>", "<|end|>"
TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message.role + '|>\n' + message.content + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt and messages[-1].role != 'assistant' %}{{ '<|assistant|>\n' }}{% endif %}"
)


def make(folder: Path, seed: int, *, clip: int = 32) -> None:
    """``clip``: the width of the vision tower, 32, or 1024 as published; then the marks have their published places."""
    tokens = _tokens(words=32000 if clip == 1024 else 0)
    end, end_turn = tokens.token_to_id(END), tokens.token_to_id(END_TURN)
    write_code("phi3_vision", folder)
    write_json(
        folder,
        config={
            "architectures": ["Phi3VForCausalLM"],
            "model_type": "phi3_v",
            "auto_map": {
                "AutoConfig": "configuration_phi3_v.Phi3VConfig",
                "AutoModelForCausalLM": "modeling_phi3_v.Phi3VForCausalLM",
            },
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": end,
            "embd_layer": {
                "embedding_cls": "image",
                "hd_transform_order": "sub_glb",
                "projection_cls": "mlp",
                "use_hd_transform": True,
                "with_learnable_separator": True,
            },
            "img_processor": {
                "image_dim_out": clip,
                "model_name": "openai/clip-vit-large-patch14-336",
                "name": "clip_vision_model",
                "num_img_tokens": 144,
            },
            "hidden_size": 128,
            "intermediate_size": 128,
            "num_attention_heads": 4,
            "num_hidden_layers": 2,
            "num_key_value_heads": 4,
            "max_position_embeddings": 131072,
            "original_max_position_embeddings": 4096,
            "rope_scaling": {
                "type": "su",
                "short_factor": [1.05 + step / 10 for step in range(16)],
                "long_factor": [1.05 + 2.0 * step for step in range(16)],
            },
            "rope_theta": 10000.0,
            "rms_norm_eps": 1e-5,
            "sliding_window": 131072,
            "tie_word_embeddings": False,
            "torch_dtype": "float32",
            "use_cache": True,
            "vocab_size": tokens.get_vocab_size(),
            "_attn_implementation": "flash_attention_2",
        },
        generation_config={"bos_token_id": 1, "eos_token_id": [end_turn, end], "pad_token_id": end},
        preprocessor_config={
            "auto_map": {
                "AutoProcessor": "processing_phi3_v.Phi3VProcessor",
                "AutoImageProcessor": "processing_phi3_v.Phi3VImageProcessor",
            },
            "num_crops": 4 if clip == 32 else 1,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711],
            "image_processor_type": "Phi3VImageProcessor",
            "processor_class": "Phi3VProcessor",
            "num_img_tokens": 144,
        },
    )
    LlamaTokenizerFast(
        tokenizer_object=tokens,
        bos_token="<s>",
        eos_token=END,
        pad_token=END,
        unk_token="<unk>",
        # vLLM takes away the blanks that decoding puts behind marks, where the tokenizer names the mark here.
        additional_special_tokens=["<|system|>", END_TURN, "<|user|>"],
        add_bos_token=True,
        padding_side="right",
        model_max_length=131072,
        legacy=False,
        chat_template=TEMPLATE,
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)
    config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
    model = AutoModelForCausalLM.from_config(
        config, trust_remote_code=True, torch_dtype=torch.float32, attn_implementation="eager"
    )
    fill(model, seed, deviation=0.2)
    prefer(model.lm_head.weight, readable(tokens, END_TURN))
    write_weights(model, folder, without="model.vision_embed_tokens.wte.weight")


def _tokens(words: int) -> Tokenizer:
    """As Llama's: spaces become a mark of their own, what is not in the vocabulary falls back to bytes.

    ``words``: so many tokens are before the marks; those that no text has are among them.
    """
    plain = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *map(chr, range(33, 127))]
    plain += [f"<nothing{number}>" for number in range(len(plain), words)]
    model = models.BPE(
        vocab={text: index for index, text in enumerate(plain)},
        merges=[],
        unk_token="<unk>",
        fuse_unk=True,
        byte_fallback=True,
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in ("<unk>", "<s>")])
    tokenizer.add_special_tokens(
        [AddedToken(text, special=True, normalized=False, rstrip=swallows) for text, swallows in SPECIAL]
    )
    return tokenizer
