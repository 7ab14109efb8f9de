"""GOT-OCR2, by transformers' own classes, tiny: an image of 1024 x 1024 pixels is 256 tokens, as published.

Needs transformers 5.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import GenerationConfig, GotOcr2Config, GotOcr2ForConditionalGeneration, PreTrainedTokenizerFast
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

from .making import byte_level, fill, prefer, readable, write_json

END, END_TURN, IMAGE = "<|endoftext|>", "<|im_end|>", "<imgpad>"
SPECIAL = (
    END,
    "<|im_start|>",
    END_TURN,
    "<ref>",
    "</ref>",
    "<box>",
    "</box>",
    "<quad>",
    "</quad>",
    "<img>",
    "</img>",
    IMAGE,
)
CONTEXT = 4096


def make(folder: Path, seed: int) -> None:
    tokens = byte_level(SPECIAL)
    end, end_turn = tokens.token_to_id(END), tokens.token_to_id(END_TURN)
    config = GotOcr2Config(
        vision_config={
            "hidden_size": 16,
            "output_channels": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "window_size": 14,
            "global_attn_indexes": [1],
            "mlp_dim": 32,
        },
        text_config={
            "model_type": "qwen2",
            "vocab_size": tokens.get_vocab_size(),
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "max_position_embeddings": CONTEXT,
            "tie_word_embeddings": True,
            "use_cache": True,
            "bos_token_id": end,
            "eos_token_id": end,
        },
        image_token_index=tokens.token_to_id(IMAGE),
        image_seq_length=256,
        pad_token_id=end,
        tie_word_embeddings=True,
        dtype="float32",
    )
    model = GotOcr2ForConditionalGeneration(config).eval()
    fill(model, seed, deviation=0.2)
    fill(model.model.vision_tower, seed + 1, deviation=0.5)  # more, or all images look alike
    prefer(model.lm_head.weight, readable(tokens, *SPECIAL))
    # The head is the embedding. So the prompt's marks can't be zeros, which would keep them out of answers: small then.
    with torch.no_grad():
        for text in set(SPECIAL) - {END_TURN}:
            model.lm_head.weight[tokens.token_to_id(text)] *= 0.2
    model.generation_config = GenerationConfig(
        do_sample=False, bos_token_id=end, eos_token_id=end_turn, pad_token_id=end
    )
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokens,
        bos_token=END,
        eos_token=END,
        pad_token=END,
        model_max_length=CONTEXT,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)
    GotOcr2ImageProcessorPil(size={"height": 1024, "width": 1024}).save_pretrained(folder)
    write_json(folder, processor_config={"processor_class": "GotOcr2Processor"})
