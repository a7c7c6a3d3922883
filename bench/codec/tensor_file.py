"""The file of a learned codec: all that a network's ``compress`` leaves to its caller, counted.

::

    magic                             b"BTC1"
    weights                           first 4 bytes of the sha256 of the weights' file
    level                             which rate, LEB128 numbers from here on
    width, height                     of the image
    count, length...                  of the strings
    strings
    CRC-32 of all before              4 bytes, big-endian
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.errors import DecodeError
from bench.image import size_problem

MAGIC = b"BTC1"
DAMAGED = "The file is damaged, truncated or of another codec."
_HEAD_BYTES = len(MAGIC) + 4
_MAX_STRINGS = 4096


@dataclass(frozen=True, slots=True)
class TensorFile:
    """What a file says.

    Attributes
    ----------
    weights
        First 4 bytes of the sha256 of the weights' file.
    level
        Which rate of these weights; the codec knows what it means.
    width, height
        Of the image, in pixels.
    strings
        What the entropy coder wrote, in the network's own order.
    """

    weights: bytes
    level: int
    width: int
    height: int
    strings: tuple[bytes, ...]

    def pack(self) -> bytes:
        """Return the file."""
        lengths = [len(string) for string in self.strings]
        numbers = (self.level, self.width, self.height, len(lengths), *lengths)
        return sealed(MAGIC + self.weights + b"".join(map(leb128, numbers)), self.strings)

    @classmethod
    def unpack(cls, data: bytes, block: int) -> TensorFile:
        """Read what ``pack`` wrote; nothing is believed before the checksum agrees.

        Parameters
        ----------
        data
            The file.
        block
            To what multiple both sides of the picture are padded, in pixels.

        Raises
        ------
        DecodeError
            If the file is damaged, truncated or of another codec, or the picture is too large.
        """
        body = unsealed(data, MAGIC, _HEAD_BYTES)
        numbers = Numbers(body, _HEAD_BYTES)
        level, width, height, count = (numbers.take() for _ in range(4))
        problem = size_problem(width, height, block)
        if problem or not 0 < count <= _MAX_STRINGS:
            raise DecodeError(f"header claims {problem or f'{count} strings'}", DAMAGED)
        return cls(body[len(MAGIC) : _HEAD_BYTES], level, width, height, numbers.strings(count))


def sealed(head: bytes, strings: tuple[bytes, ...]) -> bytes:
    """Return header, strings and the CRC-32 of both."""
    data = head + b"".join(strings)
    return data + zlib.crc32(data).to_bytes(4)


def unsealed(data: bytes, magic: bytes, head_bytes: int) -> bytes:
    """Return ``data`` without its CRC-32, if that is right.

    Raises
    ------
    DecodeError
        If it does not begin with ``magic``, is shorter than its header, or damaged.
    """
    if not data.startswith(magic) or len(data) < head_bytes + 4:
        raise DecodeError(f"not a file of this kind of codec: it begins {data[:4]!r}", DAMAGED)
    body = data[:-4]
    if zlib.crc32(body) != int.from_bytes(data[-4:]):
        raise DecodeError(f"wrong checksum in a file of {len(data)} bytes", DAMAGED)
    return body


def leb128(number: int) -> bytes:
    """Return ``number`` in groups of 7 bits, the lowest first."""
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*data, number])


class Numbers:
    """Reads LEB128 numbers of at most 35 bits, and the strings that fill the rest."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data = data
        self.position = position

    def take(self) -> int:
        """Return the next number.

        Raises
        ------
        DecodeError
            If the data breaks off.
        """
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

    def strings(self, count: int) -> tuple[bytes, ...]:
        """Return ``count`` strings, whose lengths come first.

        Raises
        ------
        DecodeError
            If they do not fill the rest exactly.
        """
        lengths = [self.take() for _ in range(count)]
        starts = list(itertools.accumulate(lengths, initial=self.position))
        if starts[-1] != len(self.data):
            raise DecodeError(f"strings of {lengths[:8]} bytes do not fill the file", DAMAGED)
        return tuple(self.data[starts[i] : starts[i + 1]] for i in range(count))


def leaves(tree: Any) -> Iterator[bytes]:  # noqa: ANN401 - lists of lists of bytes
    """Yield the strings of nested lists, in order."""
    if isinstance(tree, bytes | bytearray):
        yield bytes(tree)
    else:
        for branch in tree:
            yield from leaves(branch)


def filled(tree: Any, strings: Iterator[bytes]) -> Any:  # noqa: ANN401 - the same with others
    """Return nested lists of the same form with these strings; empty ones where they run out."""
    if isinstance(tree, bytes | bytearray):
        return next(strings, b"")
    return type(tree)(filled(branch, strings) for branch in tree)


def grown(shape: Any, rows: int, columns: int) -> Any:  # noqa: ANN401 - numbers, nested
    """Return shapes of a picture that is ``rows`` by ``columns`` as large."""
    if isinstance(shape, Mapping):
        return {key: grown(value, rows, columns) for key, value in shape.items()}
    if all(isinstance(number, int) for number in shape):
        *channels, height, width = shape
        return (*channels, height * rows, width * columns)
    return type(shape)(grown(value, rows, columns) for value in shape)


def equal(one: Any, other: Any) -> bool:  # noqa: ANN401 - shapes
    """Return whether shapes are equal, whatever kind of sequence holds their numbers."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, Sequence) and isinstance(other, Sequence):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)
