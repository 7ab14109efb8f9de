"""Limits on images, and how far a plan may go below an entry's own limits. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import Field, model_validator

from orchestrator.registry.fields import Argument, Frozen, Place, Positive, Text, refuse


class Tiles(Frozen):
    """The pieces of one size that a model cuts an image into (tiles, crops), as many as the image's shape asks for."""

    most: Positive = Field(description="most pieces of one image, without those that always come")
    extra: Annotated[int, Field(ge=0)] = Field(0, description="pieces that always come: a thumbnail of the whole image")
    argument: Argument | None = Field(
        None, description="argument of the model's processor that vLLM passes the limit on by; null where none is known"
    )
    joined: bool = Field(
        default=False, description="the pieces are joined first: an image takes as many tokens however many there are"
    )


class Images(Frozen):
    """Limits on images. ``patches`` is the largest number of vision patches of one image at those limits."""

    max_per_prompt: Positive = 1
    max_pixels: Positive | None = None
    tiles: Tiles | None = Field(None, description="for a model that cuts images into pieces, in place of max_pixels")
    tokens: Positive = Field(description="most image tokens of one image at the limit")
    patches: Positive
    bytes_per_patch: Annotated[int, Field(ge=0)] = Field(description="peak activation of the vision tower per patch")
    source: Text

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if self.tiles is not None and self.max_pixels is not None:
            refuse([(("tiles",), "is for a model without images.max_pixels: an image has one limit")])
        return self

    def limited(self, max_pixels: int | None, tiles: int | None = None) -> Self:
        """The same with a smaller limit: tokens and patches go down in proportion, rounded up. None changes nothing."""
        part, whole = self._ratio(max_pixels, tiles)
        if part == whole:
            return self
        tokens = self.tokens if self.tiles and self.tiles.joined else -(-self.tokens * part // whole)
        limit = {"tiles": self.tiles.model_copy(update={"most": tiles})} if self.tiles else {"max_pixels": max_pixels}
        return self.model_copy(update={**limit, "tokens": tokens, "patches": -(-self.patches * part // whole)})

    def activation(self, max_pixels: int | None, tiles: int | None = None) -> int:
        """Peak of the vision tower on one image of that limit, in bytes."""
        part, whole = self._ratio(max_pixels, tiles)
        return -(-self.patches * part // whole) * self.bytes_per_patch

    def _ratio(self, max_pixels: int | None, tiles: int | None) -> tuple[int, int]:
        """What a limit leaves of an image at the entry's own, as part and whole; alike where it is no smaller."""
        if self.tiles is not None and tiles is not None and tiles < self.tiles.most:
            return tiles + self.tiles.extra, self.tiles.most + self.tiles.extra
        if self.max_pixels is not None and max_pixels is not None and max_pixels < self.max_pixels:
            return max_pixels, self.max_pixels
        return 1, 1


class Smallest(Frozen):
    """How far a plan may go below the entry's limits when memory is short; what is left out stays as it is."""

    max_model_len: Positive | None = None
    max_pixels: Positive | None = None
    max_tiles: Positive | None = Field(None, description="on vLLM only where images.tiles.argument passes it on")
    max_num_seqs: Positive = 1


def wrong_smallest(
    images: Images, length: int, sequences: int, smallest: Smallest, *, by_argument: bool
) -> Iterator[Place]:
    """What is wrong with the smallest limits of an engine, whose own are ``length`` tokens and ``sequences``.

    ``by_argument``: whether the engine can be told a limit on tiles only by the name of the processor's argument.
    """
    if smallest.max_num_seqs > sequences:
        yield (
            ("max_num_seqs",),
            f"must be at most the engine's max_num_seqs of {sequences}, got {smallest.max_num_seqs}",
        )
    wrong = {
        "max_pixels": wrong_pixels(images, smallest.max_pixels),
        "max_tiles": wrong_tiles(images.tiles, smallest.max_tiles, by_argument=by_argument),
    }
    yield from (((key,), message) for key, message in wrong.items() if message)
    least = smallest.max_model_len
    if least is None:
        return
    tokens = images.limited(smallest.max_pixels, smallest.max_tiles).tokens
    if least > length:
        yield ("max_model_len",), f"must be at most the engine's max_model_len of {length}, got {least}"
    elif least <= tokens and not any(wrong.values()):
        limit = "max_tiles" if images.tiles else "max_pixels"
        yield (
            ("max_model_len",),
            f"must be more than the {tokens} tokens of one image at smallest.{limit}, got {least}",
        )


def wrong_pixels(images: Images, pixels: int | None) -> str:
    """What is wrong with a limit on the pixels of one image, of an entry with these limits; "" for nothing."""
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


def wrong_tiles(tiles: Tiles | None, least: int | None, *, by_argument: bool) -> str:
    """The same of a limit on its tiles. ``by_argument``: the engine can be told of it only by that argument."""
    if least is None:
        return ""
    if tiles is None:
        return "is for a model with images.tiles only"
    if by_argument and tiles.argument is None:
        return "needs images.tiles.argument, which passes it on"
    if least > tiles.most:
        return f"must be at most images.tiles.most, {tiles.most}, got {least}"
    return ""
