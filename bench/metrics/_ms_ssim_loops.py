"""The loops of MS-SSIM that numba compiles: windows, and what is made of them, in one pass.

Pictures are rows of samples, R G B R G B ..., uint8 at the finest scale. They are filtered across
into a buffer and from there down, in tiles of so few columns that the rows under a window stay in
the first-level cache; three rows of windows are worked out together, since they share most of what
they read. Indices are unsigned: numba then does not look for negative ones, and the loops over
columns become vector instructions. What they read of the pictures and of the reference's maps is
asked for ahead: a third of the time was waiting for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.image.numba_jit import compiled_fused, prefetch

Samples = NDArray[np.uint8] | NDArray[np.float32]
FloatMap = NDArray[np.float32]
DoubleMap = NDArray[np.float64]
Index = Any  # a uint64
Number = Any  # a float32 or float64

_GAUSSIAN = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
_D0, _D1, _D2, _D3, _D4, _D5 = _GAUSSIAN[:6] / _GAUSSIAN.sum()  # the other half is the same
_S0, _S1, _S2, _S3, _S4, _S5 = (np.float32(tap) for tap in (_D0, _D1, _D2, _D3, _D4, _D5))
_C1, _C2 = np.float32((0.01 * 255) ** 2), (0.03 * 255) ** 2
_HALF, _QUARTER = np.float32(0.5), np.float32(0.25)
# Variances do not depend on a constant offset; squares of centred values round four times finer.
_OFFSET, _TWICE_OFFSET = np.float32(128), np.float32(256)

_ROWS = 66  # of windows, for which the buffer is filled at a time
_TILE = 192  # columns of samples
_ROWS_AHEAD = 2  # of a row of the pictures that is read, of which the next ones are asked for
_SPARE = 30  # samples that a row has more than windows: 10 pixels
_MAP = (_ROWS + 10) * _TILE  # of the maps in the buffer
_ROW = _TILE + 32  # of the maps of a row: each begins with a line of the cache

_1, _2, _3, _4, _5, _6, _7, _8, _9, _10 = (np.uint64(k) for k in range(1, 11))
_LINE_BYTES = np.uint64(64)  # of the cache
_DOWN = np.uint64(_TILE)  # from a sample in the buffer to the one below
_NEXT_MAP, _NEXT_ROW = np.uint64(_MAP), np.uint64(_ROW)


@compiled_fused
def _window(values: FloatMap, i: Index, step: Index) -> Number:
    """Return the weighted mean of the 11 values from ``i`` on, ``step`` apart."""
    return (
        _S0 * (values[i] + values[i + _10 * step])
        + _S1 * (values[i + step] + values[i + _9 * step])
        + _S2 * (values[i + _2 * step] + values[i + _8 * step])
        + _S3 * (values[i + _3 * step] + values[i + _7 * step])
        + _S4 * (values[i + _4 * step] + values[i + _6 * step])
        + _S5 * values[i + _5 * step]
    )


@compiled_fused
def _window_double(values: DoubleMap, i: Index, step: Index) -> Number:
    """Return the same in float64."""
    return (
        _D0 * (values[i] + values[i + _10 * step])
        + _D1 * (values[i + step] + values[i + _9 * step])
        + _D2 * (values[i + _2 * step] + values[i + _8 * step])
        + _D3 * (values[i + _3 * step] + values[i + _7 * step])
        + _D4 * (values[i + _4 * step] + values[i + _6 * step])
        + _D5 * values[i + _5 * step]
    )


@compiled_fused
def _across(row: FloatMap, buffer: FloatMap, at: Index, count: Index) -> None:
    """Filter the maps of a row, which lie one behind the other, into the maps of the buffer."""
    for k in range(_3):
        for j in range(count):
            buffer[k * _NEXT_MAP + at + j] = _window(row, k * _NEXT_ROW + j, _3)


@compiled_fused
def _across_double(row: DoubleMap, buffer: DoubleMap, at: Index, count: Index) -> None:
    """Do the same in float64 for two maps."""
    for k in range(_2):
        for j in range(count):
            buffer[k * _NEXT_MAP + at + j] = _window_double(row, k * _NEXT_ROW + j, _3)


@compiled_fused
def _keep_last_rows(buffer: FloatMap | DoubleMap) -> None:
    """Move the rows that the next windows need as well to the front of each map."""
    for k in range(np.uint64(buffer.size) // _NEXT_MAP):
        for j in range(_10 * _DOWN):
            buffer[k * _NEXT_MAP + j] = buffer[k * _NEXT_MAP + np.uint64(_ROWS * _TILE) + j]


@compiled_fused
def _ask_for(values: Samples, first: Index, count: Index) -> None:
    """Let samples be fetched into the cache; nothing is read, also where there are none."""
    for i in range(first, first + count, _LINE_BYTES // np.uint64(values.itemsize)):
        prefetch(values, i)


@compiled_fused
def _moments(x: Samples, at: Index, row: DoubleMap, count: Index) -> None:
    """Write x and x^2, the offset removed."""
    for j in range(count):
        value = np.float64(x[at + j]) - _OFFSET
        row[j] = value
        row[_NEXT_ROW + j] = value * value


@compiled_fused
def _differences(x: Samples, y: Samples, at: Index, row: FloatMap, count: Index) -> None:
    """Write d = x - y, d^2 and d (x + y), the offset removed."""
    for j in range(count):
        a, b = np.float32(x[at + j]), np.float32(y[at + j])
        row[j] = a - b
        row[_NEXT_ROW + j] = (a - b) * (a - b)
        row[_2 * _NEXT_ROW + j] = (a - b) * (a + b - _TWICE_OFFSET)


@compiled_fused
def _deficit(buffer: FloatMap, i: Index, maps: FloatMap, k: Index, count: Index) -> Number:
    """Return 1 - cs under the window whose rows begin at ``i``."""
    mean = _window(buffer, i, _DOWN)
    variance = _window(buffer, i + _NEXT_MAP, _DOWN) - mean * mean  # of d
    product = _window(buffer, i + _2 * _NEXT_MAP, _DOWN)
    more = product - mean * (maps[k] - mean)  # var x - var y
    return variance / (maps[k + count] - more)


@compiled_fused
def _three_rows(buffer: FloatMap, i: Index, maps: FloatMap, k: Index, sums: FloatMap) -> None:
    """Add 1 - cs of three rows of windows to the sums of their columns."""
    count = np.uint64(sums.size)
    for j in range(count):
        sums[j] += (
            _deficit(buffer, i + j, maps, k + j, count)
            + _deficit(buffer, i + _DOWN + j, maps, k + _2 * count + j, count)
            + _deficit(buffer, i + _2 * _DOWN + j, maps, k + _4 * count + j, count)
        )


@compiled_fused
def _one_row(
    buffer: FloatMap, i: Index, maps: FloatMap, k: Index, sums: FloatMap, coarsest: int
) -> None:
    """Add 1 - cs of one row of windows, or 1 - ssim at the coarsest scale."""
    count = np.uint64(sums.size)
    for j in range(count):
        deficit = _deficit(buffer, i + j, maps, k + j, count)
        if coarsest:
            mean = _window(buffer, i + j, _DOWN)
            mean_x = maps[k + j] * _HALF + _OFFSET
            mean_y = mean_x - mean
            darker = mean * mean / (mean_x * mean_x + mean_y * mean_y + _C1)
            deficit += darker - deficit * darker
        sums[j] += deficit


@compiled_fused
def _add_up(columns: FloatMap, sums: DoubleMap) -> None:
    """Move the sums of columns to those of their channels."""
    for j in range(0, columns.size, 3):
        for channel in range(3):
            sums[channel] += columns[j + channel]
            columns[j + channel] = 0


def deficits(x: Samples, y: Samples, maps: FloatMap, width: int, *, coarsest: bool) -> DoubleMap:
    """Return the sum over all windows of 1 - cs (1 - ssim at the coarsest scale) by channel.

    Parameters
    ----------
    x, y
        The pictures, flat.
    maps
        Of ``reference``, flat.
    width
        Samples in a row.
    coarsest
        Which of the two.
    """
    row, buffer = _aligned(3 * _ROW), _aligned(3 * _MAP)
    columns, sums = np.zeros(_TILE, np.float32), np.zeros(3)
    _add_tiles(x, y, maps, row, buffer, columns, sums, width, coarsest)
    return sums


def reference(x: Samples, width: int) -> FloatMap:
    """Return 2 mean x and 2 var x + C2 under every window of a flat picture.

    They lie as they are read: by tiles, from top to bottom, a row of the one and of the other. The
    offset is removed from x. They are worked out in float64, since E[x^2] - E[x]^2 cancels on flat
    areas.
    """
    row, buffer = np.empty(2 * _ROW), np.empty(2 * _MAP)
    maps = _aligned(2 * (width - _SPARE) * (x.size // width - 10))
    _reference_tiles(x, maps, row, buffer, width)
    return maps


def _aligned(count: int) -> FloatMap:
    """Return an array that begins with a line of the cache: so do most vectors that are read."""
    whole = np.empty(count + 15, np.float32)
    start = -whole.ctypes.data // whole.itemsize % 16
    return whole[start : start + count]


def halved(values: Samples) -> FloatMap:
    """Return the 2x2 means of (H, W, 3); an odd side gets a zero row or column ahead of it."""
    height, width, channels = values.shape
    out = np.empty(((height + 1) // 2, (width + 1) // 2, channels), np.float32)
    sums = np.zeros(2 * channels * out.shape[1], np.float32)
    _halve(values.reshape(-1), out.reshape(-1), sums, height, channels * width)
    return out


@compiled_fused
def _halve(values: Samples, out: FloatMap, sums: FloatMap, height: int, width: int) -> None:
    """Fill ``out``; ``sums`` has room for a row, and is zero where one stands ahead of it."""
    count, ahead = np.uint64(width), np.uint64(sums.size - width)
    for r in range((height + 1) // 2):
        below = np.uint64((2 * r + 1 - height % 2) * width)
        if r or height % 2 == 0:
            for j in range(count):
                sums[ahead + j] = np.float32(values[below - count + j]) + np.float32(
                    values[below + j]
                )
        else:
            for j in range(count):
                sums[ahead + j] = np.float32(values[below + j])
        at = np.uint64(r * (sums.size // 2))
        for pixel in range(np.uint64(sums.size // 6)):
            i, k = _6 * pixel, at + _3 * pixel
            out[k] = (sums[i] + sums[i + _3]) * _QUARTER
            out[k + _1] = (sums[i + _1] + sums[i + _4]) * _QUARTER
            out[k + _2] = (sums[i + _2] + sums[i + _5]) * _QUARTER


@compiled_fused
def _add_tiles(  # noqa: PLR0913, PLR0917 - loops own no memory
    x: Samples,
    y: Samples,
    maps: FloatMap,
    row: FloatMap,
    buffer: FloatMap,
    columns: FloatMap,
    sums: DoubleMap,
    width: int,
    coarsest: int,
) -> None:
    """Add up the windows, tile by tile, each from top to bottom."""
    windows, rows = width - _SPARE, x.size // width - 10
    for left in range(0, windows, _TILE):
        count, filled = np.uint64(min(_TILE, windows - left)), 0
        for top in range(0, rows, _ROWS):
            here = min(_ROWS, rows - top)
            for r in range(filled, here + 10):
                at, ahead = np.uint64((top + r) * width + left), np.uint64(_ROWS_AHEAD * width)
                _ask_for(x, at + ahead, count + _10 * _3)
                _ask_for(y, at + ahead, count + _10 * _3)
                _differences(x, y, at, row, count + _10 * _3)
                _across(row, buffer, np.uint64(r * _TILE), count)
            r, k = 0, np.uint64(2 * left * rows) + np.uint64(2 * top) * count
            while r < here:
                i, more = np.uint64(r * _TILE), 1
                if r + 3 <= here and not coarsest:
                    more = 3
                    _ask_for(maps, k + _6 * count, _6 * count)
                    _three_rows(buffer, i, maps, k, columns[:count])
                else:
                    _one_row(buffer, i, maps, k, columns[:count], coarsest)
                r += more
                k += np.uint64(2 * more) * count
            _add_up(columns, sums)
            _keep_last_rows(buffer)
            filled = 10


@compiled_fused
def _reference_tiles(
    x: Samples, maps: FloatMap, row: DoubleMap, buffer: DoubleMap, width: int
) -> None:
    """Write the maps, tile by tile."""
    windows, rows = width - _SPARE, x.size // width - 10
    k = np.uint64(0)
    for left in range(0, windows, _TILE):
        count, filled = np.uint64(min(_TILE, windows - left)), 0
        for top in range(0, rows, _ROWS):
            here = min(_ROWS, rows - top)
            for r in range(filled, here + 10):
                _moments(x, np.uint64((top + r) * width + left), row, count + _10 * _3)
                _across_double(row, buffer, np.uint64(r * _TILE), count)
            for r in range(here):
                i = np.uint64(r * _TILE)
                for j in range(count):
                    mean = _window_double(buffer, i + j, _DOWN)
                    square = _window_double(buffer, i + _NEXT_MAP + j, _DOWN)
                    maps[k + j] = 2 * mean
                    maps[k + count + j] = 2 * (square - mean * mean) + _C2
                k += _2 * count
            _keep_last_rows(buffer)
            filled = 10
