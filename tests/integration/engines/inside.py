"""Runs inside an image of ours: says as one line of JSON what it holds, and whether its libraries work together."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import bitsandbytes
import torch
from transformers import LlamaConfig, LlamaForCausalLM

#: what builds programs or installs packages
TOOLS = ("cc", "gcc", "g++", "c++", "clang", "ld", "as", "make", "pip", "pip3", "apt-get", "uv")


def packages() -> dict[str, str]:
    """The installed packages by their plain names."""
    found = importlib.metadata.distributions()
    return {found.metadata["Name"].lower().replace("_", "-").replace(".", "-"): found.version for found in found}


def wheels() -> list[str]:
    """The wheels that lie about; those below /usr are the base's, for making virtual environments."""
    folders = [path for path in Path("/").iterdir() if path.name not in {"usr", "proc", "sys"}]
    return [str(path) for folder in folders for path in folder.rglob("*.whl")]


def int8_error() -> float:
    """The largest error of an 8 bit layer, relative to the largest output."""
    plain = torch.nn.Linear(64, 32)
    quantised = bitsandbytes.nn.Linear8bitLt(64, 32, has_fp16_weights=False)
    quantised.load_state_dict(plain.state_dict())
    given = torch.randn(4, 64)
    with torch.no_grad():
        wanted, got = plain(given), quantised.to("cpu")(given)
    assert quantised.weight.dtype == torch.int8
    return float((got - wanted).abs().max() / wanted.abs().max())


def generates() -> bool:
    """Whether a tiny model is the same after it was stored and loaded, and generates."""
    config = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, pad_token_id=0
    )
    made = LlamaForCausalLM(config).eval()
    prompt = torch.arange(1, 6)[None]
    asked: dict[str, Any] = {"attention_mask": torch.ones_like(prompt), "do_sample": False, "max_new_tokens": 5}
    with tempfile.TemporaryDirectory() as folder:
        made.save_pretrained(folder)
        loaded = LlamaForCausalLM.from_pretrained(folder).eval()
    same = torch.equal(made(prompt).logits, loaded(prompt).logits)
    return same and bool(torch.equal(made.generate(prompt, **asked), loaded.generate(prompt, **asked)))


def main() -> None:
    """Print it."""
    torch.manual_seed(0)
    libraries = Path(bitsandbytes.__file__).parent.glob("libbitsandbytes_*.so")
    found = {
        "user": [os.getuid(), os.getgid()],
        "tools": [name for name in TOOLS if shutil.which(name)],
        "pip": importlib.util.find_spec("pip") is not None,
        "wheels": wheels(),
        "packages": packages(),
        "libraries": sorted(path.name for path in libraries),
        "int8_error": int8_error(),
        "generates": generates(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
