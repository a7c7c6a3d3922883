"""bench.image: what is loaded, what is refused, and how it says so."""

from __future__ import annotations

import os
import re
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from bench import image
from bench.errors import ImageError

RGB = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3
GRAY = RGB[..., 0]
SMOOTH = np.kron(RGB, np.ones((8, 8, 1), np.uint8))


def chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    """Write a PNG by hand: Pillow cannot write 16-bit RGB, nor a header that lies."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + data + chunk(b"IEND", b"")


def deep_png(colour: int, channels: int) -> bytes:
    return png(8, 4, 16, colour, b"".join(b"\0" + bytes(range(16 * channels)) for _ in range(4)))


def saved(picture: PILImage.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def rgba(alpha: int) -> PILImage.Image:
    picture = PILImage.fromarray(RGB).convert("RGBA")
    picture.putpixel((2, 1), (9, 9, 9, alpha))
    return picture


def palette(transparent: int) -> PILImage.Image:
    """Return a palette image; index 200 stands nowhere in it, index 0 does."""
    picture = PILImage.fromarray(GRAY % 16, "L").convert("P", palette=PILImage.Palette.ADAPTIVE)
    picture.info["transparency"] = transparent
    return picture


def animation(kind: str) -> bytes:
    first = PILImage.fromarray(SMOOTH)
    more = [PILImage.fromarray(np.ascontiguousarray(SMOOTH[::-1]))]
    return saved(first, kind, save_all=True, append_images=more)


def tiff(bits: int, *, second: bool = False) -> bytes:
    """Return an RGB TIFF of one pixel; the second directory, if any, is empty, which is illegal."""
    pixel = struct.pack("<HHH", 1, 2, 3)
    tags = [(256, 1), (257, 1), (258, 8), (259, 1), (262, 2), (273, 14), (277, 3), (278, 1)]
    entries = b""
    for tag, value in [*tags, (279, 3 * bits // 8)]:
        count = 3 if tag == 258 else 1
        kind = 4 if tag == 273 else 3
        entries += struct.pack("<HHII", tag, kind, count, value)
    start = 8 + 6 + 6
    following = start + 2 + len(entries) + 4
    head = b"II*\0" + struct.pack("<I", start) + struct.pack("<HHH", bits, bits, bits) + pixel
    directory = struct.pack("<H", 9) + entries + struct.pack("<I", following if second else 0)
    return head + directory + bytes(6)


ACCEPTED = {
    "rgb.png": (saved(PILImage.fromarray(RGB), "PNG"), RGB),
    "rgb.ppm": (saved(PILImage.fromarray(RGB), "PPM"), RGB),
    "rgb.bmp": (saved(PILImage.fromarray(RGB), "BMP"), RGB),
    "rgb.tif": (saved(PILImage.fromarray(RGB), "TIFF"), RGB),
    "rgb.webp": (saved(PILImage.fromarray(RGB), "WEBP", lossless=True), RGB),
    "gray.png": (saved(PILImage.fromarray(GRAY), "PNG"), np.dstack([GRAY] * 3)),
    "gray.pgm": (saved(PILImage.fromarray(GRAY), "PPM"), np.dstack([GRAY] * 3)),
    "two bits.png": (png(4, 1, 2, 0, b"\0\x1b"), np.array([[[v] * 3 for v in (0, 85, 170, 255)]])),
    "opaque.png": (saved(rgba(255), "PNG"), np.asarray(rgba(255))[..., :3]),
    "opaque gray.png": (
        saved(PILImage.fromarray(GRAY).convert("LA"), "PNG"),
        np.dstack([GRAY] * 3),
    ),
    "palette.png": (
        saved(PILImage.fromarray(RGB).quantize(24), "PNG"),
        np.asarray(PILImage.fromarray(RGB).quantize(24).convert("RGB")),
    ),
    "one frame.gif": (
        saved(PILImage.fromarray(RGB).quantize(24), "GIF"),
        np.asarray(PILImage.fromarray(RGB).quantize(24).convert("RGB")),
    ),
    "unused transparency.png": (
        saved(palette(200), "PNG"),
        np.asarray(palette(200).convert("RGBA"))[..., :3],
    ),
    "1x1.tif": (tiff(8), np.array([[[1, 0, 2]]])),
    "1x1.png": (png(1, 1, 8, 2, b"\0\1\2\3"), np.array([[[1, 2, 3]]])),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_load_accepts(name: str, tmp_path: Path) -> None:
    """Whatever 8-bit RGB can say is loaded, with the very sample values of the file."""
    data, wanted = ACCEPTED[name]
    (tmp_path / name).write_bytes(data)

    loaded = image.load(tmp_path / name)

    assert np.uint8 == loaded.dtype
    assert loaded.flags.c_contiguous
    np.testing.assert_array_equal(wanted, loaded)


REFUSED = {
    "text.png": (b"not an image at all", "not an image that the suite reads"),
    "empty.png": (b"", "not an image that the suite reads"),
    "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image that the"),
    "truncated.png": (saved(PILImage.fromarray(SMOOTH), "PNG")[:-40], "damaged or truncated"),
    "header only.png": (saved(PILImage.fromarray(SMOOTH), "PNG")[:45], "damaged or truncated"),
    "truncated.jpg": (saved(PILImage.fromarray(SMOOTH), "JPEG")[:-40], "damaged or truncated"),
    "truncated.tif": (saved(PILImage.fromarray(SMOOTH), "TIFF")[:3000], "damaged or truncated"),
    "truncated.ppm": (saved(PILImage.fromarray(SMOOTH), "PPM")[:99], "damaged or truncated"),
    "bad second page.tif": (tiff(8, second=True), "damaged or truncated"),
    "gray 16.png": (deep_png(0, 1), "more than 8 bits"),
    "rgb 16.png": (deep_png(2, 3), "more than 8 bits"),
    "gray alpha 16.png": (deep_png(4, 2), "more than 8 bits"),
    "rgba 16.png": (deep_png(6, 4), "more than 8 bits"),
    "16.ppm": (b"P6 2 1 65535\n" + bytes(12), "more than 8 bits"),
    "16.pgm": (b"P5 2 1 65535\n" + bytes(4), "more than 8 bits"),
    "16.tif": (tiff(16), "more than 8 bits"),
    "float.pfm": (b"Pf 2 1 -1.0\n" + bytes(8), "more than 8 bits"),
    "float.tif": (saved(PILImage.fromarray(GRAY.astype("f4")), "TIFF"), "more than 8 bits"),
    "alpha.png": (saved(rgba(254), "PNG"), "transparent pixels"),
    "alpha.webp": (saved(rgba(0), "WEBP", lossless=True), "transparent pixels"),
    "palette alpha.png": (saved(palette(0), "PNG"), "transparent pixels"),
    "keyed.png": (
        png(2, 1, 8, 2, b"\0\1\2\3\4\5\6", chunk(b"tRNS", b"\0\1\0\2\0\3")),
        "transparent pixels",
    ),
    "cmyk.jpg": (saved(PILImage.new("CMYK", (8, 8)), "JPEG"), "is CMYK"),
    "lab.tif": (saved(PILImage.new("LAB", (8, 8)), "TIFF"), "is LAB"),
    "moving.gif": (animation("GIF"), "has 2 pictures"),
    "moving.webp": (animation("WEBP"), "has 2 pictures"),
    "moving.png": (animation("PNG"), "has 2 pictures"),
    "pages.tif": (animation("TIFF"), "has 2 pictures"),
    "huge.png": (png(30_000, 30_000, 8, 2, b"\0"), "too large"),
    "large.png": (png(13_000, 13_800, 8, 2, b"\0"), "too large: at most 178956970"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_load_refuses(name: str, tmp_path: Path) -> None:
    """What is no 8-bit RGB image is refused in one line that names the file and a next step."""
    data, told = REFUSED[name]
    (tmp_path / name).write_bytes(data)

    with pytest.raises(ImageError, match=told) as caught:
        image.load(tmp_path / name)

    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.next_step


def test_load_refuses_what_is_no_file(tmp_path: Path) -> None:
    """A missing file, a folder, a pipe and an impossible path each say what they are."""
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "file").touch()
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")

    for path, told in {
        tmp_path / "absent.png": "no such file",
        tmp_path: "is a folder, wanted an image.*--dataset folder:",
        tmp_path / "pipe.png": "not a regular file",
        tmp_path / "file" / "a.png": "Not a directory",
        tmp_path / "loop.png": "symbolic links",
        Path("nul\0.png"): "embedded null",
    }.items():
        with pytest.raises(ImageError, match=told):
            image.load(path)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux's /proc")
def test_load_refuses_an_unreadable_file() -> None:
    """A file that the system does not let us read is not called damaged."""
    # Tests run as root, too, whom permissions do not stop: this file stops everybody.
    with pytest.raises(ImageError, match="cannot read /proc/self/mem: Input/output error"):
        image.load("/proc/self/mem")


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not stop root")
def test_load_refuses_a_forbidden_file(tmp_path: Path) -> None:
    """A file without read permission says so."""
    (tmp_path / "a.png").write_bytes(saved(PILImage.fromarray(RGB), "PNG"))
    (tmp_path / "a.png").chmod(0)

    with pytest.raises(ImageError, match="Permission denied"):
        image.load(tmp_path / "a.png")


def test_load_wide(tmp_path: Path) -> None:
    """20,000 pixels wide is an image like any other."""
    wide = np.arange(20_000 * 3 * 3, dtype=np.uint32).astype(np.uint8).reshape(3, 20_000, 3)
    image.save(wide, tmp_path / "wide.png")

    np.testing.assert_array_equal(wide, image.load(tmp_path / "wide.png"))


def test_load_warns_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image so large that Pillow warns of a decompression bomb loads silently."""
    (tmp_path / "a.png").write_bytes(saved(PILImage.fromarray(RGB), "PNG"))
    monkeypatch.setattr(PILImage, "MAX_IMAGE_PIXELS", RGB.size // 3 - 1)
    with pytest.warns(PILImage.DecompressionBombWarning):
        PILImage.open(tmp_path / "a.png").close()

    np.testing.assert_array_equal(RGB, image.load(tmp_path / "a.png"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_load_ignores_orientation(kind: str, tmp_path: Path) -> None:
    """Samples come in stored order, whatever the EXIF tag tells a viewer."""
    exif = PILImage.Exif()
    exif[0x0112] = 6  # "turn a quarter to the right"
    options = {"lossless": True} if kind == "WEBP" else {}
    (tmp_path / "plain").write_bytes(saved(PILImage.fromarray(SMOOTH), kind, **options))
    (tmp_path / "turned").write_bytes(saved(PILImage.fromarray(SMOOTH), kind, exif=exif, **options))

    np.testing.assert_array_equal(image.load(tmp_path / "plain"), image.load(tmp_path / "turned"))


def test_load_ignores_gamma_and_profile(tmp_path: Path) -> None:
    """Neither a gAMA chunk nor an ICC profile changes a sample."""
    rows = b"".join(b"\0" + row.tobytes() for row in RGB)
    profile = chunk(b"iCCP", b"x\0\0" + zlib.compress(b"no profile at all"))
    for extra in (chunk(b"gAMA", struct.pack(">I", 100_000)), profile):
        (tmp_path / "a.png").write_bytes(png(6, 4, 8, 2, rows, extra))

        np.testing.assert_array_equal(RGB, image.load(tmp_path / "a.png"))


def test_load_takes_the_photo_of_an_mpo(tmp_path: Path) -> None:
    """Of a camera's JPEG with further pictures behind it, the first is the photo."""
    first = PILImage.fromarray(SMOOTH)
    second = PILImage.fromarray(255 - SMOOTH)
    (tmp_path / "a.jpg").write_bytes(saved(first, "MPO", save_all=True, append_images=[second]))
    (tmp_path / "b.jpg").write_bytes(saved(first, "JPEG"))

    np.testing.assert_array_equal(image.load(tmp_path / "b.jpg"), image.load(tmp_path / "a.jpg"))


def test_load_kodak(kodak_dir: Path) -> None:
    """A Kodak image has the pixels, the size and the hash that the manifest gives."""
    loaded = image.load(kodak_dir / "kodim04.png")

    assert (768, 512, 3) == loaded.shape
    assert (
        "e88e788fca00e6c723bb66ff45edb8cb56091ee284dcb73e3909834f2c96eeb6"
        == image.pixels_sha256(loaded)
    )


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP", "GIF", "BMP", "PPM"])
def test_damaged_files_raise_image_errors_only(
    kind: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    """Flipped and cut bytes give an image or an ImageError, nothing else."""
    source = np.frombuffer(saved(PILImage.fromarray(SMOOTH), kind), np.uint8)
    refused = 0
    for _ in range(150):
        data = source.copy()
        data[rng.integers(len(data), size=2)] ^= rng.integers(1, 256, 2, dtype=np.uint8)
        (tmp_path / "a").write_bytes(data[: rng.integers(len(data) // 2, len(data))].tobytes())
        try:
            image.check(image.load(tmp_path / "a"))
        except ImageError:
            refused += 1

    assert refused > 0


@pytest.mark.parametrize(
    "wrong",
    [GRAY, RGB.astype(np.float32), np.dstack([RGB, GRAY]), RGB[:0], RGB[None]],
    ids=["gray", "float", "four channels", "no rows", "batch"],
)
def test_check_refuses(wrong: np.ndarray) -> None:
    """Arrays of another type or shape are refused with both named."""
    with pytest.raises(ImageError, match=re.escape(f"{wrong.dtype} of {wrong.shape}")):
        image.check(wrong)
