"""JPEG by Pillow (libjpeg-turbo): baseline or progressive, 4:2:0 or 4:4:4."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import ClassVar

from PIL import features

from bench import colour
from bench.codec import Codec, Parameter, Setting
from bench.codecs._pillow import DAMAGED, decode_pillow, encode_pillow
from bench.errors import DecodeError
from bench.image import Image, jpeg_problem

_SCAN = 0xDA
_TABLES = (0xDB, 0xC4)  # quantisation, Huffman
_ALONE = (0xD8, 0xD9)  # start and end of image have no length
# A marker inside entropy-coded data, other than a stuffed 0xFF and the restart markers.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")


class Jpeg(Codec):
    """Pillow's defaults otherwise: baseline Huffman, JFIF header, standard quantisation tables."""

    name = "jpeg"
    title = "JPEG (Pillow, libjpeg-turbo)"
    display = "JPEG"
    suffix = ".jpg"
    rate = "quality"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("quality", 75, "libjpeg's quality", low=1, high=100),
        Parameter("subsampling", "4:2:0", "chroma format", choices=("4:2:0", "4:4:4")),
        Parameter("optimize", False, "optimised Huffman tables: smaller, slower"),
        Parameter("progressive", False, "progressive scans"),
    )

    def ladder(self) -> Sequence[Setting]:
        """Return 8 rungs over 0.22 to 2 bpp on Kodak; libjpeg goes hardly lower."""
        return [Setting(quality=q) for q in (5, 9, 15, 24, 40, 62, 78, 87)]

    def version(self) -> str:
        """Return libjpeg-turbo's version."""
        turbo = features.version("libjpeg_turbo")
        return f"libjpeg-turbo {turbo}" if turbo else f"libjpeg {features.version('jpg')}"

    def describe(self, setting: Setting) -> str:
        """Return chroma format and depth."""
        return f"{setting['subsampling']} 8-bit"

    def effort(self, setting: Setting) -> str:
        """Return which scans and Huffman tables; libjpeg optimises those of progressive scans."""
        if setting.get("progressive"):
            return "progressive"
        return "baseline" + " optimised" * bool(setting.get("optimize"))

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return a JFIF file."""
        return encode_pillow(image, "JPEG", limit=65_500, **setting)

    def decode(self, data: bytes) -> Image:
        """Return the decoded pixels; libjpeg's fancy up-sampling is Pillow's default."""
        if problem := jpeg_problem(data):
            raise DecodeError(f"not a JPEG file of the kind that is measured: {problem}", DAMAGED)
        return decode_pillow(data, "JPEG")

    def ceiling(self, image: Image, setting: Setting) -> Image:
        """Return the image after full-range BT.601 and back, chroma halved at 4:2:0."""
        return colour.round_trip(image, matrix="bt601", chroma=str(setting["subsampling"]))

    def recognises(self, data: bytes) -> bool:
        """Return whether the data begins with a JPEG start-of-image marker."""
        return data[:3] == b"\xff\xd8\xff"

    def ledger(self, data: bytes) -> dict[str, int]:
        """Return markers, quantisation and Huffman tables, and entropy-coded bytes."""
        parts = {"header": 0, "side_information": 0, "payload": 0}
        for marker, size_bytes, coded_bytes in _segments(data):
            parts["side_information" if marker in _TABLES else "header"] += size_bytes
            parts["payload"] += coded_bytes
        return parts


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, size, and size of the entropy-coded data after it (ITU-T T.81, annex B).

    Raises
    ------
    DecodeError
        If the file breaks off before its end-of-image marker.
    """
    position = 0
    while position + 2 <= len(data):
        marker = data[position + 1]
        length = 0 if marker in _ALONE else int.from_bytes(data[position + 2 : position + 4])
        after = end = position + 2 + length
        if marker == _SCAN:
            found = _MARKER.search(data, after)
            end = found.start() if found else len(data)
        yield marker, after - position, end - after
        if marker == _ALONE[1] and end == len(data):
            return
        position = end
    raise DecodeError("JPEG file breaks off before its end-of-image marker", DAMAGED)
