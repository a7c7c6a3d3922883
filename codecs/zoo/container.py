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
from dataclasses import dataclass

from bench.codec.tensor_file import DAMAGED, Numbers, leb128, sealed, unsealed
from bench.errors import DecodeError
from bench.image import size_problem

MAGIC = b"CAIZ"
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
        return sealed(_HEAD.pack(MAGIC, *head) + b"".join(map(leb128, numbers)), self.strings)

    @classmethod
    def unpack(cls, data: bytes) -> File:
        """Read what ``pack`` wrote; nothing is believed before the checksum agrees.

        Raises
        ------
        DecodeError
            If the file is damaged, truncated or of another codec.
        """
        body = unsealed(data, MAGIC, _HEAD.size)
        _, version, model, metric, quality, weights = _HEAD.unpack_from(body)
        numbers = Numbers(body, _HEAD.size)
        width, height, rows, columns, count = (numbers.take() for _ in range(5))
        problem = size_problem(width, height, _LARGEST_STRIDE)
        if problem or not 0 < count <= _MAX_STRINGS:
            problem = problem or f"{count} strings"
            raise DecodeError(f"header claims {problem}", DAMAGED)
        strings, shape = numbers.strings(count), (rows, columns)
        return cls(version, model, metric, quality, weights, width, height, shape, strings)
