"""Images of a request: a data URL becomes an RGB image, limits checked before pixels are unpacked."""

from __future__ import annotations

import base64
import binascii
import io
import re
import struct
import warnings
import zlib
from dataclasses import dataclass

from PIL import Image, ImageOps

from .errors import ApiError

#: Decoders that are compiled, common and read one file; a wider list is a wider door for broken files.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
_DATA_URL = re.compile(r"data:image/[a-z0-9.+-]+;base64,", re.IGNORECASE)
# What Pillow's decoders raise on broken files.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    EOFError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """``count`` per request; ``bytes`` of one encoded file; ``pixels`` of one image as it is sent."""

    count: int
    bytes: int = 20 * 2**20
    pixels: int = 50_000_000

    @property
    def body_bytes(self) -> int:
        """The largest body that can hold that many images as base64, with 2 MiB of text."""
        return self.count * (self.bytes * 4 // 3 + 4) + 2 * 2**20


def decode(url: str, limits: ImageLimits) -> Image.Image:
    """The image in a data URL.

    Raises ``ApiError`` (400) for another kind of URL, broken base64, an unknown or broken file, a limit passed.
    """
    head = _DATA_URL.match(url)
    if head is None:
        raise ApiError(
            "an image must be a data URL (data:image/png;base64,...): this server fetches nothing",
            param="messages",
            code="invalid_image_url",
        )
    if (len(url) - head.end()) * 3 // 4 - 2 > limits.bytes:
        raise _too_large(f"an image file may have at most {limits.bytes} bytes")
    try:
        data = base64.b64decode(url[head.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise ApiError("an image's base64 is broken", param="messages", code="invalid_base64") from None
    return _unpack(data, limits)


def _unpack(data: bytes, limits: ImageLimits) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # Our own limit is checked below, before anything is unpacked.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            width, height = image.size
            if width * height > limits.pixels:
                raise _too_large(f"an image may have at most {limits.pixels} pixels, got {width} x {height}")
            image.load()
            return _upright_rgb(image)
    except Image.DecompressionBombError:
        raise _too_large(f"an image may have at most {limits.pixels} pixels") from None
    except _BROKEN:
        message = f"an image can't be read; the formats are {', '.join(FORMATS)}"
        raise ApiError(message, param="messages", code="invalid_image") from None


def _upright_rgb(image: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        # Documents are dark on transparent more often than light on transparent.
        layer = image.convert("RGBA")
        page = Image.new("RGBA", layer.size, "white")
        page.alpha_composite(layer)
        image = page
    return image.convert("RGB")


def _too_large(message: str) -> ApiError:
    return ApiError(message, param="messages", code="image_too_large")
