"""Images of a request: a URL becomes an RGB image, limits checked before pixels are unpacked."""

from __future__ import annotations

import base64
import binascii
import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageOps

from .errors import ApiError

#: Decoders that are compiled, common and read one file; a wider list is a wider door for broken files.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
#: Gives the bytes of an image at an address. Raises ``ApiError``.
Fetch = Callable[[str], bytes]
#: How often a JPEG of the largest size may go over all its pixels; progressive ones do it about ten times. A scan of 31
#: bytes keeps the decoder busy for 30 ms on 16 million pixels (measured), so a file may be made to take hours.
_MOST_SCANS = 20
#: Segments of a JPEG; a file of 20 MiB full of the longest ones has 320.
_MOST_SEGMENTS = 10_000
_DATA_URL = re.compile(r"data:image/[a-z0-9.+-]+;base64,", re.IGNORECASE)
# A JPEG's next segment. No segment begins with what is stuffed into compressed data, filling, or a mark without length.
_MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd7])", re.DOTALL)
_SCAN, _END = b"\xda", b"\xd9"


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """``count`` per request; ``bytes`` of one encoded file; ``pixels`` of one image as it is sent.

    ``total_pixels``: of all images of a request together; Pillow takes 4 bytes for each.
    """

    count: int
    bytes: int = 20 * 2**20
    pixels: int = 50_000_000
    total_pixels: int = 100_000_000

    @property
    def body_bytes(self) -> int:
        """The largest body that can hold that many images as base64, with 2 MiB of text."""
        return self.count * (self.bytes * 4 // 3 + 4) + 2 * 2**20


class Images:
    """Decodes the images of one request, which share a limit. Without ``fetch`` only data URLs are taken."""

    def __init__(self, limits: ImageLimits, fetch: Fetch | None = None) -> None:
        self._limits = limits
        self._fetch = fetch
        self._room = limits.total_pixels

    def decode(self, url: str) -> Image.Image:
        """The image of a URL, RGB and upright.

        Raises ``ApiError`` (400) for a URL that is not taken, broken base64, an unknown or broken file, a limit passed;
        and what ``fetch`` raises.
        """
        data = self._bytes(url)
        if len(data) > self._limits.bytes:
            raise _too_large(f"an image file may have at most {self._limits.bytes} bytes")
        try:
            return self._unpack(data)
        except (ApiError, MemoryError):
            raise
        except Image.DecompressionBombError:
            raise _too_large(f"an image may have at most {self._limits.pixels} pixels") from None
        except Exception:  # noqa: BLE001 - decoders raise nearly everything on broken files
            message = f"an image can't be read; the formats are {', '.join(FORMATS)}"
            raise ApiError(message, param="messages", code="invalid_image") from None

    def _bytes(self, url: str) -> bytes:
        head = _DATA_URL.match(url)
        if head is None:
            if self._fetch is not None and url[:5].lower() != "data:":
                return self._fetch(url)
            message = "an image must be a data URL (data:image/png;base64,...)"
            if self._fetch is None:
                message += ": this server fetches nothing, unless it is started with --allow-image-urls"
            raise ApiError(message, param="messages", code="invalid_image_url")
        # Before it is decoded; base64 has 4 characters for 3 bytes, the last two of which may be filling.
        if (len(url) - head.end()) * 3 // 4 - 2 > self._limits.bytes:
            raise _too_large(f"an image file may have at most {self._limits.bytes} bytes")
        try:
            return base64.b64decode(url[head.end() :], validate=True)
        except (binascii.Error, ValueError):
            raise ApiError("an image's base64 is broken", param="messages", code="invalid_base64") from None

    def _unpack(self, data: bytes) -> Image.Image:
        scans = _scans(data)
        with warnings.catch_warnings():
            # Our own limits are checked below, before anything is unpacked.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            self._check_size(*image.size, scans)
            image.load()
            return _upright_rgb(image)

    def _check_size(self, width: int, height: int, scans: int) -> None:
        """Raises ``ApiError`` where an image has too many pixels; else they are taken off the request's."""
        pixels, most = width * height, self._limits.pixels
        if pixels > most:
            raise _too_large(f"an image may have at most {most} pixels, got {width} x {height}")
        if pixels > self._room:
            raise _too_large(f"the images of a request may have at most {self._limits.total_pixels} pixels together")
        if scans * pixels > _MOST_SCANS * most:
            raise _too_large(f"a JPEG of {width} x {height} may have {_MOST_SCANS * most // pixels} scans, got {scans}")
        self._room -= pixels


def _scans(data: bytes) -> int:
    """How many scans a JPEG has; 0 for other files. Raises ``ValueError`` for more segments than an image needs."""
    if not data.startswith(b"\xff\xd8"):
        return 0
    scans = place = 0
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.search(data, place + 2)
        if found is None or found[1] == _END:
            return scans
        scans += found[1] == _SCAN
        place = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big") - 2
    raise ValueError("too many segments")


def _upright_rgb(image: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        # 16 bits of grey. Pillow's own conversion would cut off instead of scaling, and most of the page be white.
        return image.convert("I").point(lambda value: value * (1 / 257)).convert("RGB")
    if image.has_transparency_data:
        # Documents are dark on transparent more often than light on transparent.
        layer = image.convert("RGBA")
        page = Image.new("RGB", layer.size, "white")
        page.paste(layer, mask=layer)
        return page
    return image.convert("RGB")


def _too_large(message: str) -> ApiError:
    return ApiError(message, param="messages", code="image_too_large")
