"""The picture hash that a stream may carry (decoded picture hash SEI, D.3.19 of ITU-T H.265)."""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from bench.codecs.bpg import hevc
from bench.codecs.bpg.bits import DAMAGED, ByteReader, unescape
from bench.codecs.bpg.colour import Plane
from bench.errors import DecodeError

_SUFFIX_SEI = 40
_PICTURE_HASH = 132
_CRC_START = 0x1D0F
"""What 0xFFFF becomes once 16 zero bits follow it: H.265 appends those to the message."""


def _md5(plane: Plane) -> bytes:
    return hashlib.md5(plane.tobytes(), usedforsecurity=False).digest()


def _crc(plane: Plane) -> bytes:
    return binascii.crc_hqx(plane.tobytes(), _CRC_START).to_bytes(2)


def _checksum(plane: Plane) -> bytes:
    rows, columns = (np.arange(side) for side in plane.shape)
    mask = (rows & 255 ^ rows >> 8)[:, None] ^ (columns & 255 ^ columns >> 8)
    total = int(((plane & 255) ^ mask).sum())
    if plane.itemsize > 1:
        total += int(((plane >> 8) ^ mask).sum())
    return (total & 0xFFFFFFFF).to_bytes(4)


_KINDS: tuple[tuple[str, int, Callable[[Plane], bytes]], ...] = (
    ("MD5", 16, _md5),
    ("CRC", 2, _crc),
    ("checksum", 4, _checksum),
)


def hashes(nals: Sequence[bytes]) -> list[bytes]:
    """Return the payloads of all picture hashes among NAL units: a kind, then one hash a plane.

    Raises
    ------
    DecodeError
        If an SEI message of a suffix is cut off.
    """
    suffixes = (nal for nal in nals if hevc.nal_type(nal) == _SUFFIX_SEI)
    return [
        payload
        for nal in suffixes
        for kind, payload in _messages(unescape(nal[2:]))
        if kind == _PICTURE_HASH
    ]


def _messages(rbsp: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and payload of each SEI message (7.3.5); the last byte is the stop bit's."""
    reader = ByteReader(rbsp)
    while reader.remaining > 1:
        kind, size_bytes = _number(reader), _number(reader)
        yield kind, reader.take(size_bytes, "an SEI message")


def _number(reader: ByteReader) -> int:
    total = 0
    while (byte := reader.take(1, "an SEI message")[0]) == 255:
        total += 255
    return total + byte


def differing_planes(payload: bytes, planes: Sequence[Plane]) -> str:
    """Return ``MD5 of plane 0, 2``: the planes that are not what a picture hash says; or ``""``.

    Parameters
    ----------
    payload
        One element of ``hashes``.
    planes
        Decoded planes, padding included.

    Raises
    ------
    DecodeError
        If the payload is of no known kind, or not of the length of its kind.
    """
    name, size_bytes, function = (
        _KINDS[payload[0]] if payload and payload[0] < len(_KINDS) else ("", 0, _md5)
    )
    if not size_bytes or len(payload) != 1 + size_bytes * len(planes):
        raise DecodeError(f"BPG file holds a picture hash of {len(payload)} bytes", DAMAGED)
    wrong = [
        str(k)
        for k, plane in enumerate(planes)
        if function(plane) != payload[1 + size_bytes * k : 1 + size_bytes * (k + 1)]
    ]
    return f"{name} of plane {', '.join(wrong)}" if wrong else ""
