"""Element-wise parts of g_a and g_s, fused: pixels in and out, biases, pixel shuffles.

Activations are channels last, in the precision of the transforms; arithmetic is float32.
Element indices are int32: a batch has fewer than 2**31 activations a layer. Sizes are specialised,
for only then loads are 16 bytes wide.
"""

from __future__ import annotations

import triton
import triton.language as tl

BLOCK = 1024
PADDED = tl.constexpr(16)
"""Channels of an image whose 2x2 cells are channels: 12, and 4 zeros for the tensor cores."""
TO_INTEGER = tl.constexpr(1.5 * 2.0**23)
"""Adding and subtracting this rounds a float32 under 2**22 half to even."""


@triton.jit(do_not_specialize=["rows", "columns", "height", "width"])
def cells(pixels, out, size, rows, columns, height, width, BLOCK: tl.constexpr):
    """Write uint8 RGB (B, rows, columns, 3) as cells (B, height, width, 16), -0.5 to 0.5.

    Channel 6 a + 3 b + c is colour c at row a, column b of a cell; the last row and column of the
    image are repeated.
    """
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    channel = at % PADDED
    cell = at // PADDED
    i = 2 * ((cell // width) % height) + channel // 6
    j = 2 * (cell % width) + (channel % 6) // 3
    image = cell // (width * height)
    source = (image * rows + tl.minimum(i, rows - 1)) * columns + tl.minimum(j, columns - 1)
    colour = channel < 12
    inside = at < size
    value = tl.load(pixels + source * 3 + channel % 3, mask=inside & colour, other=0)
    value = value.to(tl.float32) / 255 - 0.5
    value = tl.where(colour, value, 0.0)
    tl.store(out + at, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def add_bias(x, bias, size, CHANNELS: tl.constexpr, BLOCK: tl.constexpr):
    """Add a float32 bias to (P, CHANNELS) in place."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    value += tl.load(bias + at % CHANNELS)
    tl.store(x + at, value.to(x.dtype.element_ty), mask=inside)


@triton.jit
def rectify(x, bias, out, size, CHANNELS: tl.constexpr, BLOCK: tl.constexpr):
    """Write ReLU(x + bias), (P, CHANNELS), as (P, CHANNELS + 8): then a one and seven zeros.

    With the one, the next product's matrix can hold that product's bias.
    """
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    channel = at % (CHANNELS + 8)
    own = channel < CHANNELS
    source = at // (CHANNELS + 8) * CHANNELS + channel
    value = tl.load(x + source, mask=inside & own, other=0.0).to(tl.float32)
    value = tl.maximum(value + tl.load(bias + channel, mask=own, other=0.0), 0.0)
    value = tl.where(own, value, (channel == CHANNELS).to(tl.float32))
    tl.store(out + at, value.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["width"])
def shuffle(x, bias, out, size, width, CHANNELS: tl.constexpr, BLOCK: tl.constexpr):
    """Write (B, h, width, 4 CHANNELS) plus a bias as (B, 2 h, 2 width, CHANNELS).

    Channel d CHANNELS + c goes to channel c of sub-position d = 2 row + column.
    """
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    channel = at % CHANNELS
    position = at // CHANNELS
    column = position % (2 * width)
    row = position // (2 * width)
    source_channel = ((row % 2) * 2 + column % 2) * CHANNELS + channel
    source = ((row // 2) * width + column // 2) * (4 * CHANNELS) + source_channel
    value = tl.load(x + source, mask=inside, other=0.0).to(tl.float32)
    value += tl.load(bias + source_channel)
    tl.store(out + at, value.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["rows", "columns", "height", "width"])
def paint(x, bias, pixels, size, rows, columns, height, width, BLOCK: tl.constexpr):
    """Write (B, height, width, 12) plus a bias, shuffled, as uint8 RGB (B, rows, columns, 3).

    Channel 3 d + c is colour c of sub-position d, -0.5 to 0.5; what lies beyond rows and columns
    is cropped.
    """
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    colour = at % 3
    position = at // 3
    j = position % columns
    i = (position // columns) % rows
    image = position // (columns * rows)
    channel = ((i % 2) * 2 + j % 2) * 3 + colour
    source = ((image * height + i // 2) * width + j // 2) * 12 + channel
    value = tl.load(x + source, mask=inside, other=0.0).to(tl.float32) + tl.load(bias + channel)
    value = tl.minimum(tl.maximum((value + 0.5) * 255, 0.0), 255.0)
    value = (value + TO_INTEGER) - TO_INTEGER
    tl.store(pixels + at, value.to(tl.uint8), mask=inside)
