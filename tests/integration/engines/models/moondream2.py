"""moondream2, a stand-in, and beside it the other repository that its code takes the tokenizer from.

``hub`` in the folder is a cache of the model hub, as HF_HUB_CACHE wants it; HF_HUB_OFFLINE=1 has the code take the
tokenizer from there. Our server also looks into ``starmie-v1``. Needs transformers 4.57.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, dynamic_module_utils

from .making import fill, prefer, readable, write_code, write_json, write_weights

END = "<|endoftext|>"
#: The published order, from 0 on.
SPECIAL = (END, *(f"<|md_reserved_{index}|>" for index in range(9)))
TOKENIZER = "moondream/starmie-v1"
#: Any forty digits will do for a cache.
REVISION = "7" * 40


def make(folder: Path, seed: int) -> None:
    tokens = _tokens()
    write_code("moondream2", folder)
    write_json(
        folder,
        config={
            "architectures": ["HfMoondream"],
            "model_type": "moondream1",
            "auto_map": {
                "AutoConfig": "hf_moondream.HfConfig",
                "AutoModelForCausalLM": "hf_moondream.HfMoondream",
            },
            "config": {},
            "torch_dtype": "bfloat16",
        },
    )
    cached = folder / "hub" / f"models--{TOKENIZER.replace('/', '--')}"
    (cached / "snapshots" / REVISION).mkdir(parents=True)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(REVISION)
    tokens.save(str(cached / "snapshots" / REVISION / "tokenizer.json"))
    beside = folder / TOKENIZER.rpartition("/")[2]
    beside.mkdir()
    tokens.save(str(beside / "tokenizer.json"))
    model = _model(folder, tokens)
    fill(model, seed, deviation=0.2)
    prefer(model.model.text.lm_head.weight, readable(tokens, END))
    write_weights(model, folder)


def _tokens() -> Tokenizer:
    """Every byte, after the special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {text: index for index, text in enumerate((*SPECIAL, *alphabet))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL])
    return tokenizer


def _model(folder: Path, tokens: Tokenizer) -> Any:
    """A new model: the code is put where transformers would look for it, all of it, and gets its tokenizer by hand."""
    package = dynamic_module_utils._sanitize_module_name(folder.name)
    modules = Path(dynamic_module_utils.HF_MODULES_CACHE) / "transformers_modules" / package
    modules.mkdir(parents=True, exist_ok=True)
    for module in folder.glob("*.py"):
        shutil.copy(module, modules / module.name)
    from_hub = Tokenizer.from_pretrained
    Tokenizer.from_pretrained = lambda _: tokens
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
        return AutoModelForCausalLM.from_config(config, trust_remote_code=True, dtype=torch.bfloat16)
    finally:
        Tokenizer.from_pretrained = from_hub
