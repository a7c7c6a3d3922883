"""RGB to YCbCr and back as classical codecs do it, for measuring what the conversion alone costs.

Matrices: ITU-R BT.601-7 and BT.709-6. Quantisation to integers, full and video range:
ITU-T H.273 (8.3, equations for ``VideoFullRangeFlag``). Everything here rounds to nearest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.image import Image
from bench.image.opencv import cv2

Matrix = Literal["bt601", "bt709"]
_WEIGHTS: dict[str, tuple[float, float]] = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}

Plane = NDArray[np.float64]

_STRIP_PIXELS = 1 << 15
"""As many pixels are converted at a time: the planes of a whole picture take 120 bytes a pixel."""

_MARGIN_ROWS = 2
"""Above and below a strip: chroma is interpolated between rows."""


def round_trip(
    image: Image,
    *,
    matrix: Matrix = "bt601",
    chroma: str = "4:4:4",
    depth: int = 8,
    limited: bool = False,
    chroma_gamma: float = 1.0,
) -> Image:
    """Return ``image`` after RGB -> YCbCr -> RGB with rounding to ``depth`` bits between.

    Parameters
    ----------
    image
        uint8 RGB (H, W, 3).
    matrix
        Luma weights.
    chroma
        ``4:4:4``, or ``4:2:0``: 2x2 mean down, bilinear up (9:3:3:1), centred as in JPEG.
    depth
        Bits per YCbCr sample.
    limited
        Video range (at 8 bits luma 16..235, chroma 16..240) instead of full range.
    chroma_gamma
        Exponent under which RGB is averaged for 4:2:0 chroma; libwebp takes 0.8.

    Returns
    -------
    Image
        uint8 RGB (H, W, 3).
    """
    height, width = image.shape[:2]
    rows = max(2, _STRIP_PIXELS // width // 2 * 2)
    scales = _scales(depth, limited=limited)
    result = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        first = max(0, top - _MARGIN_ROWS)
        part = image[first : top + rows + _MARGIN_ROWS]
        part = _round_trip(part, matrix, chroma, scales, chroma_gamma)
        result[top : top + rows] = part[top - first : top - first + rows]
    return result


def _round_trip(
    image: Image, matrix: Matrix, chroma: str, scales: _Scales, chroma_gamma: float
) -> Image:
    y, cb, cr = _quantise(image, matrix, chroma, scales, chroma_gamma)
    if chroma == "4:2:0":
        cb, cr = _double(cb, y.shape), _double(cr, y.shape)
    for plane, zero, scale in (
        (y, scales.black, scales.luma),
        (cb, scales.middle, scales.chroma),
        (cr, scales.middle, scales.chroma),
    ):
        np.subtract(plane, zero, out=plane)
        np.divide(plane, scale, out=plane)
    return _to_rgb(y, cb, cr, matrix)


@dataclass(frozen=True, slots=True)
class _Scales:
    """How samples in 0..255 become integers: factors, offsets, the largest integer."""

    luma: float
    chroma: float
    black: int
    middle: int
    top: int


def _scales(depth: int, *, limited: bool) -> _Scales:
    top, middle, step = (1 << depth) - 1, 1 << (depth - 1), 1 << (depth - 8)
    if limited:
        return _Scales(219 / 255 * step, 224 / 255 * step, 16 * step, middle, top)
    return _Scales(top / 255, top / 255, 0, middle, top)


def _quantise(
    image: Image, matrix: Matrix, chroma: str, scales: _Scales, chroma_gamma: float
) -> tuple[Plane, Plane, Plane]:
    """Return whole-numbered Y, Cb, Cr; the latter two of half the size for 4:2:0."""
    red, green, blue = (image[..., channel].astype(np.float64) for channel in range(3))
    y = _luma(red, green, blue, matrix)
    if chroma == "4:2:0":
        if chroma_gamma == 1:
            small = [_halve(plane / 255) for plane in (red, green, blue)]
        else:
            linear = np.asarray(cv2.LUT(image, (np.arange(256) / 255) ** chroma_gamma), np.float64)
            small = [_halve(linear[..., k]) ** (1 / chroma_gamma) for k in range(3)]
        red, green, blue = (255 * plane for plane in small)
        cb, cr = _chroma(_luma(red, green, blue, matrix), red, blue, matrix)
    else:
        cb, cr = _chroma(y, red, blue, matrix)
    _to_integers(y, scales.luma, scales.black)
    for plane in (cb, cr):
        _to_integers(plane, scales.chroma, scales.middle)
        np.minimum(plane, scales.top, out=plane)  # 127.5 above the middle is rounded up
    return y, cb, cr


def _to_integers(plane: Plane, scale: float, zero: int) -> None:
    """Scale, move and round in place; the smallest sample becomes 0 or more."""
    plane *= scale
    plane += zero
    np.rint(plane, out=plane)


def _luma(red: Plane, green: Plane, blue: Plane, matrix: Matrix) -> Plane:
    """Return Y in 0..255, unrounded."""
    kr, kb = _WEIGHTS[matrix]
    y = kr * red
    y += (1 - kr - kb) * green
    y += kb * blue
    return y


def _chroma(y: Plane, red: Plane, blue: Plane, matrix: Matrix) -> tuple[Plane, Plane]:
    """Return Cb and Cr in -127.5..127.5, unrounded."""
    kr, kb = _WEIGHTS[matrix]
    cb, cr = blue - y, red - y
    cb /= 2 - 2 * kb
    cr /= 2 - 2 * kr
    return cb, cr


def _to_rgb(y: Plane, cb: Plane, cr: Plane, matrix: Matrix) -> Image:
    """Return the picture; ``cb`` and ``cr`` are written over."""
    kr, kb = _WEIGHTS[matrix]
    red, blue = cr, cb
    red *= 2 - 2 * kr
    red += y
    blue *= 2 - 2 * kb
    blue += y
    green = y - kr * red
    green -= kb * blue
    green /= 1 - kr - kb
    # cv2 rounds half to even, as rint does, and limits to 0..255
    planes = [cv2.addWeighted(p, 1, p, 0, 0, dtype=cv2.CV_8U) for p in (red, green, blue)]
    return np.asarray(cv2.merge(planes), np.uint8).reshape(*y.shape, 3)


def _halve(plane: Plane) -> Plane:
    """Return means of 2x2 cells, the last row and column repeated where odd."""
    height, width = plane.shape
    if height % 2 or width % 2:
        plane = np.pad(plane, ((0, height % 2), (0, width % 2)), mode="edge")
    total = plane[::2, ::2] + plane[::2, 1::2]  # in the order of ``mean``, in a sixth of its time
    total += plane[1::2, ::2]
    total += plane[1::2, 1::2]
    total /= 4
    return total


def _double(plane: Plane, shape: tuple[int, ...]) -> Plane:
    """Return ``plane`` bilinearly up-sampled by two and cropped to ``shape``."""
    size = (plane.shape[1] * 2, plane.shape[0] * 2)
    large = cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(large[: shape[0], : shape[1]], np.float64)
