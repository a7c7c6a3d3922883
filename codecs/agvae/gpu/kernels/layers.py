"""Element-wise parts of the exact networks, fused: each reads a matrix product and writes once.

Everything is float64 and exact, as ``fixed_point.py`` says, so neither the order of sums nor fused
multiply-adds matter. Element indices are int32: a batch has fewer than 2**31 activations a layer.
"""

from __future__ import annotations

import triton
import triton.language as tl

from bench.codecs.agvae.bitstream.frequency_tables import SCALE_THRESHOLDS
from bench.codecs.agvae.integer import fixed_point

LIMIT = tl.constexpr(float(fixed_point.LIMIT))
STEP = tl.constexpr(float(fixed_point.STEP))
TO_INTEGER = tl.constexpr(1.5 * 2.0**52)
"""Adding and subtracting this rounds a float64 under 2**51 half to even."""
LOG_LEAST = tl.constexpr(int(SCALE_THRESHOLDS[0]) - 1)
LOG_MOST = tl.constexpr(int(SCALE_THRESHOLDS[-1]))
"""Beyond the first and the last threshold, log-scales have no further effect."""
BLOCK = 1024


@triton.jit
def _requantised(x):
    """Round half to even and saturate."""
    x = (x + TO_INTEGER) - TO_INTEGER
    return tl.minimum(tl.maximum(x, -LIMIT), LIMIT)


@triton.jit
def _leaked(x):
    return tl.where(x < 0, x * 0.125, x)


@triton.jit
def _class_of(row, base1, base2, base3):
    """Return the position class of a row of class-ordered positions, and the row inside it."""
    c = (row >= base1).to(tl.int32) + (row >= base2).to(tl.int32) + (row >= base3).to(tl.int32)
    base = tl.where(c == 0, 0, tl.where(c == 1, base1, tl.where(c == 2, base2, base3)))
    return c, row - base


@triton.jit
def _extent(c, height, width):
    """Return rows and columns of a position class."""
    return (height + 1 - (c >> 1)) // 2, (width + 1 - (c & 1)) // 2


@triton.jit
def requantise(x, bias, size, CHANNELS: tl.constexpr, LEAK: tl.constexpr, BLOCK: tl.constexpr):
    """Add the bias, requantise, and leak or not, in place: (P, CHANNELS)."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    value = tl.load(x + at, mask=inside, other=0.0)
    value = _requantised(value + tl.load(bias + at % CHANNELS))
    if LEAK:
        value = _leaked(value)
    tl.store(x + at, value, mask=inside)


@triton.jit(do_not_specialize=["height", "width"])
def depthwise(
    x,
    before,
    weight,
    bias,
    out,
    size,
    height,
    width,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Requantise and leak a product, then convolve each channel 3x3 and requantise again.

    ``x`` and ``out`` are (batch height width, CHANNELS), ``before`` the bias of the product.
    """
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    channel = at % CHANNELS
    position = at // CHANNELS
    column = position % width
    row = (position // width) % height
    offset = tl.load(before + channel)
    total = tl.load(bias + channel)
    for tap in tl.static_range(9):
        down = tap // 3 - 1
        right = tap % 3 - 1
        there = inside & (row + down >= 0) & (row + down < height)
        there = there & (column + right >= 0) & (column + right < width)
        value = tl.load(x + at + (down * width + right) * CHANNELS, mask=there, other=0.0)
        value = tl.where(there, _leaked(_requantised(value + offset)), 0.0)
        total += value * tl.load(weight + tap * CHANNELS + channel)
    tl.store(out + at, _requantised(total), mask=inside)


@triton.jit(do_not_specialize=["batch", "height", "width"])
def add(
    x,
    product,
    bias,
    out,
    size,
    batch,
    height,
    width,
    CHANNELS: tl.constexpr,
    BY_CLASS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write the saturated sum of ``x`` and a requantised product, maybe ordered by position class.

    ``x`` and ``product`` are (batch height width, CHANNELS) in raster order. ``out`` may be ``x``
    itself where the order stays.
    """
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    channel = at % CHANNELS
    value = _requantised(tl.load(product + at, mask=inside, other=0.0) + tl.load(bias + channel))
    value += tl.load(x + at, mask=inside, other=0.0)
    value = tl.minimum(tl.maximum(value, -LIMIT), LIMIT)
    if BY_CLASS:
        position = at // CHANNELS
        column = position % width
        row = (position // width) % height
        image = position // (width * height)
        odd_row = row % 2
        odd_column = column % 2
        rows, columns = _extent(2 * odd_row + odd_column, height, width)
        # Before it: all classes of even rows if the row is odd, then the even columns if its is.
        before = odd_row * ((height + 1) // 2) * width + odd_column * rows * ((width + 1) // 2)
        place = batch * before + (image * rows + row // 2) * columns + column // 2
        tl.store(out + place * CHANNELS + channel, value, mask=inside)
    else:
        tl.store(out + at, value, mask=inside)


@triton.jit(do_not_specialize=["batch", "height", "width", "stride", "first"])
def parameters(
    product,
    bias,
    indices,
    finder,
    mu,
    left,
    right,
    contexts,
    size,
    batch,
    height,
    width,
    stride,
    first,
    QUARTER: tl.constexpr,
    TIED: tl.constexpr,
    FIND: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Turn the heads' products into modes, log-scales and tables, in coding order.

    Parameters
    ----------
    product, bias
        (batch height width, 3 QUARTER) ordered by class, and (4, 3 QUARTER).
    indices, finder
        uint8: grid index of log-scale t at ``t - LOG_LEAST``; int32: ``Lookup.finder``.
    mu, left, right
        float32, int16, int16 (batch, N): the log-scales are not written where ``FIND``.
    contexts
        int32, element i of image b at ``b * stride + first + i``: the contexts, or their finders
        where ``FIND``.
    TIED
        Whether both scales are their mean.
    """
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    channel = at % QUARTER
    row = at // QUARTER
    high = (height + 1) // 2
    wide = (width + 1) // 2
    base1 = batch * high * wide
    base2 = batch * high * width
    base3 = base2 + batch * (height // 2) * wide
    c, rest = _class_of(row, base1, base2, base3)
    rows, columns = _extent(c, height, width)
    area = tl.maximum(rows * columns, 1)
    image = rest // area
    place = ((row - rest) // batch + rest % area) * QUARTER + channel
    source = product + row * (3 * QUARTER) + channel
    added = bias + c * (3 * QUARTER) + channel
    mode = _requantised(tl.load(source, mask=inside, other=0.0) + tl.load(added))
    lower = tl.load(source + QUARTER, mask=inside, other=0.0) + tl.load(added + QUARTER)
    upper = tl.load(source + 2 * QUARTER, mask=inside, other=0.0) + tl.load(added + 2 * QUARTER)
    lower = _requantised(lower).to(tl.int32)
    upper = _requantised(upper).to(tl.int32)
    if TIED:
        lower = (lower + upper) >> 1
        upper = lower
    total = height * width * QUARTER
    tl.store(mu + image * total + place, mode.to(tl.float32), mask=inside)
    if not FIND:
        held = tl.minimum(tl.maximum(lower, -32768), 32767).to(tl.int16)
        tl.store(left + image * total + place, held, mask=inside)
        held = tl.minimum(tl.maximum(upper, -32768), 32767).to(tl.int16)
        tl.store(right + image * total + place, held, mask=inside)
    lower = tl.minimum(tl.maximum(lower, LOG_LEAST), LOG_MOST) - LOG_LEAST
    upper = tl.minimum(tl.maximum(upper, LOG_LEAST), LOG_MOST) - LOG_LEAST
    context = tl.load(indices + lower).to(tl.int32) * 40 + tl.load(indices + upper).to(tl.int32)
    if FIND:
        context = tl.load(finder + context)
    tl.store(contexts + image.to(tl.int64) * stride + first + place, context, mask=inside)


@triton.jit(do_not_specialize=["height", "width", "stride", "first"])
def reconstruct(
    symbols,
    mu,
    groups,
    latent,
    size,
    height,
    width,
    stride,
    first,
    QUARTER: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write k + mu of one pass to its places in ``latent``, saturated.

    Parameters
    ----------
    symbols
        int32, element i of image b at ``b * stride + first + i``.
    mu
        float32 (batch, N).
    groups
        int32 (4,): channel group of each class in this pass.
    latent
        float64 (batch height width, 8 QUARTER): the latter half of the channels is y_hat.
    """
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    total = height * width * QUARTER
    image = at // total
    place = at % total
    channel = place % QUARTER
    row = place // QUARTER
    high = (height + 1) // 2
    wide = (width + 1) // 2
    base3 = high * width + (height // 2) * wide
    c, rest = _class_of(row, high * wide, high * width, base3)
    _, columns = _extent(c, height, width)
    columns = tl.maximum(columns, 1)
    i = 2 * (rest // columns) + (c >> 1)
    j = 2 * (rest % columns) + (c & 1)
    source = symbols + image.to(tl.int64) * stride + first + place
    k = tl.load(source, mask=inside, other=0).to(tl.float64)
    value = k * STEP + tl.load(mu + at, mask=inside, other=0.0).to(tl.float64)
    value = tl.minimum(tl.maximum(value, -LIMIT), LIMIT)
    position = (image * height + i) * width + j
    group = tl.load(groups + c)
    target = latent + position.to(tl.int64) * (8 * QUARTER) + 4 * QUARTER + group * QUARTER
    tl.store(target + channel, value, mask=inside)
