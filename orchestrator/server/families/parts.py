"""Which part of a model a linear layer belongs to, by its name: for what quantisation converts. Pure.

The parts are the registry's: what its parameter tables count as a part is what has these prefixes here. They were read
off transformers' own classes and the published code of the other families.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

#: gives the logits, and is never converted
HEAD = "head"

PARTS: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "qwen2-vl": {
            "vision": ("model.visual",),
            "projector": ("model.visual.merger",),
            "language": ("model.language_model",),
            HEAD: ("lm_head",),
        },
        "got-ocr2": {
            "vision": ("model.vision_tower",),
            "projector": ("model.multi_modal_projector",),
            "language": ("model.language_model",),
            HEAD: ("lm_head",),
        },
        "dots-ocr": {
            "vision": ("vision_tower",),
            "projector": ("vision_tower.merger",),
            "language": ("model",),
            HEAD: ("lm_head",),
        },
        "phi3-vision": {
            "vision": ("model.vision_embed_tokens.img_processor",),
            "projector": ("model.vision_embed_tokens.img_projection",),
            "language": ("model.layers",),
            HEAD: ("lm_head",),
        },
        "internvl2": {
            "vision": ("vision_model",),
            "projector": ("mlp1",),
            "language": ("language_model.model",),
            HEAD: ("language_model.output",),
        },
        "moondream2": {
            "vision": ("model.vision",),
            "projector": ("model.vision.proj_mlp",),
            "language": ("model.text",),
            "other": ("model.region",),
            HEAD: ("model.text.lm_head",),
        },
    }
)


def part_of(family: str, name: str) -> str | None:
    """The part of a module of that name, the longest prefix deciding; None for a module that no part claims."""
    found = [
        (len(prefix), part)
        for part, prefixes in PARTS[family].items()
        for prefix in prefixes
        if f"{name}.".startswith(f"{prefix}.")
    ]
    return max(found)[1] if found else None


def to_convert(family: str, names: Iterable[str], keep: Iterable[str]) -> tuple[str, ...]:
    """Those of the linear layers that quantisation converts: not the head, not ``keep``, nor what no part claims."""
    kept = {*keep, HEAD, None}
    return tuple(name for name in names if part_of(family, name) not in kept)
