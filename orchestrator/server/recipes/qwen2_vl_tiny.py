"""A Qwen2-VL of the real architecture with about half a million parameters, untrained, made from a seed.

What it answers is nonsense by nature: it shows that the way from an image to an answer works, no more.
The folder is an ordinary one of transformers (safetensors, tokenizer, chat template), so vLLM loads it too.
"""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

#: Raised with every change of what is made, so that weights made earlier are made anew.
VERSION = 1
VOCABULARY = 512
CONTEXT = 2048
#: One image has at most this many pixels: 256 patches of 28 x 28, that is 256 tokens.
MAX_PIXELS = 256 * 28 * 28
END, START_TURN, END_TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL = (END, START_TURN, END_TURN, "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
#: Words that are one token each, so that the vocabulary has more than bytes.
WORDS = (
    "the",
    "and",
    "of",
    "in",
    "is",
    "image",
    "text",
    "what",
    "this",
    "page",
    "table",
    "word",
    "line",
    "number",
)
CHAT_TEMPLATE = """\
{%- for message in messages %}
{%- if loop.first and message.role != 'system' %}<|im_start|>system
You are a helpful assistant.<|im_end|>
{% endif %}<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}
{%- else %}
{%- for part in message.content %}
{%- if part.type == 'text' %}{{ part.text }}
{%- else %}<|vision_start|><|image_pad|><|vision_end|>
{%- endif %}
{%- endfor %}
{%- endif %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def make(folder: Path, seed: int) -> None:
    """Writes the model to a new folder."""
    tokenizer = _tokenizer()
    config = _config(tokenizer)
    torch.manual_seed(seed)
    model = Qwen2VLForConditionalGeneration(config).eval()
    _prefer_readable(model, tokenizer)
    model.generation_config = GenerationConfig(
        do_sample=False,
        bos_token_id=config.text_config.bos_token_id,
        eos_token_id=config.text_config.eos_token_id,
        pad_token_id=config.text_config.pad_token_id,
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Qwen2VLImageProcessorPil(min_pixels=56 * 56, max_pixels=MAX_PIXELS).save_pretrained(folder)


def _tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE: every byte, the special tokens, and a few words with their beginnings."""
    vocabulary = {character: index for index, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        for spelled in (word, "Ġ" + word):  # Ġ is the byte-level spelling of a space
            piece = spelled[0]
            for character in spelled[1:]:
                if piece + character not in vocabulary:
                    merges.append((piece, character))
                    vocabulary[piece + character] = len(vocabulary)
                piece += character
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_TURN,
        pad_token=END,
        model_max_length=CONTEXT,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def _config(tokenizer: PreTrainedTokenizerFast) -> Qwen2VLConfig:
    token = {text: tokenizer.convert_tokens_to_ids(text) for text in SPECIAL}
    text = {
        "vocab_size": VOCABULARY,
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
        # Larger than usual, so that an untrained model's answer depends on what it is asked.
        "initializer_range": 0.2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]},
        "bos_token_id": token[END],
        "eos_token_id": token[END_TURN],
        "pad_token_id": token[END],
    }
    vision = {
        "depth": 2,
        "embed_dim": 64,
        "num_heads": 4,
        "hidden_size": 128,
        "mlp_ratio": 2,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "initializer_range": 0.2,
    }
    return Qwen2VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=token["<|image_pad|>"],
        video_token_id=token["<|video_pad|>"],
        vision_start_token_id=token["<|vision_start|>"],
        vision_end_token_id=token["<|vision_end|>"],
        tie_word_embeddings=False,
        dtype="float32",
    )


def _prefer_readable(model: Qwen2VLForConditionalGeneration, tokenizer: PreTrainedTokenizerFast) -> None:
    """Zeroes the output rows of all tokens but readable ones: greedy decoding then picks a readable one.

    The largest of hundreds of random scores is positive, so it beats the zeros.
    """
    with torch.no_grad():
        for token in range(VOCABULARY):
            text = tokenizer.decode([token]) if token < len(tokenizer) else ""
            if token in tokenizer.all_special_ids or not (text.isascii() and text.strip() and text.isprintable()):
                model.lm_head.weight[token] = 0.0
