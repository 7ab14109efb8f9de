"""Qwen2-VL, by transformers' own classes, tiny. Needs transformers 5.

Its heads have a size of 32, the least that vLLM computes on a CPU; the same holds for the others that vLLM serves.
"""

from __future__ import annotations

from pathlib import Path

from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen2VLConfig, Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from .making import byte_level, fill, prefer, readable

END, END_TURN = "<|endoftext|>", "<|im_end|>"
SPECIAL = (END, "<|im_start|>", END_TURN, "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
CONTEXT = 4096
TEMPLATE = """\
{%- for message in messages %}
{%- if loop.first and message.role != 'system' %}<|im_start|>system
You are a helpful assistant.<|im_end|>
{% endif %}<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}
{%- else %}
{%- for part in message.content %}
{%- if part.type == 'text' %}{{ part.text }}{% else %}<|vision_start|><|image_pad|><|vision_end|>{% endif %}
{%- endfor %}
{%- endif %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def make(folder: Path, seed: int) -> None:
    tokens = byte_level(SPECIAL)
    ids = {text: tokens.token_to_id(text) for text in SPECIAL}
    marks = {"bos_token_id": ids[END], "eos_token_id": ids[END_TURN], "pad_token_id": ids[END]}
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": tokens.get_vocab_size(),
            "hidden_size": 128,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": CONTEXT,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]},
            **marks,
        },
        vision_config={
            "depth": 2,
            "embed_dim": 32,
            "num_heads": 2,
            "hidden_size": 128,
            "mlp_ratio": 2,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=False,
        dtype="float32",
    )
    model = Qwen2VLForConditionalGeneration(config).eval()
    fill(model, seed, deviation=0.2)
    prefer(model.lm_head.weight, readable(tokens, END_TURN))
    model.generation_config = GenerationConfig(do_sample=False, **marks)
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokens,
        eos_token=END_TURN,
        pad_token=END,
        model_max_length=CONTEXT,
        chat_template=TEMPLATE,
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)
    Qwen2VLImageProcessorPil(min_pixels=56 * 56, max_pixels=256 * 28 * 28).save_pretrained(folder)
