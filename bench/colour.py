"""RGB to YCbCr and back as classical codecs do it, for measuring what the conversion alone costs.

Round, never truncate. Matrices: ITU-R BT.601-7 and BT.709-6.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.image import Image

Matrix = Literal["bt601", "bt709"]
_WEIGHTS: dict[str, tuple[float, float]] = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}

Plane = NDArray[np.float64]


def round_trip(
    image: Image,
    *,
    matrix: Matrix = "bt601",
    chroma: str = "4:4:4",
    depth: int = 8,
    limited: bool = False,
) -> Image:
    """Return ``image`` after RGB -> YCbCr -> RGB with rounding to ``depth`` bits between.

    Parameters
    ----------
    image
        uint8 RGB (H, W, 3).
    matrix
        Luma weights.
    chroma
        ``4:4:4`` or ``4:2:0`` (2x2 mean down, bilinear up, centred as in JPEG).
    depth
        Bits per YCbCr sample.
    limited
        Video range (16..235, 16..240) instead of full range.
    """
    luma, blue, red = _to_ycbcr(image.astype(np.float64), matrix)
    top = float((1 << depth) - 1)
    luma_scale, chroma_scale, offset = (
        (219 / 255 * (top + 1) / 256 * 255, 224 / 255 * (top + 1) / 256 * 255, 16 * (top + 1) / 256)
        if limited
        else (top, top, 0.0)
    )
    half = float(1 << (depth - 1))
    y = np.clip(np.rint(luma / 255 * luma_scale + offset), 0, top)
    planes = []
    for plane in (blue, red):
        small = _halve(plane) if chroma == "4:2:0" else plane
        stored = np.clip(np.rint(small / 255 * chroma_scale + half), 0, top) - half
        planes.append(_double(stored, y.shape) if chroma == "4:2:0" else stored)
    return _to_rgb(
        (y - offset) / luma_scale * 255,
        planes[0] / chroma_scale * 255,
        planes[1] / chroma_scale * 255,
        matrix,
    )


def _to_ycbcr(rgb: NDArray[np.float64], matrix: Matrix) -> tuple[Plane, Plane, Plane]:
    kr, kb = _WEIGHTS[matrix]
    y = kr * rgb[..., 0] + (1 - kr - kb) * rgb[..., 1] + kb * rgb[..., 2]
    return y, (rgb[..., 2] - y) / (2 - 2 * kb), (rgb[..., 0] - y) / (2 - 2 * kr)


def _to_rgb(y: Plane, cb: Plane, cr: Plane, matrix: Matrix) -> Image:
    kr, kb = _WEIGHTS[matrix]
    red = y + (2 - 2 * kr) * cr
    blue = y + (2 - 2 * kb) * cb
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    return np.clip(np.rint(np.stack([red, green, blue], -1)), 0, 255).astype(np.uint8)


def _halve(plane: Plane) -> Plane:
    """Return means of 2x2 cells, the last row and column repeated where odd."""
    height, width = plane.shape
    even = np.pad(plane, ((0, height % 2), (0, width % 2)), mode="edge")
    cells = even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2)
    return np.asarray(cells.mean(axis=(1, 3)), np.float64)


def _double(plane: Plane, shape: tuple[int, ...]) -> Plane:
    """Return ``plane`` bilinearly up-sampled by two and cropped to ``shape``."""
    size = (plane.shape[1] * 2, plane.shape[0] * 2)
    large = cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(large[: shape[0], : shape[1]], np.float64)
