"""What AV1 data inside an AVIF file say of their size, which libavif does not hold against claims.

Where the ``ispe`` property of an item is not the size of its AV1 frame, libavif scales the frame:
a file of 359 bytes becomes 169 megapixels. Sections are of the AV1 specification (5.5) and of
ISO/IEC 14496-12 (8.11.3).
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.codecs._pillow import DAMAGED
from bench.errors import DecodeError

_SEQUENCE_HEADER = 1
_HEADER_BYTES = 512
_LONGEST_LOCATION_BYTES = 1 << 16


class _Bits:
    """Bits of a header, most significant first; beyond the end they are an error."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data)
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise DecodeError("AVIF file holds a header that breaks off", DAMAGED)
        self._left -= count
        return self._value >> self._left & (1 << count) - 1


def items(location: bytes, whole: bytes, inner: bytes) -> Iterator[bytes]:
    """Yield the first bytes of each item.

    Parameters
    ----------
    location
        Content of the ``iloc`` box.
    whole
        The file, which most offsets count from.
    inner
        Content of the ``idat`` box, which the others count from.

    Raises
    ------
    DecodeError
        If the box breaks off.
    """
    if len(location) > _LONGEST_LOCATION_BYTES:
        raise DecodeError(f"AVIF file locates its items in {len(location)} bytes", DAMAGED)
    bits = _Bits(location)
    version = bits.take(8)
    bits.take(24)
    offset_bits, length_bits, base_bits, index_bits = (8 * bits.take(4) for _ in range(4))
    for _ in range(bits.take(16 if version < 2 else 32)):
        bits.take(16 if version < 2 else 32)
        method = bits.take(16) & 15 if version else 0
        bits.take(16)
        base = bits.take(base_bits)
        source = inner if method == 1 else whole
        data = b""
        for _ in range(bits.take(16)):
            bits.take(index_bits if version else 0)
            start = base + bits.take(offset_bits)
            length = bits.take(length_bits) or len(source)
            data += source[start : start + min(length, _HEADER_BYTES - len(data))]
        yield data


def frame_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height by the sequence header among an item's OBUs, if it has one.

    Raises
    ------
    DecodeError
        If the header breaks off.
    """
    position = 0
    while position < len(data):
        head = data[position]
        position += 2 if head & 4 else 1
        if head & 0x81 or not head & 2:  # no OBU, or one without a length
            return None
        length = shift = 0
        while position < len(data):
            length |= (data[position] & 127) << shift
            shift += 7
            position += 1
            if data[position - 1] < 128 or shift > 56:
                break
        if head >> 3 & 15 == _SEQUENCE_HEADER:
            return _sequence_size(_Bits(data[position : position + length]))
        position += length
    return None


def _sequence_size(bits: _Bits) -> tuple[int, int]:
    bits.take(4)  # profile, still picture
    if bits.take(1):  # the reduced header of a still picture
        bits.take(5)
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    return bits.take(width_bits) + 1, bits.take(height_bits) + 1


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits.take(1):  # timing
        bits.take(64)
        if bits.take(1):
            zeros = 0
            while not bits.take(1):
                zeros += 1
            bits.take(zeros)
        if bits.take(1):  # decoder model
            delay_bits = bits.take(5) + 1
            bits.take(42)
    delays = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:
            bits.take(1)
        if delay_bits and bits.take(1):
            bits.take(2 * delay_bits + 1)
        if delays and bits.take(1):
            bits.take(4)
