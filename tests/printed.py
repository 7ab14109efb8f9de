"""Pictures of short printed strings, for tests that check what was read. The model learnt from another renderer."""

from __future__ import annotations

import random

from PIL import Image, ImageDraw, ImageFont

CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
HEIGHT = 112


def strings(count: int, seed: int, least: int = 3, most: int = 6) -> list[str]:
    """Random strings of digits and capitals."""
    chance = random.Random(seed)  # noqa: S311 (the same strings for the same seed)
    return ["".join(chance.choices(CHARACTERS, k=chance.randint(least, most))) for _ in range(count)]


def picture(text: str) -> Image.Image:
    """The text in Pillow's own font, black on white, as large as fits on 448 x 112 pixels with a margin."""
    image = Image.new("RGB", (4 * HEIGHT, HEIGHT), "white")
    size = HEIGHT - 24
    while True:
        font = ImageFont.load_default(size)
        left, top, right, bottom = font.getbbox(text)
        if right - left <= image.width - 24:
            break
        size -= 2
    place = ((image.width - right - left) / 2, (image.height - bottom - top) / 2)
    ImageDraw.Draw(image).text(place, text, fill="black", font=font)
    return image
