"""What the makers share: a tokenizer that knows every byte, weights from a seed, a folder with a stand-in's code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

_STAND_INS = Path(__file__).parent / "stand_ins"


def byte_level(special: Sequence[str]) -> Tokenizer:
    """Byte-level BPE without merges: one token per byte, from 0, then the special ones in their order."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: index for index, character in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    return tokenizer


def fill(module: Any, seed: int, deviation: float) -> None:
    """Weights from a seed: matrices normal with this deviation, norms 1, biases 0, single vectors as matrices are.

    A deviation larger than usual makes an untrained model's answer depend on what it is asked.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.dim() > 1 or "embedding" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * deviation)
            else:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)


def prefer(rows: Any, tokens: Iterable[int]) -> None:
    """Zeroes the head's rows of all other tokens: greedy decoding picks one of these.

    The largest of many random scores is positive, so it beats the zeros.
    """
    kept = torch.zeros(rows.shape[0], dtype=torch.bool)
    kept[list(tokens)] = True
    with torch.no_grad():
        rows[~kept] = 0.0


def readable(tokenizer: Tokenizer, *ends: str) -> list[int]:
    """The tokens of printable ASCII, and those that end an answer."""
    found = [tokenizer.token_to_id(text) for text in ends]
    for token in range(tokenizer.get_vocab_size()):
        text = tokenizer.decode([token])
        if text.isascii() and text.isprintable() and len(text) == 1:
            found.append(token)
    return found


def write_code(family: str, folder: Path) -> None:
    """Copies the stand-in's modules beside the weights, where ``trust_remote_code`` looks for them."""
    for module in sorted((_STAND_INS / family).glob("*.py")):
        if module.name != "__init__.py":
            shutil.copy(module, folder / module.name)


def write_json(folder: Path, **files: object) -> None:
    """Writes ``name.json`` for each keyword."""
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")


def write_weights(model: Any, folder: Path, *, without: str | None = None) -> None:
    """The model's weights as one file; ``without`` names a second name of a shared one."""
    named = {name: tensor.contiguous() for name, tensor in model.state_dict().items() if name != without}
    save_file(named, folder / "model.safetensors", metadata={"format": "pt"})
