"""Bits and bytes of BPG and HEVC headers: MSB first, ue7, Exp-Golomb, emulation prevention.

``ue7`` is BPG's own integer (bpg_spec 0.9.5); ``ue(v)`` and emulation prevention are sections 9.2
and 7.4.2 of ITU-T H.265.
"""

from __future__ import annotations

import re

from bench.errors import DecodeError

DAMAGED = "The file is damaged or truncated."

_MAX_UE_ZEROS = 32
_ESCAPABLE = re.compile(rb"\x00\x00(?=[\x00-\x03])")


def write_ue7(value: int) -> bytes:
    """Return ``value`` in the shortest base-128 form, most significant group first.

    >>> write_ue7(542).hex()
    '841e'
    """
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F | 0x80)
    return bytes(reversed(groups))


class ByteReader:
    """Reads the byte-aligned part of a file; each read names what it reads, for the error.

    Attributes
    ----------
    position
        Offset of the next unread byte.
    """

    __slots__ = ("_data", "position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    @property
    def remaining(self) -> int:
        """The count of unread bytes."""
        return len(self._data) - self.position

    def take(self, size_bytes: int, what: str) -> bytes:
        """Return the next ``size_bytes`` bytes.

        Raises
        ------
        DecodeError
            If fewer are left.
        """
        if size_bytes > self.remaining:
            raise DecodeError(
                f"BPG file ends inside {what}: wanted {size_bytes} bytes, found {self.remaining}",
                DAMAGED,
            )
        start = self.position
        self.position += size_bytes
        return self._data[start : self.position]

    def ue7(self, what: str, bits: int = 32) -> int:
        """Return the next base-128 integer of at most ``bits`` bits.

        Raises
        ------
        DecodeError
            If it is longer than its shortest form, too large, or cut off.
        """
        value = 0
        for count in range(-(-bits // 7)):
            byte = self.take(1, what)[0]
            if count == 0 and byte == 0x80:
                raise DecodeError(f"BPG {what} begins with a padding byte 0x80", DAMAGED)
            value = value << 7 | byte & 0x7F
            if not byte & 0x80:
                break
        else:
            value = 1 << bits  # still continued after the last byte that could hold such a value
        if value >> bits:
            raise DecodeError(f"BPG {what} does not fit {bits} bits", DAMAGED)
        return value


class BitReader:
    """Reads a bit string from the most significant bit of its first byte on."""

    __slots__ = ("_bits", "_left")

    def __init__(self, data: bytes) -> None:
        self._bits = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    @property
    def left(self) -> int:
        """The count of unread bits."""
        return self._left

    def u(self, count: int) -> int:
        """Return the next ``count`` bits as an unsigned integer.

        Raises
        ------
        DecodeError
            If fewer are left.
        """
        if count > self._left:
            raise DecodeError(
                f"HEVC header ends early: wanted {count} bits, found {self._left}", DAMAGED
            )
        self._left -= count
        return self._bits >> self._left & ((1 << count) - 1)

    def flag(self) -> bool:
        """Return the next bit."""
        return self.u(1) == 1

    def ue(self) -> int:
        """Return the next unsigned Exp-Golomb code.

        Raises
        ------
        DecodeError
            If it is cut off, or longer than any 32-bit value's.
        """
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > _MAX_UE_ZEROS:
                raise DecodeError("HEVC header holds an Exp-Golomb code of over 32 bits", DAMAGED)
        return (1 << zeros) - 1 + self.u(zeros)


class BitWriter:
    """Writes a bit string, most significant bit first."""

    __slots__ = ("_bits", "_count")

    def __init__(self) -> None:
        self._bits = 0
        self._count = 0

    def u(self, count: int, value: int) -> None:
        """Append ``value`` as ``count`` bits."""
        assert 0 <= value < 1 << count, f"{value} does not fit {count} bits"
        self._bits = self._bits << count | value
        self._count += count

    def flag(self, value: bool) -> None:
        """Append one bit."""
        self.u(1, int(value))

    def ue(self, value: int) -> None:
        """Append an unsigned Exp-Golomb code."""
        length = (value + 1).bit_length()
        self.u(2 * length - 1, value + 1)

    def padded(self) -> bytes:
        """Return the bits, filled up with zeros to whole bytes."""
        fill = -self._count % 8
        return (self._bits << fill).to_bytes((self._count + fill) // 8, "big")

    def rbsp(self) -> bytes:
        """Return the bits with HEVC's stop bit, filled up with zeros to whole bytes."""
        fill = -(self._count + 1) % 8
        return ((self._bits << 1 | 1) << fill).to_bytes((self._count + 1 + fill) // 8, "big")


def escape(rbsp: bytes) -> bytes:
    """Return a NAL payload with emulation prevention bytes: 00 00 0x becomes 00 00 03 0x.

    A payload that ends in 00 00 cannot occur: it ends in its stop bit.
    """
    return _ESCAPABLE.sub(b"\x00\x00\x03", rbsp)


def unescape(payload: bytes) -> bytes:
    """Return a NAL payload without its emulation prevention bytes."""
    return payload.replace(b"\x00\x00\x03", b"\x00\x00")
