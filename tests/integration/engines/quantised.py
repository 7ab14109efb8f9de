"""Runs inside an image of ours: loads a family's model plain and quantised, and prints as JSON how they differ.

``python3 quantised.py FAMILY FOLDER QUANTISATION QUANTISER [PART ...]``; the parts stay in 16 bit.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import torch
from PIL import Image, ImageDraw
from server.config import Config, Quantisation, Quantiser
from server.conversation import Turn
from server.families import FAMILIES
from torch import nn

CONTEXT = 2048


def picture() -> Image.Image:
    """One with some edges."""
    image = Image.new("RGB", (112, 84), (250, 250, 200))
    draw = ImageDraw.Draw(image)
    draw.rectangle((8, 8, 50, 40), fill=(20, 40, 90))
    draw.line((0, 60, 111, 70), fill=(200, 0, 0), width=5)
    return image


def tensors(module: nn.Module) -> Iterator[torch.Tensor]:
    """The module's own tensors as they lie in memory, those that make up a quantised weight one by one."""
    for owner in module.modules():
        for tensor in (*owner._parameters.values(), *owner._buffers.values()):
            if tensor is not None:
                yield from _inner(tensor)
        state = getattr(owner, "state", None)
        if state is not None and getattr(state, "SCB", None) is not None:
            yield state.SCB


def _inner(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    names = getattr(tensor, "__tensor_flatten__", None)
    if names is not None:
        yield from (getattr(tensor, name) for name in names()[0])
        return
    yield tensor.data
    state = getattr(tensor, "quant_state", None)
    if state is not None:
        second = state.state2
        yield from (part for part in (state.absmax, state.code, state.offset) if part is not None)
        if second is not None:
            yield from (second.absmax, second.code)
    elif getattr(tensor, "SCB", None) is not None:
        yield cast("torch.Tensor", tensor.SCB)


def size(module: nn.Module) -> int:
    """Bytes of all that it holds, each piece of memory once."""
    found = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors(module)}
    return sum(found.values())


def answer(adapter: Any) -> torch.Tensor:
    """What the model makes of an image and a text: scores, or where the code keeps these to itself, keys and values."""
    if hasattr(adapter, "begin"):
        turn = Turn("user", (picture(), "OCR" if "Got" in type(adapter).__name__ else "What is this?"))
        return cast("torch.Tensor", adapter.begin([adapter.encode([turn], {})]).scores.float())
    seen = adapter.model.encode_image(picture())
    return torch.cat([tensor.float().flatten() for pair in seen.caches for tensor in pair])


def loaded(
    family: str, folder: Path, quantisation: str, quantiser: str, keep: Sequence[str]
) -> tuple[torch.Tensor, int, int]:
    """The answer, the bytes of the model, and how many of its layers were converted."""
    config = Config(
        family=family,
        served_name="tiny",
        device="cpu",
        quantisation=cast("Quantisation", quantisation),
        quantiser=cast("Quantiser", quantiser),
        keep_16bit=cast("Any", tuple(keep)),
        max_model_len=CONTEXT,
        trust_remote_code=True,
    )
    adapter = import_module(f"server.families.{FAMILIES[family]}").load(folder, config)
    model = adapter.model
    trained = [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and module.training]
    assert not trained, f"{trained[0]} believes to be trained"
    with torch.inference_mode():
        found = answer(adapter)
    return found, size(model), sum(_converted(module) for module in model.modules())


def _converted(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    kind = type(weight).__name__ if weight is not None else ""
    return isinstance(module, nn.Linear) and kind not in {"Parameter", ""}


def main() -> None:
    """Print it."""
    family, folder, quantisation, quantiser, *keep = sys.argv[1:]
    plain, plain_bytes, none = loaded(family, Path(folder), "none", "bitsandbytes", ())
    gc.collect()
    found, quantised_bytes, converted = loaded(family, Path(folder), quantisation, quantiser, keep)
    assert none == 0
    error = float((found - plain).norm() / plain.norm())
    told = {"converted": converted, "error": error, "bytes": plain_bytes, "quantised_bytes": quantised_bytes}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
