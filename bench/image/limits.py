"""What a file may claim, read from its own header before anything is allocated."""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import warnings
import zlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import IO

from bench.errors import UsageError

MAX_PIXELS = 178_956_970
"""The default of ``max_pixels``: Pillow's own limit, 537 MB as RGB."""

MAX_MEGAPIXELS = "BENCH_MAX_MEGAPIXELS"
"""The environment variable behind ``bench --max-megapixels``, which worker processes inherit."""

CLAIMS = "header claims "
DEEP = "more than 8 bits a sample"
_LOWERED: ContextVar[int] = ContextVar("at most", default=sys.maxsize)
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def max_pixels() -> int:
    """Return how many pixels a file may claim: ``$BENCH_MAX_MEGAPIXELS`` millions, or the default.

    One bound for loading and for every codec, applied before anything is allocated.

    Raises
    ------
    UsageError
        If the variable is not a number of at least 0.000001.
    """
    text = os.environ.get(MAX_MEGAPIXELS, "")
    if not text:
        return min(MAX_PIXELS, _LOWERED.get())
    try:
        pixels = int(float(text) * 1e6 + 0.5)
    except (ValueError, OverflowError):
        pixels = 0
    if pixels < 1:
        raise UsageError(
            f"--max-megapixels (or {MAX_MEGAPIXELS}) is {text!r}, wanted a number above 0",
            f"The default is {MAX_PIXELS / 1e6:g}.",
        )
    return min(pixels, _LOWERED.get())


@contextlib.contextmanager
def at_most(pixels: int) -> Iterator[None]:
    """Lower ``max_pixels`` to a number of pixels for what this thread does in a ``with``."""
    token = _LOWERED.set(min(pixels, _LOWERED.get()))
    try:
        yield
    finally:
        _LOWERED.reset(token)


def size_problem(width: int, height: int, block: int = 1) -> str:
    """Return why no picture of this size is allocated, or ``""``.

    Parameters
    ----------
    width, height
        What a file claims, in pixels.
    block
        To what multiple a codec pads both sides; the padded picture is what takes memory.
    """
    padded = -(-width // block) * -(-height // block) * block**2
    most = max_pixels()
    if width > 0 and height > 0 and padded <= most:
        return ""
    note = "" if width * height > most or not padded else f", {padded} with its blocks padded"
    return f"{width}x{height} pixels{note}, wanted 1 to {most} (see bench --max-megapixels)"


@contextlib.contextmanager
def pillow_limit() -> Iterator[None]:
    """Make Pillow's own limit the suite's, and its warnings silent, for the time of a ``with``."""
    from PIL import Image as PILImage

    before = PILImage.MAX_IMAGE_PIXELS
    # Pillow warns above its limit, and raises above twice its limit.
    PILImage.MAX_IMAGE_PIXELS = (max_pixels() + 1) // 2
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        PILImage.MAX_IMAGE_PIXELS = before


def content_problem(file: IO[bytes]) -> str:
    """Return why an opened image file is not decoded, ``DEEP`` or a reason; or ``""``.

    The file is read from its beginning, and rewound.
    """
    head = file.read(12)
    file.seek(0)
    for start, kind, problem_of in _CONTENT_CHECKS:
        if head.startswith(start) and head.endswith(kind):
            problem = problem_of(file.read())
            file.seek(0)
            return problem
    return ""


def _png_problem(data: bytes) -> str:
    """Return what Pillow does not see: a wrong CRC, or less data than the size needs.

    A byte of zlib's data stands for at most 1032 bytes of samples.
    """
    position, packed = len(_PNG), 0
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        name = kind.decode("latin-1")
        if end + 4 > len(data):
            return f"the PNG chunk {name!r} breaks off"
        if zlib.crc32(data[position + 4 : end]) != int.from_bytes(data[end : end + 4]):
            return f"wrong checksum of the PNG chunk {name!r}"
        packed += length if kind == b"IDAT" else 0
        position = end + 4
        if kind == b"IEND":
            break
    width, height, depth, colour = struct.unpack_from(">IIBB", data.ljust(26, b"\0"), 16)
    row_bits = width * depth * {2: 3, 4: 2, 6: 4}.get(colour, 1)
    if height * (row_bits // 8) > 1032 * packed and width * height <= max_pixels():
        return f"{packed} bytes of data cannot hold {width}x{height} pixels"
    return ""


def _gif_problem(data: bytes) -> str:
    """Return whether the screen is more than LZW fills: a code of 3 bits gives at most 4096."""
    width, height = struct.unpack_from("<HH", data.ljust(10, b"\0"), 6)
    if 3 * width * height > 8 * 4096 * len(data):
        return f"{len(data)} bytes of data cannot hold {width}x{height} pixels"
    return ""


def jpeg_problem(data: bytes) -> str:
    """Return why a JPEG is not decoded, ``DEEP`` or a reason, by its frame header; or ``""``.

    Each block of 8 by 8 samples takes at least one bit under Huffman coding; arithmetic coding,
    which has no such bound and which hardly any writer uses, is refused.
    """
    position = 2
    while position + 10 <= len(data) and data[position] == 0xFF:
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4])
        if marker == 0xFF:  # a fill byte
            position += 1
        elif marker in _JPEG_FRAMES:
            return _jpeg_frame_problem(marker, data[position + 4 :])
        else:
            position += 2 + (0 if 0xD0 <= marker <= 0xD8 or marker == 1 else max(2, length))
    return ""


def _jpeg_frame_problem(marker: int, frame: bytes) -> str:
    depth, height, width, count = struct.unpack_from(">BHHB", frame)
    if depth != 8:
        return DEEP
    if marker > 0xC8:
        return "arithmetic coding is not supported"
    factors = [divmod(frame[7 + 3 * k], 16) for k in range(count) if 7 + 3 * k < len(frame)]
    if not factors or not all(h and v for h, v in factors):
        return ""  # libjpeg says what is wrong
    most_h, most_v = (max(side) for side in zip(*factors, strict=True))
    blocks = sum(-(-width * h // (8 * most_h)) * -(-height * v // (8 * most_v)) for h, v in factors)
    if blocks > 8 * len(frame):
        return f"{len(frame)} bytes of data cannot hold {width}x{height} pixels"
    return ""


def webp_problem(data: bytes) -> str:
    """Return why a WebP file is not decoded, by its first chunk; libwebp allocates on opening.

    Under VP8 each block of 16 by 16 samples takes at least 1.5 bits: the modes of luma and chroma
    are coded with fixed probabilities (RFC 6386, 11.2). VP8L has no such bound.
    """
    kind, body = data[12:16], data[20:30].ljust(10, b"\0")
    little = [int.from_bytes(body[i : i + 3], "little") for i in (4, 7)]
    if kind == b"VP8X":
        width, height = little[0] + 1, little[1] + 1
    elif kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        bits = int.from_bytes(body[6:10], "little")
        width, height = bits & 0x3FFF, bits >> 16 & 0x3FFF
    else:
        return f"it begins with a chunk {kind!r}"
    if problem := size_problem(width, height):
        return CLAIMS + problem
    blocks = -(-width // 16) * -(-height // 16)
    if kind == b"VP8 " and 3 * blocks > 16 * len(data):
        return f"{len(data)} bytes of data cannot hold {width}x{height} pixels"
    return ""


_CONTENT_CHECKS = (
    (_PNG, b"", _png_problem),
    (b"\xff\xd8", b"", jpeg_problem),
    (b"GIF8", b"", _gif_problem),
    (b"RIFF", b"WEBP", webp_problem),
)
"""What files begin with, what their first 12 bytes end with, and who looks at them."""
