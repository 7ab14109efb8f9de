"""Writes a tiny model of a family into a new folder: ``python3 make.py FAMILY FOLDER``.

It runs in the family's own image or environment, with what that holds (PyTorch, transformers and what they bring).
The weights come from a fixed seed: what such a model answers is nonsense, but always the same nonsense, and another
for another image. ``python3 make.py`` alone names the families.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

FAMILIES = ("qwen2_vl", "got_ocr2", "dots_ocr", "phi3_vision", "phi3_vision_large", "internvl2", "moondream2")


def main(arguments: list[str]) -> int:
    if len(arguments) != 2 or arguments[0] not in FAMILIES:
        print(f"usage: make.py {{{','.join(FAMILIES)}}} FOLDER", file=sys.stderr)
        return 2
    family, folder = arguments[0], Path(arguments[1])
    folder.mkdir(parents=True)
    importlib.import_module(f"models.{family}").make(folder, seed=7)
    for weights in folder.glob("*.safetensors"):
        weights.chmod(0o644)  # the server is another user than who makes it
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
