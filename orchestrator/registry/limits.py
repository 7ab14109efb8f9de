"""Limits on images, and how far a plan may go below an entry's own limits. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import Field

from orchestrator.registry.fields import Frozen, Place, Positive, Text


class Images(Frozen):
    """Limits on images. ``patches`` is the largest number of vision patches of one image at those limits."""

    max_per_prompt: Positive = 1
    max_pixels: Positive | None = None
    tokens: Positive = Field(description="image tokens of one image at the limit")
    patches: Positive
    bytes_per_patch: Annotated[int, Field(ge=0)] = Field(description="peak activation of the vision tower per patch")
    source: Text

    def limited(self, max_pixels: int | None) -> Self:
        """The same with a smaller limit: tokens and patches go down in proportion. None changes nothing."""
        if max_pixels is None or self.max_pixels is None or max_pixels >= self.max_pixels:
            return self
        tokens, patches = self._share(self.tokens, max_pixels), self._share(self.patches, max_pixels)
        return self.model_copy(update={"max_pixels": max_pixels, "tokens": tokens, "patches": patches})

    def activation(self, max_pixels: int | None) -> int:
        """Peak of the vision tower on one image of that limit, in bytes."""
        return self._share(self.patches, max_pixels) * self.bytes_per_patch

    def _share(self, size: int, max_pixels: int | None) -> int:
        if max_pixels is None or self.max_pixels is None or max_pixels >= self.max_pixels:
            return size
        return -(-size * max_pixels // self.max_pixels)


class Smallest(Frozen):
    """How far a plan may go below the entry's limits when memory is short; what is left out stays as it is."""

    max_model_len: Positive | None = None
    max_pixels: Positive | None = None
    max_num_seqs: Positive = 1


def wrong_smallest(images: Images, length: int, sequences: int, smallest: Smallest) -> Iterator[Place]:
    """What is wrong with the smallest limits of an engine, whose own are ``length`` tokens and ``sequences``."""
    if smallest.max_num_seqs > sequences:
        yield (
            ("max_num_seqs",),
            f"must be at most the engine's max_num_seqs of {sequences}, got {smallest.max_num_seqs}",
        )
    wrong = _wrong_pixels(images, smallest.max_pixels)
    if wrong:
        yield ("max_pixels",), wrong
    least = smallest.max_model_len
    if least is None:
        return
    tokens = images.limited(smallest.max_pixels).tokens
    if least > length:
        yield ("max_model_len",), f"must be at most the engine's max_model_len of {length}, got {least}"
    elif least <= tokens and not wrong:
        yield (
            ("max_model_len",),
            f"must be more than the {tokens} tokens of one image at smallest.max_pixels, got {least}",
        )


def _wrong_pixels(images: Images, pixels: int | None) -> str:
    if pixels is None:
        return ""
    if images.max_pixels is None:
        return "is for a model with images.max_pixels only"
    if pixels > images.max_pixels:
        return f"must be at most images.max_pixels, {images.max_pixels}, got {pixels}"
    if pixels * images.tokens % images.max_pixels:
        unit = images.max_pixels / images.tokens
        return f"must be a multiple of the {unit:g} pixels of one image token, got {pixels}"
    return ""
