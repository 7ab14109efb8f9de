"""Pictures of short printed strings, as the demo model is trained on them, and which strings it never sees."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from itertools import pairwise
from random import Random

from PIL import Image, ImageDraw, ImageFilter, ImageFont

CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LONGEST = 8
#: Names of fonts: Pillow's own, and of Debian's fonts-dejavu-core. The last one is for the beginning only.
FONTS = ("Pillow", "DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono")
#: Side in pixels of what becomes one token.
TILE = 28
#: The largest size of a font, in pixels of the picture that the model sees.
LARGEST = 56.0


@dataclass(frozen=True)
class Box:
    """Where a character is printed, in pixels of the picture that the model sees."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Printed:
    """A picture, what is printed in it, and where each character is."""

    image: Image.Image
    text: str
    boxes: Sequence[Box]


def held_out(text: str) -> str:
    """``test`` or ``validation`` for a string that training never sees, else an empty string.

    A tenth of the strings of three and more characters each; there are too few shorter ones to keep any back.
    """
    if len(text) < 3:
        return ""
    return {0: "test", 1: "validation"}.get(sha256(text.encode()).digest()[0] % 10, "")


def string(rng: Random, least: int, most: int, part: str = "") -> str:
    """A random string of that part of all strings, see ``held_out``."""
    while True:
        text = "".join(rng.choice(CHARACTERS) for _ in range(rng.randint(least, most)))
        if held_out(text) == part:
            return text


@cache
def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """The font at a size in pixels."""
    loaded = ImageFont.load_default(size) if name == "Pillow" else ImageFont.truetype(f"{name}.ttf", size)
    if not isinstance(loaded, ImageFont.FreeTypeFont):
        raise TypeError("this Pillow has no FreeType")
    return loaded


def picture(rng: Random, text: str, rows: int, columns: int, variety: float, name: str, least: float) -> Printed:
    """The text somewhere in a picture of so many tiles, scaled to it from another size as a user's picture would be.

    ``variety`` from 0 to 1: how much size, place, colours and faults of the picture vary. ``least``: the least size of
    the font, in pixels of the picture that the model sees, where the text then fits.
    """
    scale = 1 + variety * rng.uniform(-0.2, 1.4)
    stretch = 1 + variety * rng.uniform(-0.15, 0.15)
    width, height = round(columns * TILE * scale * stretch), round(rows * TILE * scale)
    size = _size(rng, font(name, 100).getbbox(text), (width, height), scale, least, variety)
    left, top, right, bottom = font(name, size).getbbox(text)
    x = rng.uniform(0.02, 0.98) * (width - (right - left)) - left
    y = _between(rng, 0.5, 0.48 * variety) * (height - (bottom - top)) - top
    back, ink = _colours(rng, variety)
    image = Image.new("RGB", (width, height), back)
    ImageDraw.Draw(image).text((x, y), text, fill=ink, font=font(name, size))
    image = _worn(rng, image, variety)
    edges = [x + font(name, size).getlength(text[:index]) for index in range(len(text) + 1)]
    across, down = columns * TILE / width, rows * TILE / height
    boxes = [Box(start * across, (y + top) * down, end * across, (y + bottom) * down) for start, end in pairwise(edges)]
    return Printed(image.resize((columns * TILE, rows * TILE), Image.Resampling.BICUBIC), text, boxes)


def _between(rng: Random, middle: float, most: float) -> float:
    return middle + rng.uniform(-most, most)


def _size(
    rng: Random,
    box: tuple[float, float, float, float],
    room: tuple[int, int],
    scale: float,
    least: float,
    variety: float,
) -> int:
    """The size of a font in which a text of this box at size 100 has room."""
    left, top, right, bottom = box
    most = min(96 * room[0] / (right - left), 92 * room[1] / (bottom - top), LARGEST * scale)
    return max(6, int(rng.uniform(min(max(least * scale, most * (0.85 - 0.45 * variety)), most), most)))


def _colours(rng: Random, variety: float) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """The back and the ink, one light and one dark."""
    lift = int(110 * variety)
    dark, light = rng.randint(0, lift), 255 - rng.randint(0, lift)
    if light - dark < 90:
        dark, light = 0, 255
    tint = int(40 * variety)

    def colour(level: int) -> tuple[int, int, int]:
        red, green, blue = (min(255, max(0, level + rng.randint(-tint, tint))) for _ in range(3))
        return red, green, blue

    back, ink = colour(light), colour(dark)
    return (ink, back) if rng.random() < 0.3 * variety else (back, ink)


def _worn(rng: Random, image: Image.Image, variety: float) -> Image.Image:
    if rng.random() < 0.15 * variety:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.9)))
    if rng.random() < 0.2 * variety:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=rng.randint(50, 95))
        image = Image.open(file).convert("RGB")
    return image
