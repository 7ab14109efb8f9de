import base64
import contextlib
import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from orchestrator.server.errors import ApiError
from orchestrator.server.images import ImageLimits, decode

LIMITS = ImageLimits(count=1, bytes=100_000, pixels=10_000)


def url(image: Image.Image, form: str = "PNG", **options: object) -> str:
    file = io.BytesIO()
    image.save(file, form, **options)
    return data_url(file.getvalue())


def data_url(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def refusal(text: str, limits: ImageLimits = LIMITS) -> ApiError:
    with pytest.raises(ApiError) as refused:
        decode(text, limits)
    assert refused.value.status == 400
    return refused.value


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def huge_png(width: int, height: int) -> bytes:
    """A PNG of few bytes that unpacks to ``width * height`` pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_each_format_becomes_rgb(form: str) -> None:
    image = decode(url(Image.new("RGB", (20, 10), "red"), form), LIMITS)
    assert (image.mode, image.size) == ("RGB", (20, 10))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA", "I;16"])
def test_each_mode_becomes_rgb(mode: str) -> None:
    assert decode(url(Image.new(mode, (3, 3))), LIMITS).mode == "RGB"


def test_transparent_places_become_white() -> None:
    assert decode(url(Image.new("RGBA", (1, 1), (0, 0, 0, 0))), LIMITS).getpixel((0, 0)) == (255, 255, 255)


def test_a_photo_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turned by 90 degrees
    assert decode(url(Image.new("RGB", (20, 10)), "JPEG", exif=exif), LIMITS).size == (10, 20)


@pytest.mark.parametrize("address", ["http://host/a.png", "file:///etc/passwd", "data:text/plain;base64,QQ==", ""])
def test_nothing_is_fetched(address: str) -> None:
    assert refusal(address).code == "invalid_image_url"


@pytest.mark.parametrize("text", ["QQ", "Q Q=", "Q\nQ=", "@@@@", "QQ==QQ==", "й"])
def test_broken_base64(text: str) -> None:
    assert refusal("data:image/png;base64," + text).code == "invalid_base64"


def test_a_file_that_is_too_large_is_not_even_decoded() -> None:
    assert refusal("data:image/png;base64," + "@" * 200_000).code == "image_too_large"


def test_as_many_bytes_as_allowed() -> None:
    file = data_url(b"\0" * LIMITS.bytes)
    assert refusal(file).code == "invalid_image"
    assert refusal(data_url(b"\0" * (LIMITS.bytes + 3))).code == "image_too_large"


@pytest.mark.parametrize("size", [(101, 100), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(size: tuple[int, int]) -> None:
    assert refusal(data_url(huge_png(*size))).code == "image_too_large"


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (2, 2), color) for color in ("red", "blue")]
    image = decode(url(frames[0], "GIF", save_all=True, append_images=frames[1:]), LIMITS)
    assert image.getpixel((0, 0)) == (255, 0, 0)


def test_a_format_that_is_not_wanted() -> None:
    assert refusal(url(Image.new("RGB", (2, 2)), "TIFF")).code == "invalid_image"


def test_a_file_that_ends_too_early() -> None:
    whole = base64.b64decode(url(Image.effect_noise((50, 50), 50)).partition(",")[2])
    assert refusal(data_url(whole[: len(whole) // 2])).code == "invalid_image"


@given(
    st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM", b"RIFF"])
)
def test_any_bytes_give_an_image_or_a_refusal(data: bytes, magic: bytes) -> None:
    with contextlib.suppress(ApiError):
        assert decode(data_url(magic + data), LIMITS).mode == "RGB"
