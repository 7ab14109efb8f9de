import base64
import contextlib
import io
import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from orchestrator.server.errors import ApiError
from orchestrator.server.images import Fetch, ImageLimits, Images

LIMITS = ImageLimits(count=1, bytes=100_000, pixels=10_000)


def url(image: Image.Image, form: str = "PNG", **options: object) -> str:
    file = io.BytesIO()
    image.save(file, form, **options)
    return data_url(file.getvalue())


def data_url(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def decode(text: str, limits: ImageLimits, fetch: Fetch | None = None) -> Image.Image:
    return Images(limits, fetch).decode(text)


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


def png(*chunks: bytes, width: int = 4, height: int = 4) -> bytes:
    """A black PNG with these chunks before its pixels."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    rows = png_chunk(b"IDAT", zlib.compress(bytes((width + 1) * height)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + rows + png_chunk(b"IEND", b"")


def jpeg(side: int, **options: object) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((side, side), 50).save(file, "JPEG", **options)
    return file.getvalue()


def with_scans(data: bytes, count: int) -> bytes:
    """A progressive JPEG with its last scan that many times more."""
    scan = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + scan * count + data[-2:]


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


def test_sixteen_bits_of_grey_are_scaled_and_not_cut_off() -> None:
    assert decode(url(Image.new("I;16", (1, 1), 128 * 257)), LIMITS).getpixel((0, 0)) == (128, 128, 128)


def test_the_inks_of_a_printer_become_light() -> None:
    image = decode(url(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"), LIMITS)
    assert image.getpixel((4, 4)) == (255, 0, 0)


@pytest.mark.parametrize(
    "address",
    [
        "http://host/a.png",
        "https://host/a.png",
        "file:///etc/passwd",
        "/etc/passwd",
        "ftp://host/a.png",
        "javascript:alert(1)",
        "data:text/plain;base64,QQ==",
        "data:image/png,QQ==",
        "",
    ],
)
def test_nothing_is_fetched(address: str) -> None:
    error = refusal(address)
    assert error.code == "invalid_image_url"
    assert "--allow-image-urls" in error.message


def test_what_is_fetched_has_the_same_limits() -> None:
    fetched: list[str] = []

    def giving(data: bytes) -> Fetch:
        def fetch(address: str) -> bytes:
            fetched.append(address)
            return data

        return fetch

    assert decode("https://host/a.png", LIMITS, giving(png())).size == (4, 4)
    assert fetched == ["https://host/a.png"]
    for data, code in ((bytes(LIMITS.bytes + 1), "image_too_large"), (huge_png(101, 100), "image_too_large")):
        with pytest.raises(ApiError) as refused:
            decode("https://host/a.png", LIMITS, giving(data))
        assert refused.value.code == code


def test_a_broken_data_url_is_never_fetched() -> None:
    def fetch(address: str) -> bytes:
        raise AssertionError(address)

    with pytest.raises(ApiError) as refused:
        decode("Data:text/plain,x", LIMITS, fetch)
    assert refused.value.code == "invalid_image_url"


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


def test_the_images_of_a_request_share_a_limit() -> None:
    images = Images(ImageLimits(count=3, pixels=100, total_pixels=150))
    image = data_url(png(width=10, height=10))
    assert images.decode(image).size == (10, 10)
    with pytest.raises(ApiError, match="150 pixels together") as refused:
        images.decode(image)
    assert refused.value.code == "image_too_large"
    assert images.decode(data_url(png(width=5, height=10))).size == (5, 10)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_an_animation_gives_its_first_frame_however_long_it_is(form: str) -> None:
    frames = [Image.new("RGB", (2, 2), color) for color in ("red", "blue")] * 1000
    options = {"lossless": True} if form == "WEBP" else {}
    image = decode(url(frames[0], form, save_all=True, append_images=frames[1:], **options), ImageLimits(count=1))
    assert image.getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(50_000_000))),
        png_chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(50_000_000))),
        png_chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(1_000_000))) * 70,
    ],
)
def test_text_and_profiles_that_unpack_to_much_are_refused(chunk: bytes) -> None:
    tracemalloc.start()
    try:
        assert refusal(data_url(png(chunk))).code in {"invalid_image", "image_too_large"}
        assert tracemalloc.get_traced_memory()[1] < 80_000_000
    finally:
        tracemalloc.stop()


def test_a_canvas_that_grows_behind_the_header_is_measured() -> None:
    """A GIF's first frame may be larger than its screen."""
    data = bytearray(base64.b64decode(url(Image.new("P", (200, 200)), "GIF").partition(",")[2]))
    data[6:10] = struct.pack("<HH", 1, 1)
    assert refusal(data_url(bytes(data))).code == "image_too_large"


@pytest.mark.parametrize("size", [(1, 1), (99, 99)])
def test_a_jpeg_that_lies_about_its_size(size: tuple[int, int]) -> None:
    data = jpeg(16)
    place = data.index(b"\xff\xc0") + 5
    image = data[:place] + struct.pack(">HH", *size) + data[place + 4 :]
    with contextlib.suppress(ApiError):  # the decoder may fill up what is missing
        assert decode(data_url(image), LIMITS).size == size
    image = data[:place] + struct.pack(">HH", 60_000, 60_000) + data[place + 4 :]
    assert refusal(data_url(image)).code == "image_too_large"


def test_a_jpeg_may_not_keep_the_decoder_busy_for_hours() -> None:
    limits = ImageLimits(count=1, bytes=1_000_000, pixels=10_000)
    data = jpeg(100, progressive=True)
    assert decode(data_url(data), limits).size == (100, 100)
    error = refusal(data_url(with_scans(data, 100)), limits)
    assert (error.code, "may have 20 scans" in error.message) == ("image_too_large", True)
    small = jpeg(16, progressive=True)
    assert decode(data_url(with_scans(small, 100)), limits).size == (16, 16)


@pytest.mark.parametrize("hidden", [b"\xff\x01", b"\xff\xff", b"\xff\xd0", b"\xff\xe1\x00\x00"])
def test_scans_are_not_hidden_behind_other_marks(hidden: bytes) -> None:
    data = jpeg(100, progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    image = data[:-2] + (hidden + scan) * 100 + data[-2:]
    assert refusal(data_url(image), ImageLimits(count=1, pixels=10_000)).code == "image_too_large"


def test_a_jpeg_of_nothing_but_segments() -> None:
    data = jpeg(16)
    assert refusal(data_url(data[:2] + b"\xff\xfe\0\2" * 20_000 + data[2:])).code == "invalid_image"


def test_a_format_that_is_not_wanted() -> None:
    assert refusal(url(Image.new("RGB", (2, 2)), "TIFF")).code == "invalid_image"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_a_file_that_ends_too_early(form: str) -> None:
    whole = base64.b64decode(url(Image.effect_noise((50, 50), 50), form).partition(",")[2])
    assert refusal(data_url(whole[: len(whole) // 2])).code == "invalid_image"


@given(
    st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM", b"RIFF"])
)
def test_any_bytes_give_an_image_or_a_refusal(data: bytes, magic: bytes) -> None:
    with contextlib.suppress(ApiError):
        assert decode(data_url(magic + data), LIMITS).mode == "RGB"


FILES = [
    base64.b64decode(url(Image.effect_noise((20, 10), 50).convert(mode), form, **options).partition(",")[2])
    for form, mode, options in (
        ("PNG", "RGBA", {}),
        ("PNG", "P", {"transparency": 0}),
        ("JPEG", "L", {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"}),
        ("JPEG", "CMYK", {"progressive": True}),
        ("WEBP", "RGBA", {"lossless": True}),
        ("GIF", "P", {"comment": b"c"}),
        ("BMP", "RGB", {}),
    )
]


@settings(max_examples=700, deadline=None, derandomize=True)
@given(
    st.sampled_from(FILES),
    st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=4)), min_size=1, max_size=6),
    st.integers(0, 50),
)
def test_any_damage_to_a_file_gives_an_image_or_a_refusal(
    data: bytes, damage: list[tuple[int, bytes]], missing: int
) -> None:
    file = bytearray(data)
    for place, new in damage:
        at = place % len(file)
        file[at : at + len(new)] = new
    with contextlib.suppress(ApiError):
        assert decode(data_url(bytes(file[: len(file) - missing])), LIMITS).mode == "RGB"
