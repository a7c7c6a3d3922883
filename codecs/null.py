"""Raw pixels behind an eight-byte header: measures the harness, not a codec."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from bench.codec import Codec, Setting
from bench.errors import DecodeError
from bench.image import Image, size_problem


class Null(Codec):
    """Height and width as big-endian 32-bit numbers, then the RGB bytes row by row."""

    name = "null"
    title = "raw pixels; measures the harness"
    display = "raw pixels"
    suffix = ".rgb"
    in_default_run = False

    def ladder(self) -> Sequence[Setting]:
        """Return the only setting there is."""
        return [Setting()]

    def version(self) -> str:
        """Return the version of this format."""
        return "raw 1"

    def encode(self, image: Image, setting: Setting) -> bytes:  # noqa: ARG002
        """Return 8 + 3 H W bytes."""
        return struct.pack(">II", *image.shape[:2]) + image.tobytes()

    def ledger(self, data: bytes) -> dict[str, int]:
        """Return the two sizes and the pixels."""
        _check(data)
        return {"header": 8, "payload": len(data) - 8}

    def decode(self, data: bytes) -> Image:
        """Return the image if the length fits the header exactly."""
        height, width = _check(data)
        return np.frombuffer(data[8:], np.uint8).reshape(height, width, 3).copy()


def _check(data: bytes) -> tuple[int, int]:
    """Return height and width by the header.

    Raises
    ------
    DecodeError
        If the file is not of exactly that size, or is too large.
    """
    height, width = struct.unpack(">II", data[:8]) if len(data) >= 8 else (0, 0)
    if len(data) != 8 + 3 * height * width or not data[8:]:
        raise DecodeError(
            f"not a raw image: header says {width}x{height}, found {len(data)} bytes",
            "The file is truncated or of another codec.",
        )
    if problem := size_problem(width, height):
        raise DecodeError(f"raw image claims {problem}")
    return height, width
