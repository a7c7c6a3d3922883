"""Mutations of files: blind ones, ones that know the structure, and headers that lie."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from formats import Format

EDGES = (0, 1, 2, 7, 8, 127, 128, 255, 256, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 178_956_970)
Blind = Callable[[random.Random, bytearray, bytes], None]


def _flip(rng: random.Random, data: bytearray, _: bytes) -> None:
    for _i in range(rng.choice((1, 1, 1, 2, 8))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _byte(rng: random.Random, data: bytearray, _: bytes) -> None:
    data[rng.randrange(len(data))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))


def _number(rng: random.Random, data: bytearray, _: bytes) -> None:
    """Write an edge value as a 16- or 32-bit number of either order, or as a varint."""
    value, place = rng.choice(EDGES), rng.randrange(len(data))
    form = rng.choice((">I", "<I", ">H", "<H", ""))
    if form:
        packed = struct.pack(form, value & (0xFFFFFFFF if form[1] == "I" else 0xFFFF))
    else:
        packed = bytes([value >> 21 & 127 | 128, value >> 14 & 127 | 128, value & 127])
    data[place : place + len(packed)] = packed


def _cut(rng: random.Random, data: bytearray, _: bytes) -> None:
    del data[rng.randrange(len(data)) :]


def _delete(rng: random.Random, data: bytearray, _: bytes) -> None:
    start = rng.randrange(len(data))
    del data[start : start + rng.choice((1, 2, 4, 16, 64))]


def _repeat(rng: random.Random, data: bytearray, _: bytes) -> None:
    start = rng.randrange(len(data))
    piece = data[start : start + rng.choice((1, 4, 16, 256))]
    data[start:start] = piece * rng.choice((1, 2, 64))


def _noise(rng: random.Random, data: bytearray, _: bytes) -> None:
    start = rng.randrange(len(data))
    data[start : start + 16] = rng.randbytes(16)


def _splice(rng: random.Random, data: bytearray, other: bytes) -> None:
    start, from_ = rng.randrange(len(data)), rng.randrange(len(other))
    data[start:] = other[from_:]


BLIND: tuple[Blind, ...] = (_flip, _flip, _byte, _number, _number, _cut, _delete, _repeat, _noise,
                            _splice)  # fmt: skip


def mutated(rng: random.Random, data: bytes, other: bytes, form: Format) -> tuple[bytes, bool]:
    """Return a damaged file, and whether its lengths and checksums were made right again.

    Parameters
    ----------
    rng
        Decides everything: the same state gives the same file.
    data, other
        Two good files of the same decoder.
    form
        How its files are taken apart.
    """
    if rng.random() < 0.4:
        whole = bytearray(data)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            if whole:
                rng.choice(BLIND)(rng, whole, other)
        return bytes(whole), False
    parts = form.split(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        _mutate_parts(rng, parts, form.split(other))
    return form.join(parts), True


def _mutate_parts(rng: random.Random, parts: list[bytes], others: list[bytes]) -> None:
    """Change one part inside, or drop, repeat, swap or exchange whole parts."""
    place = rng.randrange(len(parts))
    action = rng.random()
    if action < 0.7:
        part = bytearray(parts[place])
        if part:
            rng.choice(BLIND)(rng, part, rng.choice(others) or b"\0")
        parts[place] = bytes(part)
    elif action < 0.78 and len(parts) > 2:
        del parts[rng.randrange(1, len(parts))]
    elif action < 0.86:
        parts.insert(place, parts[place])
    elif action < 0.93:
        other = rng.randrange(len(parts))
        parts[place], parts[other] = parts[other], parts[place]
    else:
        parts[place] = rng.choice(others)
