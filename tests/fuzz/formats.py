"""Files as lists of parts: taken apart, and put together again with lengths and checksums right."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Parts = list[bytes]


@dataclass(frozen=True, slots=True)
class Format:
    """How to cut a file into parts, and how to join parts so that a decoder believes them."""

    split: Callable[[bytes], Parts]
    join: Callable[[Sequence[bytes]], bytes]


def _chunks(data: bytes, start: int, head: str, extra: int, order: str) -> Parts:
    """Return the file's head, then kind and body of each length-prefixed chunk."""
    parts, size = [data[:start]], struct.calcsize(order + head)
    while start + size <= len(data):
        fields = struct.unpack_from(order + head, data, start)
        length, kind = fields if isinstance(fields[1], bytes) else fields[::-1]
        parts.append(kind + data[start + size : start + size + length])
        start += size + length + extra + (length & 1 if order == "<" else 0)
    return parts


def _join_png(parts: Sequence[bytes]) -> bytes:
    chunks = (
        struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part))
        for part in (p.ljust(4, b"x") for p in parts[1:])
    )
    return parts[0] + b"".join(chunks)


def _join_riff(parts: Sequence[bytes]) -> bytes:
    chunks = (
        part[:4] + struct.pack("<I", len(part) - 4) + part[4:] + b"\0" * (len(part) & 1)
        for part in (p.ljust(4, b"x") for p in parts[1:])
    )
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _boxes(data: bytes) -> Parts:
    parts, start = [b""], 0
    while start + 8 <= len(data):
        length = int.from_bytes(data[start : start + 4]) or len(data) - start
        if length < 8:
            break
        parts.append(data[start + 4 : start + length])
        start += length
    return parts


def _join_boxes(parts: Sequence[bytes]) -> bytes:
    return b"".join(struct.pack(">I", len(part) + 4) + part for part in parts[1:])


def _segments(data: bytes) -> Parts:
    """Return a JPEG's marker segments, entropy-coded data with its scan."""
    parts, start = [data[:2]], 2
    while start + 4 <= len(data) and data[start] == 0xFF:
        end = start + 2 + int.from_bytes(data[start + 2 : start + 4])
        if data[start + 1] == 0xDA:
            end = len(data) - 2
        parts.append(data[start + 1 : start + 2] + data[start + 4 : end])
        start = end
    return [*parts, data[start:]]


def _join_jpeg(parts: Sequence[bytes]) -> bytes:
    out = [parts[0]]
    for part in parts[1:-1]:
        marker, body = part[:1] or b"\xfe", part[1:]
        length = 2 + (body[0] * 2 + 4 if marker == b"\xda" and body else len(body))
        out.append(b"\xff" + marker + struct.pack(">H", length & 0xFFFF) + body)
    return b"".join([*out, parts[-1]])


def _sealed(head: int, order: str) -> Format:
    """Return the format of a file that ends in the CRC-32 of all before."""

    def split(data: bytes) -> Parts:
        return [data[:head], data[head : head + 12], data[head + 12 : -4]]

    def join(parts: Sequence[bytes]) -> bytes:
        body = b"".join(parts)
        return body + struct.pack(order + "I", zlib.crc32(body))

    return Format(split, join)


def _bpg_parts(data: bytes) -> Parts:
    from bench.codecs.bpg import container, hevc

    file = container.parse(data)
    nals = [nal for nal, _ in hevc.split_nals(file.nal_bytes)]
    return [data[: file.part_sizes["header"]], file.hevc_header, *nals]


def _join_bpg(parts: Sequence[bytes]) -> bytes:
    """Return the parts with the length left open, so that any change of them is believed."""
    from bench.codecs.bpg.bits import write_ue7

    head = bytearray(parts[0])
    sides = head[6:]
    kept = bytearray()
    for _ in range(2):  # width and height stay, the length becomes 0
        while sides:
            byte = sides.pop(0)
            kept.append(byte)
            if byte < 128:
                break
    nals = b"\0\0\1".join(parts[2:])
    return bytes(head[:6] + kept) + b"\0" + write_ue7(len(parts[1])) + parts[1] + nals


def _slices(data: bytes) -> Parts:
    """Return a file without a structure that is known here, in a head and pieces."""
    return [data[:16], *(data[i : i + 64] for i in range(16, len(data), 64))]


PLAIN = Format(_slices, b"".join)
FORMATS = {
    "png": Format(lambda d: _chunks(d, 8, "I4s", 4, ">"), _join_png),
    "webp": Format(lambda d: _chunks(d, 12, "4sI", 0, "<"), _join_riff),
    "avif": Format(_boxes, _join_boxes),
    "heic": Format(_boxes, _join_boxes),
    "jpeg2000": Format(_boxes, _join_boxes),
    "jpeg": Format(_segments, _join_jpeg),
    "jpegli": Format(_segments, _join_jpeg),
    "agvae": _sealed(8, "<"),
    "zoo": _sealed(12, ">"),
    "bpg": Format(_bpg_parts, _join_bpg),
}
