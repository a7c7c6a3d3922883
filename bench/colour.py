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
from bench.image.numba_jit import compiled

Matrix = Literal["bt601", "bt709"]
_WEIGHTS: dict[str, tuple[float, float]] = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}

Plane = NDArray[np.float64]

_STRIP_PIXELS = 1 << 17
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
    image = np.ascontiguousarray(image)
    y, cb, cr = _quantise(image, matrix, chroma, scales, chroma_gamma)
    kr, kb = _WEIGHTS[matrix]
    found = np.empty_like(image)
    planes = y.reshape(-1), cb.reshape(-1), cr.reshape(-1), found.reshape(-1)
    row, blues, reds = np.empty((3, 2 * cb.shape[1]))
    rows = row[: cb.shape[1]], blues, reds
    sides = len(y), y.shape[1], len(cb), cb.shape[1]
    moves = float(scales.black), float(scales.middle), scales.luma, scales.chroma
    _to_rgb(*planes, *rows, *sides, *moves, kr, kb, 1 - kr - kb, 2 - 2 * kr, 2 - 2 * kb)
    return found


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
    height, width, _ = image.shape
    flat, y = image.reshape(-1), np.empty((height, width))
    kr, kb = _WEIGHTS[matrix]
    weights = kr, 1 - kr - kb, kb
    _luma_integers(flat, y.reshape(-1), *weights, scales.luma, float(scales.black))
    if chroma == "4:2:0":
        colours = np.empty((3, (height + 1) // 2, (width + 1) // 2))
        curve = (np.arange(256) / 255) ** chroma_gamma
        _halve(flat, curve, colours.reshape(-1), height, width)
        if chroma_gamma != 1:
            colours **= 1 / chroma_gamma
        colours *= 255
    else:
        colours = np.moveaxis(image, 2, 0).astype(np.float64, order="C")
    planes = colours.reshape(-1)
    numbers = scales.chroma, float(scales.middle), float(scales.top), 2 - 2 * kr, 2 - 2 * kb
    _chroma_integers(planes, *weights, *numbers)
    return y, colours[0], colours[1]


@compiled
def _luma_integers(
    image: Image, y: Plane, red: float, green: float, blue: float, scale: float, zero: float
) -> None:
    """Fill ``y``, flat, with the luma of a flat picture: scaled, moved and rounded."""
    for i in range(y.size):
        total = red * image[3 * i] + green * image[3 * i + 1] + blue * image[3 * i + 2]
        y[i] = np.rint(total * scale + zero)


@compiled
def _halve(image: Image, curve: Plane, small: Plane, height: int, width: int) -> None:
    """Fill three planes with means of 2x2 cells, the last row and column repeated where odd.

    Parameters
    ----------
    image
        Flat.
    curve
        What is averaged in place of each of the 256 samples.
    small
        The planes, flat, one behind the other.
    height, width
        Of the picture.
    """
    rows, columns = (height + 1) // 2, (width + 1) // 2
    for r in range(rows):
        above, below = 6 * r * width, 3 * width * min(2 * r + 1, height - 1)
        for c in range(columns):
            left, right = 6 * c, 3 * min(2 * c + 1, width - 1)
            for k in range(3):
                total = curve[image[above + left + k]] + curve[image[above + right + k]]
                total += curve[image[below + left + k]]
                total += curve[image[below + right + k]]
                small[(k * rows + r) * columns + c] = total / 4


@compiled
def _chroma_integers(  # noqa: PLR0913, PLR0917 - loops own no memory
    planes: Plane,
    red: float,
    green: float,
    blue: float,
    scale: float,
    zero: float,
    top: float,
    more_red: float,
    more_blue: float,
) -> None:
    """Replace planes of R, G and B in 0..255, flat, by Cb and Cr: scaled, moved and rounded.

    127.5 above the middle would be rounded up; the largest integer is ``top``.
    """
    count = planes.size // 3
    for i in range(count):
        r, b = planes[i], planes[2 * count + i]
        y = red * r + green * planes[count + i] + blue * b
        planes[i] = min(np.rint((b - y) / more_blue * scale + zero), top)
        planes[count + i] = min(np.rint((r - y) / more_red * scale + zero), top)


@compiled
def _double_row(plane: Plane, r: int, height: int, row: Plane, out: Plane) -> None:
    """Fill ``out`` with row ``r`` of a plane of twice the size, bilinear, edges repeated.

    Parameters
    ----------
    plane
        Flat, of this height.
    row
        Room for a row of it.
    """
    width = row.size
    near = width * (r // 2)
    far = width * min(max(r // 2 + 2 * (r % 2) - 1, 0), height - 1)
    for c in range(width):
        row[c] = plane[near + c] * 0.75 + plane[far + c] * 0.25
    out[0], out[2 * width - 1] = row[0], row[width - 1]
    for c in range(width - 1):
        out[2 * c + 1] = row[c] * 0.75 + row[c + 1] * 0.25
        out[2 * c + 2] = row[c] * 0.25 + row[c + 1] * 0.75


@compiled
def _to_rgb(  # noqa: PLR0913, PLR0917 - loops own no memory
    y: Plane,
    cb: Plane,
    cr: Plane,
    image: Image,
    row: Plane,
    blues: Plane,
    reds: Plane,
    height: int,
    width: int,
    chroma_height: int,
    chroma_width: int,
    black: float,
    middle: float,
    luma: float,
    chroma: float,
    kr: float,
    kb: float,
    kg: float,
    more_red: float,
    more_blue: float,
) -> None:
    """Fill a flat picture from flat planes of integers.

    ``row`` has room for a row of chroma, ``blues`` and ``reds`` each for one of twice its width.
    """
    for r in range(height):
        if chroma_height < height or chroma_width < width:
            _double_row(cb, r, chroma_height, row, blues)
            _double_row(cr, r, chroma_height, row, reds)
        else:
            for c in range(width):
                blues[c], reds[c] = cb[r * width + c], cr[r * width + c]
        for c in range(width):
            i = r * width + c
            light = (y[i] - black) / luma
            red = (reds[c] - middle) / chroma * more_red + light
            blue = (blues[c] - middle) / chroma * more_blue + light
            green = (light - kr * red - kb * blue) / kg
            image[3 * i] = np.uint8(min(max(np.rint(red), 0.0), 255.0))
            image[3 * i + 1] = np.uint8(min(max(np.rint(green), 0.0), 255.0))
            image[3 * i + 2] = np.uint8(min(max(np.rint(blue), 0.0), 255.0))
