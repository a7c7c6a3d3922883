"""The file format: a header, the entropy-coded payload, a checksum. See FORMAT.md.

Everything that a decoder needs is inside, and everything inside is counted in the rate.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from bench.errors import DecodeError, EncodeError
from bench.image import size_problem

MAGIC = b"AGV"
FORMAT_VERSION = 2
"""What is written; files of version 1 are read as well."""
MODEL_ID_BYTES = 4
CHECKSUM_BYTES = 4
MAX_LEVEL_STEPS = 1 << 13
"""Levels from -32 to 32; what a model takes is checked against the model."""
LANE_BITS = 3
Z_BY_NEIGHBOURS = 1
"""Bit of ``Header.tables``: z is coded in parts, with tables that decoded neighbours choose."""
Y_CORRECTED = 2
"""Bit of ``Header.tables``: y is coded with corrected tables."""
MAX_TABLES = 15
"""Sets of tables that a file may name; what a model has is checked against the model."""

PADDED_TO = 64
"""Networks see pictures padded to multiples of it; it is the padded picture that takes memory."""

PIXELS_PER_BYTE = 1 << 16
"""A payload byte vouches for at most so many pixels; bounds what a short file can allocate.

A flat image takes 100 times more bytes than that."""

_VARINT_BYTES = 5


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the payload.

    Attributes
    ----------
    model_id
        First four bytes of the hash of the decoder's weights.
    width, height
        Of the image in pixels.
    level_steps
        Rate level in steps of 1/256; from version 2 on it may be negative.
    lanes
        Interleaved rANS states.
    tables
        Which tables the payload is coded with, see ``coding_tables.py``; 0 in version 1.
    version
        Of the format, 1 or 2.
    """

    model_id: bytes
    width: int
    height: int
    level_steps: int
    lanes: int
    tables: int = 0
    version: int = FORMAT_VERSION

    @property
    def level(self) -> float:
        """Rate level as a real number."""
        return self.level_steps / 256

    @property
    def coded(self) -> str:
        """Which tables the payload is coded with, in words."""
        of_z = "z by neighbours" if self.tables & Z_BY_NEIGHBOURS else "z by the model"
        of_y = "y corrected" if self.tables & Y_CORRECTED else "y by the model"
        return f"{of_z}, {of_y}"

    def to_bytes(self) -> bytes:
        """Return the header as written: 8 bytes and four varints."""
        numbers = (self.width, self.height, self.level_steps, self.lanes)
        if self.version > 1:
            level = 2 * self.level_steps if self.level_steps >= 0 else -2 * self.level_steps - 1
            coder = self.lanes.bit_length() - 1 | self.tables << LANE_BITS
            numbers = (self.width, self.height, level, coder)
        return MAGIC + bytes([self.version]) + self.model_id + b"".join(map(_varint, numbers))


def write(header: Header, payload: bytes) -> bytes:
    """Return the whole file.

    Raises
    ------
    EncodeError
        If the reader would refuse it: an image too large, or too many pixels for the payload.
    """
    try:
        _check(header, len(payload))
    except DecodeError as error:
        raise EncodeError(f"AG-VAE cannot hold this image: {error.what}") from error
    body = header.to_bytes() + payload
    return body + zlib.crc32(body).to_bytes(CHECKSUM_BYTES, "little")


def is_agvae(data: bytes) -> bool:
    """Return whether ``data`` begins like a file of this format, whatever its version."""
    return data[: len(MAGIC)] == MAGIC


def read(data: bytes) -> tuple[Header, bytes]:
    """Return header and payload of a file, all checked, nothing allocated.

    Raises
    ------
    DecodeError
        If the file is of another format or version, truncated, damaged or absurd.
    """
    if not is_agvae(data):
        raise DecodeError(
            f"not an AG-VAE file: wanted it to begin with {MAGIC!r}, found {data[:3]!r}",
            "Check the file, or choose another codec.",
        )
    start = len(MAGIC) + 1 + MODEL_ID_BYTES
    if len(data) < start + 4 + CHECKSUM_BYTES:
        raise _damaged(f"it ends after {len(data)} bytes, inside the header")
    version = data[len(MAGIC)]
    if not 1 <= version <= FORMAT_VERSION:
        raise DecodeError(
            f"AG-VAE file of format version {version}, wanted 1 to {FORMAT_VERSION}",
            "Decode it with the release that wrote it, or encode the image again.",
        )
    stored = int.from_bytes(data[-CHECKSUM_BYTES:], "little")
    found = zlib.crc32(data[:-CHECKSUM_BYTES])
    if stored != found:
        raise _damaged(f"checksum is {stored:08x}, content gives {found:08x}")
    end = len(data) - CHECKSUM_BYTES
    numbers = []
    position = start
    for _ in range(4):
        number, position = _read_varint(data, position, end)
        numbers.append(number)
    width, height, level, coder = numbers
    tables = 0
    if version > 1:
        level = -(level + 1) // 2 if level & 1 else level // 2
        tables, coder = coder >> LANE_BITS, 1 << (coder & (1 << LANE_BITS) - 1)
    header = Header(data[len(MAGIC) + 1 : start], width, height, level, coder, tables, version)
    _check(header, end - position)
    return header, data[position:end]


def _check(header: Header, payload_bytes: int) -> None:
    """Refuse what no encoder writes, before anything is allocated for it."""
    pixels = header.width * header.height
    size = f"{header.width}x{header.height}"
    if problem := size_problem(header.width, header.height, PADDED_TO):
        raise DecodeError(f"header claims {problem}")
    if pixels > PIXELS_PER_BYTE * payload_bytes:
        raise _damaged(f"{payload_bytes} bytes of payload cannot hold {size} pixels")
    if abs(header.level_steps) > MAX_LEVEL_STEPS:
        raise DecodeError(f"header claims level {header.level:g}, wanted -32 to 32")
    if header.tables > MAX_TABLES:
        raise DecodeError(f"header claims tables {header.tables}, wanted at most {MAX_TABLES}")


def _damaged(why: str) -> DecodeError:
    return DecodeError(f"AG-VAE file is damaged or truncated: {why}", "Get the file again.")


def _varint(number: int) -> bytes:
    """Return an unsigned LEB128: 7 bits a byte, lowest first, the top bit set on all but the last.

    >>> _varint(768).hex()
    '8006'
    """
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _read_varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    """Return a number of at most five bytes and the position behind it."""
    number = 0
    for i in range(_VARINT_BYTES):
        if position + i >= end:
            raise _damaged("it ends inside the header")
        byte = data[position + i]
        number |= (byte & 127) << 7 * i
        if byte < 128:
            if i and not byte:
                raise _damaged("a number in the header is not in its shortest form")
            return number, position + i + 1
    raise _damaged("a number in the header is too long")
