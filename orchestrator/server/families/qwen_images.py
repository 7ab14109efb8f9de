"""What Qwen2-VL's image processor can't take, for the families that use it."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from ..errors import ApiError

#: The image processor refuses longer strips.
MAX_ASPECT_RATIO = 200


def check_shapes(images: Sequence[Image.Image]) -> None:
    """Raises ``ApiError`` 400 for an image that is too long for its width."""
    for image in images:
        if max(image.size) > MAX_ASPECT_RATIO * min(image.size):
            message = f"an image may be at most {MAX_ASPECT_RATIO} times as long as wide, got {image.size}"
            raise ApiError(message, param="messages", code="invalid_image")


def enlarged(image: Image.Image, least: int) -> Image.Image:
    """The image, a whole number of times larger where a side has fewer than ``least`` pixels.

    Transformers up to 4.51 refuse such images, and take the three pixels of a strip for its colours.
    """
    times = -(-least // min(image.size))
    return image if times == 1 else image.resize((image.width * times, image.height * times), Image.Resampling.BICUBIC)
