"""JPEG 2000 by Pillow (OpenJPEG): one tile, 9-7 wavelet, one quality layer."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from PIL import features

from bench.codec import Codec, Parameter, Setting
from bench.codecs._pillow import (
    DAMAGED,
    boxes,
    check_depth,
    check_size,
    decode_pillow,
    encode_pillow,
)
from bench.errors import DecodeError, Unavailable
from bench.image import Image, size_problem

_START_OF_CODESTREAM = b"\xff\x4f"
_START_OF_TILE_PART = b"\xff\x90"
_START_OF_DATA = b"\xff\x93"
_END_OF_CODESTREAM = b"\xff\xd9"


class Jpeg2000(Codec):
    """Rate by OpenJPEG's own measure, the compression ratio: 24 / ``ratio`` bits a pixel.

    The irreversible colour transform is computed in floating point, so that the conversion alone
    costs nothing and the ceiling is the image itself.
    """

    name = "jpeg2000"
    title = "JPEG 2000 (Pillow, OpenJPEG)"
    display = "JPEG 2000"
    suffix = ".jp2"
    rate = "ratio"
    in_default_run = False
    parameters = (Parameter("ratio", 40.0, "raw size over file size", low=1, high=10_000),)

    def __init__(self) -> None:
        if not features.check("jpg_2000"):
            raise Unavailable(
                "this Pillow was built without OpenJPEG",
                "Install Pillow's wheel: pip install pillow",
            )

    def ladder(self) -> Sequence[Setting]:
        """Return 8 rungs from 0.1 to 2 bpp."""
        return [Setting(ratio=r) for r in (240, 160, 100, 66, 44, 28, 18, 12)]

    def version(self) -> str:
        """Return OpenJPEG's version."""
        return f"OpenJPEG {features.version('jpg_2000')}"

    def describe(self, setting: Setting) -> str:  # noqa: ARG002
        """Return chroma format and depth."""
        return "4:4:4 8-bit"

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return a JP2 file."""
        return encode_pillow(
            image,
            "JPEG2000",
            limit=65_535,
            quality_mode="rates",
            quality_layers=[float(setting["ratio"])],
            irreversible=True,
            mct=1,
        )

    def decode(self, data: bytes) -> Image:
        """Return the decoded pixels.

        OpenJPEG takes a file that breaks off for one with fewer layers; here it is an error.
        """
        start, end = _codestream(data)
        if not data[start:end].endswith(_END_OF_CODESTREAM):
            raise DecodeError("JPEG 2000 codestream breaks off before its end marker", DAMAGED)
        _check_main_header(data[start:end])
        return decode_pillow(data, "JPEG2000")

    def recognises(self, data: bytes) -> bool:
        """Return whether the data begins with a JP2 signature box or a bare codestream."""
        return data[4:12] == b"jP  \r\n\x87\n" or data[:4] == _START_OF_CODESTREAM + b"\xff\x51"

    def ledger(self, data: bytes) -> dict[str, int]:
        """Return boxes, the codestream's main header with its tables, and tile-parts."""
        start, end = _codestream(data)
        position = start + 2
        while data[position : position + 2] != _START_OF_TILE_PART:
            length = int.from_bytes(data[position + 2 : position + 4])
            if not 2 <= length <= end - position:
                raise DecodeError("JPEG 2000 main header breaks off", DAMAGED)
            position += 2 + length
        return {
            "header": start + len(data) - end,
            "side_information": position - start,
            "payload": end - position,
        }


def _check_main_header(stream: bytes) -> None:
    """Refuse deep samples and absurd claims by the SIZ marker segment (ISO/IEC 15444-1, A.5.1).

    OpenJPEG allocates for every tile that the segment claims; each takes 14 bytes of markers.

    Raises
    ------
    DecodeError
        If there is no such segment, or what it claims is not decoded.
    """
    if len(stream) < 42 or stream[2:4] != b"\xff\x51":
        raise DecodeError("JPEG 2000 codestream has no SIZ marker segment", DAMAGED)
    right, bottom, left, top, tile_width, tile_height = struct.unpack_from(">6I", stream, 8)
    components = int.from_bytes(stream[40:42])
    check_size("JPEG 2000", right - left, bottom - top)
    tiles = -(-right // max(1, tile_width)) * -(-bottom // max(1, tile_height))
    if not 0 < components <= 4 or 14 * tiles > len(stream):
        raise DecodeError(
            f"JPEG 2000 header claims {components} components and {tiles} tiles, in "
            f"{len(stream)} bytes",
            DAMAGED,
        )
    _check_code_blocks(stream, right - left, bottom - top)
    depths = stream[42 : 42 + 3 * components : 3]
    check_depth("JPEG 2000", 1 + max(depth & 127 for depth in depths or b"\0"))


def _check_code_blocks(stream: bytes, width: int, height: int) -> None:
    """Refuse more code-blocks than a picture of the largest size has at 32x32.

    OpenJPEG allocates a structure for each: one row of 179 megapixels took 11.5 GB. Their sizes
    stand in the COD and COC marker segments (A.6.1 and A.6.2).

    Raises
    ------
    DecodeError
        If there are more, or no COD segment says how many.
    """
    sizes = []
    for marker, body in _segments(stream):
        if marker == b"\xff\x52":
            sizes.append(body[6:8])
        elif marker == b"\xff\x53":
            sizes.append(body[3:5])
    for size in sizes:
        # Exponents 0 and 0 stand for 4x4; one byte for the width, one for the height.
        across, down = (4 << (exponent & 15) for exponent in size.ljust(2, b"\0"))
        if problem := size_problem(32 * -(-width // across), 32 * -(-height // down)):
            raise DecodeError(f"JPEG 2000 code-blocks count as {problem}", DAMAGED)
    if not sizes:
        raise DecodeError("JPEG 2000 codestream has no COD marker segment", DAMAGED)


def _segments(stream: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield marker and body of each segment of the main header and of the tile-parts' headers.

    Raises
    ------
    DecodeError
        If a segment or a tile-part breaks off.
    """
    position, tile_end = 2, 0
    while (marker := stream[position : position + 2]) != _END_OF_CODESTREAM:
        if marker == _START_OF_DATA and tile_end > position:
            position = tile_end
            continue
        length = int.from_bytes(stream[position + 2 : position + 4])
        if length < 2 or position + 2 + length > len(stream):
            raise DecodeError("JPEG 2000 header breaks off", DAMAGED)
        body = stream[position + 4 : position + 2 + length]
        if marker == _START_OF_TILE_PART:
            size_bytes = int.from_bytes(body[2:6])
            tile_end = position + size_bytes if size_bytes else len(stream) - 2
        yield marker, body
        position += 2 + length


def _codestream(data: bytes) -> tuple[int, int]:
    """Return where the codestream begins and ends.

    Raises
    ------
    DecodeError
        If there is none, or the boxes around it do not fill the file.
    """
    start, end = 0, len(data)
    if not data.startswith(_START_OF_CODESTREAM):
        found = [(start, end) for kind, _, start, end in boxes(data) if kind == b"jp2c"]
        start, end = found[0] if found else (end, end)
    if data[start : start + 2] != _START_OF_CODESTREAM:
        raise DecodeError("no JPEG 2000 codestream in the file", DAMAGED)
    return start, end
