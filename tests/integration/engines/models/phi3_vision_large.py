"""Phi-3-vision with a vision tower of the published size, which vLLM has in its code. 304 million made weights.

One tile for an image, so that a CPU gets through it. Needs transformers 4.48.
"""

from __future__ import annotations

from pathlib import Path

from . import phi3_vision


def make(folder: Path, seed: int) -> None:
    phi3_vision.make(folder, seed, clip=1024)
