"""How small a model may be made: its profiles, from what the registry asks for down to the smallest that it allows.

Pure. A profile fixes every knob that changes memory, and its value says how good it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import log2
from typing import get_args

from orchestrator.registry.spec import Engine, Images, ModelSpec, Smallest, Storage, Vllm

#: the value of what the registry asks for
BEST = 1000
#: What one step down costs: a halving, one storage further down the entry's list, no CUDA graphs, twice the GPUs. The
#: order is ours: answers stay as good while sequences run side by side less; a shorter context or smaller images refuse
#: or blur what was asked; fewer bits change every answer.
_LOSS = {"sequences": 4, "context": 9, "image": 10, "eager": 12, "storage": 25, "cards": 30}
STORAGES: tuple[Storage, ...] = get_args(Storage)
_WORDS = re.compile(
    r"context=(\d+) sequences=(\d+) pixels=(\d+|-)(?: tiles=(\d+))? weights=(\w+) graphs=(on|off) gpus=(\d+)"
)


@dataclass(frozen=True, slots=True)
class Profile:
    """One setting of every knob.

    ``context``: tokens of one sequence. ``sequences``: how many of full length fit side by side. ``pixels``: limit of
    one image, None where the model has no such limit. ``gpus``: size of the tensor-parallel group. ``tiles``: most
    pieces that one image is cut into, without those that always come; None where the model cuts none.
    """

    context: int
    sequences: int
    pixels: int | None
    storage: Storage
    graphs: bool = True
    gpus: int = 1
    tiles: int | None = None

    def __str__(self) -> str:
        """For labels, and for people. Models without tiles have no word for them, so that their labels stay."""
        graphs = "on" if self.graphs else "off"
        tiles = "" if self.tiles is None else f" tiles={self.tiles}"
        return (
            f"context={self.context} sequences={self.sequences} pixels={self.pixels or '-'}{tiles} "
            f"weights={self.storage} graphs={graphs} gpus={self.gpus}"
        )


@dataclass(frozen=True, slots=True)
class Rung:
    """A profile and how good it is; at most ``BEST``."""

    profile: Profile
    value: int


def ladder(spec: ModelSpec, engine: Engine) -> tuple[Rung, ...]:
    """Every profile that the entry allows on an engine, best first. The first is exactly what the entry asks for."""
    rungs = [Rung(profile, _value(profile, spec, engine)) for profile in _profiles(spec, engine)]
    return tuple(sorted(rungs, key=lambda rung: (-rung.value, *_larger(rung.profile, engine))))


def parse(text: str) -> Profile | None:
    """The profile that a label names; None where it names none."""
    found = _WORDS.fullmatch(text)
    if found is None:
        return None
    context, sequences, pixels, tiles, storage, graphs, gpus = found.groups()
    known = next((name for name in STORAGES if name == storage), None)
    if known is None:
        return None
    limit = None if pixels == "-" else int(pixels)
    pieces = None if tiles is None else int(tiles)
    return Profile(int(context), int(sequences), limit, known, graphs == "on", int(gpus), pieces)


def changes(old: Profile, new: Profile) -> tuple[str, ...]:
    """What one profile has instead of another, in words."""
    words = []
    if new.context != old.context:
        words.append(f"context {new.context:,} instead of {old.context:,} tokens")
    if new.sequences != old.sequences:
        words.append(f"{new.sequences} instead of {old.sequences} full-length sequences")
    if new.pixels != old.pixels:
        words.append(f"images of {_mega(new.pixels)} instead of {_mega(old.pixels)}")
    if new.tiles != old.tiles:
        words.append(f"{new.tiles or 'no'} instead of {old.tiles or 'no'} tiles")
    if new.storage != old.storage:
        words.append(f"weights in {new.storage} instead of {old.storage}")
    if new.graphs != old.graphs:
        words.append("CUDA graphs" if new.graphs else "no CUDA graphs")
    if new.gpus != old.gpus:
        words.append(f"{new.gpus} instead of {old.gpus} GPUs")
    return tuple(words)


def _mega(pixels: int | None) -> str:
    return f"{(pixels or 0) / 1e6:.1f} megapixels"


def _profiles(spec: ModelSpec, engine: Engine) -> Iterator[Profile]:
    smallest = engine.smallest
    contexts = _halvings(engine.max_model_len, smallest.max_model_len)
    sequences = _halvings(engine.max_num_seqs, smallest.max_num_seqs)
    graphs = (True, False) if isinstance(engine, Vllm) else (True,)
    groups = engine.tensor_parallel if isinstance(engine, Vllm) else (1,)
    for p, t in _image_sizes(spec.images, smallest):
        long = [c for c in contexts if c > spec.images.limited(p, t).tokens]
        for c, s, storage, g, n in product(long, sequences, engine.stored, graphs, groups):
            yield Profile(c, s, p, storage, g, n, t)


def _image_sizes(images: Images, smallest: Smallest) -> list[tuple[int | None, int | None]]:
    """The limits on one image, as pixels (whole image tokens) and tiles; an entry has at most one of them."""
    if images.tiles is not None:
        return [(None, tiles) for tiles in _halvings(images.tiles.most, smallest.max_tiles)]
    if images.max_pixels is None:
        return [(None, None)]
    whole = [p * images.tokens // images.max_pixels for p in _halvings(images.max_pixels, smallest.max_pixels)]
    return [(tokens * images.max_pixels // images.tokens, None) for tokens in dict.fromkeys(whole)]


def _halvings(best: int, least: int | None) -> list[int]:
    """From the best down to the least: best, half of it, and so on; the least itself comes last."""
    found = [best]
    while least is not None and found[-1] > least:
        found.append(max(least, found[-1] // 2))
    return found


def _larger(profile: Profile, engine: Engine) -> tuple[int, ...]:
    """Order of profiles that are worth the same, of which a larger one goes first."""
    return (
        -profile.context,
        -profile.sequences,
        -(profile.pixels or 0),
        -(profile.tiles or 0),
        engine.stored.index(profile.storage),
        -profile.graphs,
        profile.gpus,
    )


def _value(profile: Profile, spec: ModelSpec, engine: Engine) -> int:
    most = spec.images.max_pixels or (spec.images.tiles.most if spec.images.tiles else 1)
    image = log2(most / (profile.pixels or profile.tiles or 1))
    loss = (
        _LOSS["sequences"] * log2(engine.max_num_seqs / profile.sequences)
        + _LOSS["context"] * log2(engine.max_model_len / profile.context)
        + _LOSS["image"] * image
        + _LOSS["eager"] * (not profile.graphs)
        + _LOSS["storage"] * engine.stored.index(profile.storage)
        + _LOSS["cards"] * log2(profile.gpus)
    )
    return BEST - round(loss)
