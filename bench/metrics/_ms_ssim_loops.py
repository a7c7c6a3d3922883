"""The loops of MS-SSIM that numba compiles: windows, and what is made of them, in one pass.

Pictures are rows of samples, R G B R G B ..., uint8 at the finest scale. They are filtered across
into a buffer and from there down, in tiles. A tile's buffer lies column by column, each of 16
samples, so that whoever goes down a column reads memory in order; three rows of windows are worked
out together, since they share most of what they read. The last column of a tile may hold less than
16 windows: what is beyond them is worked out too, and not added. The filter across reads part of
its samples again, shifted, and shifts the others out of what it has: either alone would be slower.
What is read of the pictures and of the reference's maps is asked for ahead. Which products are
rounded before they are added is written down, so that no compiler chooses. Indices are unsigned:
numba then does not look for negative ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.image.numba_jit import compiled, inlined, prefetch
from bench.image.numba_lanes import (
    Lanes,
    doubles,
    load,
    minus_product,
    plus_product,
    shifted,
    store,
)

Samples = NDArray[np.uint8] | NDArray[np.float32]
FloatMap = NDArray[np.float32]
DoubleMap = NDArray[np.float64]
Index = Any  # a uint64

_GAUSSIAN = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
_D0, _D1, _D2, _D3, _D4, _D5 = _GAUSSIAN[:6] / _GAUSSIAN.sum()  # the other half is the same
_S0, _S1, _S2, _S3, _S4, _S5 = (np.float32(tap) for tap in (_D0, _D1, _D2, _D3, _D4, _D5))
_C1, _C2 = np.float32((0.01 * 255) ** 2), (0.03 * 255) ** 2
_HALF, _QUARTER, _TWO = np.float32(0.5), np.float32(0.25), 2.0
# Variances do not depend on a constant offset; squares of centred values round four times finer.
_OFFSET, _TWICE_OFFSET, _DOUBLE_OFFSET = np.float32(128), np.float32(256), 128.0

_ROWS = 66  # of windows, for which the buffer is filled at a time
_TILE = 192  # columns of samples
_ROWS_AHEAD = 2  # of a row of the pictures that is read, of which the next ones are asked for
_SPARE = 30  # samples that a row has more than windows: 10 pixels
_MAP = (_ROWS + 10) * _TILE  # of the maps in the buffer
_ROW = _TILE + 32  # of the maps of a row: each begins with a line of the cache

_1, _2, _3, _4, _5, _6, _7, _8, _9, _10 = (np.uint64(k) for k in range(1, 11))
_15, _16 = np.uint64(15), np.uint64(16)
_LINE_BYTES = np.uint64(64)  # of the cache
_COLUMN = np.uint64(16 * (_ROWS + 10))  # of 16 samples in the buffer
_NEXT_MAP, _NEXT_ROW = np.uint64(_MAP), np.uint64(_ROW)
_PAIR = np.uint64(32)  # of the reference's two maps
_PAIRS_AHEAD = np.uint64(48 * 32)  # of those that are read, of which the next ones are asked for


@inlined
def _weighted(start: Lanes, p2: Lanes, p3: Lanes, p4: Lanes, middle: Lanes) -> Lanes:
    """Return the weighted mean of pairs of the same weight and what is in the middle."""
    total = plus_product(start, _S2, p2)
    total = plus_product(total, _S3, p3)
    total = plus_product(total, _S4, p4)
    return plus_product(total, _S5, middle)


@inlined
def _window(values: FloatMap, i: Index, outermost_first: int) -> Lanes:
    """Return the weighted means of 11 rows of a column from ``i`` on.

    Which product is rounded first is a matter of 1e-11; scores keep what they always had.
    """
    p0 = load(values, i) + load(values, i + _10 * _16)
    p1 = load(values, i + _16) + load(values, i + _9 * _16)
    start = plus_product(_S0 * p0, _S1, p1) if outermost_first else plus_product(_S1 * p1, _S0, p0)
    return _weighted(
        start,
        load(values, i + _2 * _16) + load(values, i + _8 * _16),
        load(values, i + _3 * _16) + load(values, i + _7 * _16),
        load(values, i + _4 * _16) + load(values, i + _6 * _16),
        load(values, i + _5 * _16),
    )


@inlined
def _window_double(values: DoubleMap, i: Index, step: Index) -> Lanes:
    """Return those of values ``step`` apart, in float64."""
    total = _D1 * (load(values, i + step) + load(values, i + _9 * step))
    total = plus_product(total, _D0, load(values, i) + load(values, i + _10 * step))
    total = plus_product(total, _D2, load(values, i + _2 * step) + load(values, i + _8 * step))
    total = plus_product(total, _D3, load(values, i + _3 * step) + load(values, i + _7 * step))
    total = plus_product(total, _D4, load(values, i + _4 * step) + load(values, i + _6 * step))
    return plus_product(total, _D5, load(values, i + _5 * step))


@inlined
def _window_across(row: FloatMap, i: Index, first: Lanes, second: Lanes, third: Lanes) -> Lanes:
    """Return the weighted means of 11 pixels of a row, of which three times 16 samples are here."""
    p1 = shifted(first, second, 3) + shifted(second, third, 11)
    return _weighted(
        plus_product(_S1 * p1, _S0, first + load(row, i + _10 * _3)),
        load(row, i + _2 * _3) + load(row, i + _8 * _3),
        shifted(first, second, 9) + shifted(second, third, 5),
        load(row, i + _4 * _3) + load(row, i + _6 * _3),
        shifted(first, second, 15),
    )


@inlined
def _across(row: FloatMap, buffer: FloatMap, at: Index, columns: Index) -> None:
    """Filter the maps of a row, which lie one behind the other, into the maps of the buffer.

    How many there are is not said: the compiler would make a loop of each, which is slower.
    """
    for k in range(np.uint64(row.size) // _NEXT_ROW):
        i, to = k * _NEXT_ROW, k * _NEXT_MAP + at
        first, second = load(row, i), load(row, i + _16)
        for _ in range(columns):
            third = load(row, i + _2 * _16)
            store(buffer, to, _window_across(row, i, first, second, third))
            first, second = second, third
            i += _16
            to += _COLUMN


@inlined
def _across_double(row: DoubleMap, buffer: DoubleMap, at: Index, columns: Index) -> None:
    """Do the same in float64 for two maps."""
    for k in range(np.uint64(row.size) // _NEXT_ROW):
        for c in range(columns):
            means = _window_double(row, k * _NEXT_ROW + c * _16, _3)
            store(buffer, k * _NEXT_MAP + c * _COLUMN + at, means)


@inlined
def _keep_last_rows(buffer: FloatMap | DoubleMap, columns: Index) -> None:
    """Move the rows that the next windows need as well to the front of each column."""
    for k in range(np.uint64(buffer.size) // _NEXT_MAP):
        for c in range(columns):
            i = k * _NEXT_MAP + c * _COLUMN
            for _ in range(_10):
                store(buffer, i, load(buffer, i + np.uint64(_ROWS) * _16))
                i += _16


@inlined
def _ask_for(values: Samples, first: Index, count: Index) -> None:
    """Let samples be fetched into the cache; nothing is read, also where there are none."""
    i, last = first, first + count
    while i < last:
        prefetch(values, i)
        i += _LINE_BYTES // np.uint64(values.itemsize)


@inlined
def _moments(x: Samples, at: Index, row: DoubleMap, j: Index) -> None:
    """Write 16 x and x^2, the offset removed."""
    value = doubles(load(x, at + j)) - _DOUBLE_OFFSET
    store(row, j, value)
    store(row, _NEXT_ROW + j, value * value)


@inlined
def _differences(x: Samples, y: Samples, at: Index, row: FloatMap, j: Index) -> None:
    """Write 16 d = x - y, d^2 and d (x + y), the offset removed."""
    a, b = load(x, at + j), load(y, at + j)
    d = a - b
    store(row, j, d)
    store(row, _NEXT_ROW + j, d * d)
    store(row, _2 * _NEXT_ROW + j, d * (a + b - _TWICE_OFFSET))


@inlined
def _deficit(mean: Lanes, square: Lanes, product: Lanes, maps: FloatMap, k: Index) -> Lanes:
    """Return 1 - cs from the means of the three maps."""
    more = minus_product(product, mean, load(maps, k) - mean)  # var x - var y
    return minus_product(square, mean, mean) / (load(maps, k + _16) - more)


@inlined
def _three_rows(buffer: FloatMap, i: Index, maps: FloatMap, k: Index) -> Lanes:
    """Return the sum of 1 - cs over three rows of a column; map by map, else registers run out."""
    below, below_2, square, product = i + _16, i + _2 * _16, _NEXT_MAP, _2 * _NEXT_MAP
    a, b, c = _window(buffer, i, 0), _window(buffer, below, 1), _window(buffer, below_2, 1)
    aa = _window(buffer, i + square, 0)
    bb = _window(buffer, below + square, 1)
    cc = _window(buffer, below_2 + square, 1)
    ap = _window(buffer, i + product, 0)
    bp = _window(buffer, below + product, 1)
    cp = _window(buffer, below_2 + product, 1)
    return (
        _deficit(a, aa, ap, maps, k)
        + _deficit(b, bb, bp, maps, k + _PAIR)
        + _deficit(c, cc, cp, maps, k + _2 * _PAIR)
    )


@inlined
def _one_row(buffer: FloatMap, i: Index, maps: FloatMap, k: Index) -> Lanes:
    """Return 1 - cs of a row of a column."""
    mean, square = _window(buffer, i, 0), _window(buffer, i + _NEXT_MAP, 0)
    return _deficit(mean, square, _window(buffer, i + _2 * _NEXT_MAP, 0), maps, k)


@inlined
def _coarsest_row(buffer: FloatMap, i: Index, maps: FloatMap, k: Index) -> Lanes:
    """Return 1 - ssim of a row of a column."""
    mean = _window(buffer, i, 0)
    squared = mean * mean
    variance = _window(buffer, i + _NEXT_MAP, 0) - squared
    product = _window(buffer, i + _2 * _NEXT_MAP, 0)
    more = minus_product(product, mean, load(maps, k) - mean)
    deficit = variance / (load(maps, k + _16) - more)
    mean_x = load(maps, k) * _HALF + _OFFSET
    mean_y = mean_x - mean
    darker = squared / (plus_product(mean_y * mean_y, mean_x, mean_x) + _C1)
    return deficit + minus_product(darker, deficit, darker)


@inlined
def _down(
    buffer: FloatMap, rows: int, maps: FloatMap, k: Index, sums: FloatMap, coarsest: int
) -> None:
    """Write the sum over the rows of a tile's windows in each of its columns."""
    for c in range(np.uint64(sums.size) // _16):
        i, total, r = c * _COLUMN, load(sums, c * _16), 0
        while r < rows:
            if coarsest:
                total += _coarsest_row(buffer, i, maps, k)
                more = 1
            elif r + 3 <= rows:
                for line in range(_6):
                    prefetch(maps, k + _PAIRS_AHEAD + line * _16)
                total += _three_rows(buffer, i, maps, k)
                more = 3
            else:
                total += _one_row(buffer, i, maps, k)
                more = 1
            r += more
            i += np.uint64(more) * _16
            k += np.uint64(more) * _PAIR
        store(sums, c * _16, total)


@inlined
def _add_up(columns: FloatMap, windows: Index, sums: DoubleMap) -> None:
    """Move the sums of columns to those of their channels; what is beyond windows is not added."""
    for j in range(0, windows, 3):
        for channel in range(3):
            sums[channel] += columns[j + channel]
    for j in range(columns.size):
        columns[j] = 0


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
    row[:] = 0  # what is beyond a row's samples is read
    _add_tiles(x, y, maps, row, buffer, columns, sums, width, coarsest)
    return sums


def reference(x: Samples, width: int) -> FloatMap:
    """Return 2 mean x and 2 var x + C2 under every window of a flat picture.

    They lie as they are read: by tiles, their columns, and rows, 16 of the one and 16 of the other.
    The offset is removed from x. They are worked out in float64, since E[x^2] - E[x]^2 cancels on
    flat areas.
    """
    row, buffer = np.zeros(2 * _ROW), np.empty(2 * _MAP)
    columns, rows = -(-(width - _SPARE) // 16), x.size // width - 10
    maps = _aligned(2 * 16 * columns * rows)
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


@compiled
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


@compiled
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
    windows, rows, k = width - _SPARE, x.size // width - 10, np.uint64(0)
    for left in range(0, windows, _TILE):
        count, filled = np.uint64(min(_TILE, windows - left)), 0
        here_columns = (count + _15) // _16
        for top in range(0, rows, _ROWS):
            here = min(_ROWS, rows - top)
            for r in range(filled, here + 10):
                at, ahead = np.uint64((top + r) * width + left), np.uint64(_ROWS_AHEAD * width)
                _ask_for(x, at + ahead, count + _10 * _3)
                _ask_for(y, at + ahead, count + _10 * _3)
                last = count + _10 * _3 - _16
                for j in range(np.uint64(0), last, _16):
                    _differences(x, y, at, row, j)
                _differences(x, y, at, row, last)
                _across(row, buffer, np.uint64(16 * r), here_columns)
            _down(buffer, here, maps, k, columns[: here_columns * _16], coarsest)
            k += np.uint64(here) * here_columns * _PAIR
            _add_up(columns, count, sums)
            _keep_last_rows(buffer, here_columns)
            filled = 10


@compiled
def _reference_tiles(
    x: Samples, maps: FloatMap, row: DoubleMap, buffer: DoubleMap, width: int
) -> None:
    """Write the maps, tile by tile."""
    windows, rows, k = width - _SPARE, x.size // width - 10, np.uint64(0)
    for left in range(0, windows, _TILE):
        count, filled = np.uint64(min(_TILE, windows - left)), 0
        columns = (count + _15) // _16
        for top in range(0, rows, _ROWS):
            here = min(_ROWS, rows - top)
            for r in range(filled, here + 10):
                at, last = np.uint64((top + r) * width + left), count + _10 * _3 - _16
                for j in range(np.uint64(0), last, _16):
                    _moments(x, at, row, j)
                _moments(x, at, row, last)
                _across_double(row, buffer, np.uint64(16 * r), columns)
            for c in range(columns):
                for r in range(here):
                    i = c * _COLUMN + np.uint64(16 * r)
                    mean = _window_double(buffer, i, _16)
                    square = _window_double(buffer, i + _NEXT_MAP, _16)
                    store(maps, k, _TWO * mean)
                    store(maps, k + _16, _TWO * minus_product(square, mean, mean) + _C2)
                    k += _PAIR
            _keep_last_rows(buffer, columns)
            filled = 10
