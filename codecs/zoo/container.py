"""The file of the zoo codecs: all that CompressAI's ``compress`` leaves to its caller, counted.

::

    b"CAIZ"                           magic
    version, model, metric, quality   one byte each
    weights                           first 4 bytes of the sha256 of the weights' file
    width, height                     of the image, LEB128 numbers
    rows, columns                     of the latent that is decoded first, LEB128
    count, length...                  of the strings, LEB128
    strings                           y, then z where there is one
    CRC-32 of all before              4 bytes, big-endian
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from bench.errors import DecodeError
from bench.image import size_problem

MAGIC = b"CAIZ"
DAMAGED = "The file is damaged, truncated or of another codec."
_HEAD = struct.Struct(">4sBBBB4s")
_MAX_STRINGS = 2
_LARGEST_STRIDE = 64
"""Pictures are padded to multiples of it, or of less."""


@dataclass(frozen=True, slots=True)
class File:
    """What a file says.

    Attributes
    ----------
    version, model, metric, quality
        Numbers below 256; what they mean is the codec's affair.
    weights
        First 4 bytes of the sha256 of the weights' file.
    width, height
        Of the image, in pixels.
    shape
        Rows and columns of the latent that CompressAI's ``decompress`` asks for.
    strings
        The entropy coder's output: y, then z where there is one.
    """

    version: int
    model: int
    metric: int
    quality: int
    weights: bytes
    width: int
    height: int
    shape: tuple[int, int]
    strings: tuple[bytes, ...]

    def pack(self) -> bytes:
        """Return the file."""
        head = (self.version, self.model, self.metric, self.quality, self.weights)
        lengths = [len(string) for string in self.strings]
        numbers = (self.width, self.height, *self.shape, len(lengths), *lengths)
        data = _HEAD.pack(MAGIC, *head) + b"".join(map(_leb128, numbers)) + b"".join(self.strings)
        return data + struct.pack(">I", zlib.crc32(data))

    @classmethod
    def unpack(cls, data: bytes) -> File:
        """Read what ``pack`` wrote; nothing is believed before the checksum agrees.

        Raises
        ------
        DecodeError
            If the file is damaged, truncated or of another codec.
        """
        if data[: len(MAGIC)] != MAGIC or len(data) < _HEAD.size + 4:
            raise DecodeError(f"not a file of CompressAI's zoo: it begins {data[:4]!r}", DAMAGED)
        body = data[:-4]
        if zlib.crc32(body) != int.from_bytes(data[-4:]):
            raise DecodeError(f"wrong checksum in a zoo file of {len(data)} bytes", DAMAGED)
        _, version, model, metric, quality, weights = _HEAD.unpack_from(body)
        numbers = _Numbers(body, _HEAD.size)
        width, height, rows, columns, count = (numbers.take() for _ in range(5))
        problem = size_problem(width, height, _LARGEST_STRIDE)
        if problem or not 0 < count <= _MAX_STRINGS:
            problem = problem or f"{count} strings"
            raise DecodeError(f"header claims {problem}", DAMAGED)
        lengths = [numbers.take() for _ in range(count)]
        starts = [numbers.position + sum(lengths[:i]) for i in range(count + 1)]
        if starts[-1] != len(body):
            raise DecodeError(f"strings of {lengths} bytes do not fill the file", DAMAGED)
        strings = tuple(body[starts[i] : starts[i + 1]] for i in range(count))
        shape = (rows, columns)
        return cls(version, model, metric, quality, weights, width, height, shape, strings)


def _leb128(number: int) -> bytes:
    """Return ``number`` in groups of 7 bits, the lowest first."""
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*data, number])


class _Numbers:
    """Reads LEB128 numbers of at most 35 bits."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data = data
        self.position = position

    def take(self) -> int:
        number = 0
        for shift in range(0, 35, 7):
            if self.position >= len(self.data):
                break
            byte = self.data[self.position]
            self.position += 1
            number |= (byte & 0x7F) << shift
            if byte <= 0x7F:
                return number
        raise DecodeError("header breaks off within a number", DAMAGED)
