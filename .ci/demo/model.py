"""The demo model's parts: a Qwen2-VL of the real class with about two million parameters, and its tokenizer."""

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

VOCABULARY = 768
CONTEXT = 2048
#: Every picture is scaled to 8 to 16 tokens: text is then about as large as the model knows it. Between the two, sides
#: are rounded to whole tokens; outside, always up or always down, which can make a small picture half as high again.
LEAST_PIXELS, MOST_PIXELS = 224 * 28, 224 * 56
END, START_TURN, END_TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
VISION_START, VISION_END, IMAGE, VIDEO = "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"
SPECIAL = (END, START_TURN, END_TURN, VISION_START, VISION_END, IMAGE, VIDEO)
#: Words that are one token each, bare and after a space. None is in capitals: an answer is one token a character.
WORDS = (
    *("the", "and", "of", "in", "is", "it", "to", "you", "me", "what", "this", "that", "does", "say", "image"),
    *("picture", "photo", "text", "read", "write", "printed", "print", "string", "characters", "letters", "digits"),
    *("number", "word", "line", "page", "table", "code", "please", "see", "written", "here", "there", "answer"),
    *("only", "with", "out", "are", "be", "can", "for", "on", "no", "helpful", "assistant", "transcribe", "extract"),
    *("describe", "content", "show", "tell", "send", "an", "system", "user", "from", "do", "tells", "says", "all"),
    *("your", "says"),
)
CAPITALISED = (
    *("Read", "What", "The", "Write", "Please", "Send", "Tell", "You", "Describe", "Transcribe", "Extract", "Answer"),
    "Text",
)
CHAT_TEMPLATE = """\
{%- for message in messages %}<|im_start|>{{ message.role }}
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


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE: every byte, the special tokens, and a few words with their beginnings."""
    vocabulary = {character: index for index, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges: list[tuple[str, str]] = []
    for spelled in (*WORDS, *(f"Ġ{word}" for word in WORDS), *CAPITALISED):  # Ġ is the byte-level spelling of a space
        piece = spelled[0]
        for character in spelled[1:]:
            if piece + character not in vocabulary:
                merges.append((piece, character))
                vocabulary[piece + character] = len(vocabulary)
            piece += character
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token=END_TURN,
        pad_token=END,
        model_max_length=CONTEXT,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def config(tokens: PreTrainedTokenizerFast) -> Qwen2VLConfig:
    """Sizes: 1.9 million parameters; heads of 32, which vLLM's kernels know."""
    token = {text: tokens.convert_tokens_to_ids(text) for text in SPECIAL}
    text = {
        "vocab_size": VOCABULARY,
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
        "initializer_range": 0.05,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]},
        "bos_token_id": token[END],
        "eos_token_id": token[END_TURN],
        "pad_token_id": token[END],
    }
    vision = {
        "depth": 3,
        "embed_dim": 128,
        "num_heads": 4,
        "hidden_size": 128,
        "mlp_ratio": 3,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "initializer_range": 0.05,
    }
    return Qwen2VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=token[IMAGE],
        video_token_id=token[VIDEO],
        vision_start_token_id=token[VISION_START],
        vision_end_token_id=token[VISION_END],
        tie_word_embeddings=False,
        dtype="float32",
    )


def new(seed: int) -> tuple[Qwen2VLForConditionalGeneration, PreTrainedTokenizerFast]:
    """An untrained model and its tokenizer."""
    tokens = tokenizer()
    torch.manual_seed(seed)
    return Qwen2VLForConditionalGeneration(config(tokens)), tokens


def save(model: Qwen2VLForConditionalGeneration, tokens: PreTrainedTokenizerFast, folder: Path) -> None:
    """Writes an ordinary folder of transformers, the weights in bfloat16."""
    stored = Qwen2VLForConditionalGeneration(model.config)
    stored.load_state_dict(model.state_dict())
    stored = stored.to(torch.bfloat16)
    text = model.config.text_config
    stored.generation_config = GenerationConfig(
        do_sample=False, bos_token_id=text.bos_token_id, eos_token_id=text.eos_token_id, pad_token_id=text.pad_token_id
    )
    stored.save_pretrained(folder)
    tokens.save_pretrained(folder)
    Qwen2VLImageProcessorPil(min_pixels=LEAST_PIXELS, max_pixels=MOST_PIXELS).save_pretrained(folder)
