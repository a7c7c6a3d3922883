"""bench.image: what Pillow lets through, decided by the file's own words and its pixels."""

from __future__ import annotations

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from bench import image
from bench.errors import ImageError, UsageError

MAGIC = b"\x89PNG\r\n\x1a\n"
NOISE = np.random.default_rng(5).integers(0, 256, (20, 24, 3), dtype=np.uint8)


def chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(header: tuple[int, int, int, int], rows: bytes, *extra: bytes) -> bytes:
    """Return a PNG of width, height, depth and colour type."""
    start = MAGIC + chunk(b"IHDR", struct.pack(">IIBBBBB", *header, 0, 0, 0)) + b"".join(extra)
    return start + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def gray(depth: int, key: int) -> bytes:
    """Return eight pixels of the smallest, then of the largest value, with a transparent key."""
    bits = "0" * 4 * depth + "1" * 4 * depth
    row = b"\0" + int(bits, 2).to_bytes(depth, "big")
    return png((8, 2, depth, 0), row * 2, chunk(b"tRNS", struct.pack(">H", key)))


def saved(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    PILImage.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def load(tmp_path: Path):
    """The function bytes -> image.load of a file that holds them."""

    def loaded(data: bytes, name: str = "x.png") -> image.Image:
        (tmp_path / name).write_bytes(data)
        return image.load(tmp_path / name)

    return loaded


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_shallow_gray_with_a_key_that_occurs(load, depth: int) -> None:
    """The transparent value of shallow gray counts samples as they are stored, not scaled."""
    for key in (0, 2**depth - 1, 0x300 + 2**depth - 1):
        with pytest.raises(ImageError, match="transparent pixels"):
            load(gray(depth, key))


@pytest.mark.parametrize("depth", [2, 4, 8])
def test_shallow_gray_with_a_key_that_does_not_occur(load, depth: int) -> None:
    """A transparent value that no pixel has leaves the picture opaque."""
    for key in (1, 2**depth - 2):
        wanted = np.array([[0] * 4 + [255] * 4] * 2)[..., None].repeat(3, axis=2)
        np.testing.assert_array_equal(wanted, load(gray(depth, key)))


@pytest.mark.parametrize(("key", "opaque"), [((1, 2, 3), False), ((1, 2, 4), True)])
def test_colour_with_a_key(load, key: tuple[int, int, int], *, opaque: bool) -> None:
    """The key of an RGB file is transparent where all three samples agree; high bits are naught."""
    for high in (0, 256):
        trns = chunk(b"tRNS", struct.pack(">HHH", *(high + k for k in key)))
        data = png((2, 1, 8, 2), b"\0\1\2\3\4\5\6", trns)
        if opaque:
            np.testing.assert_array_equal([[[1, 2, 3], [4, 5, 6]]], load(data))
        else:
            with pytest.raises(ImageError, match="transparent pixels"):
                load(data)


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("alpha", [b"\xff\xfe", b"\x00", b"\xff\xff"])
def test_palette_with_alphas(load, depth: int, alpha: bytes) -> None:
    """A palette of any depth is transparent where an entry in use is."""
    row = b"\0" + int("0" * (8 - depth) + "1" * depth, 2).to_bytes(1)  # index 0 first
    colours = chunk(b"PLTE", bytes(range(6)) + bytes(3 * (2**depth - 2)))
    data = png((8 // depth if depth < 8 else 1, 1, depth, 3), row, colours, chunk(b"tRNS", alpha))
    indices = {0, 1} if depth == 1 else ({255} if depth == 8 else {0, 2**depth - 1})
    used = [alpha[i] for i in indices if i < len(alpha)]
    if any(value != 255 for value in used):
        with pytest.raises(ImageError, match="transparent pixels"):
            load(data)
    else:
        assert load(data).shape[2] == 3


def test_gray_with_premultiplied_alpha(load) -> None:
    """The layout is named; the file is not called damaged."""
    tifffile = pytest.importorskip("tifffile")
    pixels = np.full((16, 16, 2), 255, np.uint8)
    buffer = BytesIO()
    tifffile.imwrite(buffer, pixels, photometric="minisblack", extrasamples=["assocalpha"])

    with pytest.raises(ImageError, match="gray with premultiplied alpha"):
        load(buffer.getvalue(), "x.tif")


@pytest.mark.parametrize("kind", [b"IHDR", b"IDAT", b"PLTE", b"IEND", b"tRNS"])
def test_wrong_checksum(load, kind: bytes) -> None:
    """A flipped bit in any chunk that makes the picture is damage, in its checksum too."""
    colours, alpha = chunk(b"PLTE", bytes(range(6))), chunk(b"tRNS", b"\xff\xff")
    data = bytearray(png((4, 1, 8, 3), b"\0\0\1\0\1", colours, alpha))
    load(bytes(data))
    place = data.index(kind)
    length = int.from_bytes(data[place - 4 : place])
    data[place + 4 + length] ^= 1

    with pytest.raises(ImageError, match="damaged or truncated"):
        load(bytes(data))


def test_flipped_bits_of_a_png_never_change_pixels(load) -> None:
    """Each flip of one bit is refused, or changes no pixel."""
    data = saved(NOISE[:5, :5], "PNG")
    for place in range(8, len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        try:
            found = load(bytes(damaged))
        except ImageError:
            continue
        np.testing.assert_array_equal(NOISE[:5, :5], found)


def test_cut_anywhere_a_png_is_refused_or_whole(load) -> None:
    """A PNG that is cut is refused, except for its end mark, which carries no pixel."""
    data = saved(NOISE[:5, :5], "PNG")
    for size in range(8, len(data) - 12):
        with pytest.raises(ImageError):
            load(data[:size])
    longer = bytearray(data)
    longer[data.index(b"IDAT") - 2] = 255  # the chunk claims to reach beyond the file
    with pytest.raises(ImageError, match="breaks off"):
        load(bytes(longer))


def test_bytes_after_the_end_are_no_damage(load) -> None:
    """What stands behind a whole picture is not read; a picture without an end mark is whole."""
    data = saved(NOISE, "PNG")
    for variant in (data + b"junk" * 9, data[:-12]):
        np.testing.assert_array_equal(NOISE, load(variant))
    np.testing.assert_array_equal(
        load(saved(NOISE, "JPEG"), "x.jpg"), load(saved(NOISE, "JPEG") + b"junk", "y.jpg")
    )


@pytest.mark.parametrize("name", ["iCCP", "zTXt", "iTXt"])
def test_bombs_in_metadata(load, name: str) -> None:
    """A profile or text that unpacks to 200 MB is not unpacked."""
    head = {"iCCP": b"n\0\0", "zTXt": b"n\0\0", "iTXt": b"n\0\1\0\0\0"}[name]
    bomb = chunk(name.encode(), head + zlib.compress(bytes(200_000_000), 9))
    data = png((1, 1, 8, 2), b"\0\1\2\3", bomb)
    try:
        np.testing.assert_array_equal([[[1, 2, 3]]], load(data))
    except ImageError as error:
        assert "too large" in str(error)  # noqa: PT017


def test_png_that_cannot_be_filled(load) -> None:
    """A header that claims more than deflate can pack into the data is refused at once."""
    with pytest.raises(ImageError, match="bytes of data cannot hold 13000x13000 pixels"):
        load(png((13_000, 13_000, 8, 2), b"\0"))


def jpeg_of(width: int, height: int, **options: object) -> bytes:
    """Return a small JPEG whose frame header claims another size."""
    data = bytearray(saved(NOISE, "JPEG", **options))
    frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    struct.pack_into(">HH", data, frame + 5, height, width)
    return bytes(data)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 2}])
def test_jpeg_that_cannot_be_filled(load, options: dict[str, object]) -> None:
    """A frame header that claims more blocks than the file has bits is refused at once."""
    with pytest.raises(ImageError, match="cannot hold 13000x13000 pixels"):
        load(jpeg_of(13_000, 13_000, **options), "x.jpg")


def test_webp_that_cannot_be_filled(load) -> None:
    """A frame of more blocks than the modes can code is refused; flat pictures are not."""
    data = bytearray(saved(NOISE, "WEBP"))
    struct.pack_into("<HH", data, 26, 13_000, 13_000)
    with pytest.raises(ImageError, match="cannot hold 13000x13000 pixels"):
        load(bytes(data), "x.webp")
    struct.pack_into("<HH", data, 26, 16_000, 16_000)
    with pytest.raises(ImageError, match="too large"):
        load(bytes(data), "x.webp")
    flat = np.zeros((2000, 2000, 3), np.uint8)
    for options in ({"quality": 0, "method": 0}, {"quality": 0, "method": 6}, {"lossless": True}):
        assert flat.shape == load(saved(flat, "WEBP", **options), "x.webp").shape


def test_gif_that_cannot_be_filled(load) -> None:
    """A screen of more pixels than the codes can fill is refused; a flat picture is not."""
    data = bytearray(saved(NOISE[..., 0], "GIF"))
    data[6:10] = b"\xff\x7f\xff\x0f"
    with pytest.raises(ImageError, match="cannot hold 32767x4095 pixels"):
        load(bytes(data), "x.gif")
    flat = np.zeros((2000, 2000), np.uint8)
    assert (2000, 2000, 3) == load(saved(flat, "GIF"), "x.gif").shape


def test_flat_jpegs_are_plausible(load) -> None:
    """The smallest data that a picture can have is not taken for damage."""
    flat = np.zeros((1600, 1600, 3), np.uint8)
    for options in ({"quality": 1}, {"quality": 1, "progressive": True, "optimize": True}):
        assert flat.shape == load(saved(flat, "JPEG", **options), "x.jpg").shape


def test_deep_and_arithmetic_jpeg(load) -> None:
    """12 bits and arithmetic coding are named."""
    data = bytearray(saved(NOISE, "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 4] = 12
    with pytest.raises(ImageError, match="more than 8 bits"):
        load(bytes(data), "x.jpg")
    data[frame + 1], data[frame + 4] = 0xC9, 8
    with pytest.raises(ImageError, match="arithmetic coding is not supported"):
        load(bytes(data), "x.jpg")


def test_the_bound_can_be_moved(load, monkeypatch: pytest.MonkeyPatch) -> None:
    """BENCH_MAX_MEGAPIXELS bounds loading, to the pixel."""
    monkeypatch.setenv(image.MAX_MEGAPIXELS, "0.00048")
    assert NOISE.shape == load(saved(NOISE, "PNG")).shape
    monkeypatch.setenv(image.MAX_MEGAPIXELS, "0.000479")
    for kind in ("PNG", "BMP", "TIFF", "WEBP", "JPEG"):
        with pytest.raises(ImageError, match="too large: at most 479 pixels"):
            load(saved(NOISE, kind))


@pytest.mark.parametrize("text", ["abc", "0", "-1", "nan", "inf", "1e-9", "1 2"])
def test_a_bound_that_is_none(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Anything but a number above 0 is an error in one line, not a bound."""
    monkeypatch.setenv(image.MAX_MEGAPIXELS, text)
    with pytest.raises(UsageError, match="wanted a number above 0"):
        image.max_pixels()


def test_pillow_keeps_its_own_limit(load) -> None:
    """Pillow's limit is the caller's again after a file was loaded."""
    before = PILImage.MAX_IMAGE_PIXELS
    load(saved(NOISE, "PNG"))

    assert before == PILImage.MAX_IMAGE_PIXELS


def test_a_lower_bound_is_that_of_its_thread_alone(monkeypatch: pytest.MonkeyPatch):
    """Whoever lowers the bound for a small picture does not lower it for another thread's."""
    monkeypatch.setenv(image.MAX_MEGAPIXELS, "2")
    with ThreadPoolExecutor(1) as other, image.at_most(1000), image.at_most(5000):
        assert (1000, 2_000_000) == (image.max_pixels(), other.submit(image.max_pixels).result())
    assert 2_000_000 == image.max_pixels()
    with image.at_most(3_000_000):
        assert 2_000_000 == image.max_pixels()
