"""RGB to BPG's planes and back in libbpg's integer arithmetic, and its chroma filters.

Every constant is fixed point, so that two machines write the same planes. Rounding is to nearest
throughout. Matrices: ITU-R BT.601-7, BT.709-6, BT.2020-2 (non-constant luminance), and YCgCo of
ITU-T H.273. Images are worked in strips of rows, so that memory stays near that of the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.codecs.bpg.container import ColorSpace, Header, PixelFormat
from bench.image import Image

Plane = NDArray[np.unsignedinteger[Any]]
Samples = NDArray[np.signedinteger[Any]]

_LUMA_WEIGHTS = {
    ColorSpace.BT601: (0.299, 0.114),
    ColorSpace.BT709: (0.2126, 0.0722),
    ColorSpace.BT2020: (0.2627, 0.0593),
}
"""Kr and Kb."""

_STRIP_PIXELS = 1 << 16  # some 10 temporaries of 4 bytes stay within a second-level cache

_DOWN = (2, -4, -8, 17, 57, 57, 17, -8, -4, 2)
"""Halves a row, out of 128; the first tap lies 4 samples before twice the output's index."""

_UP = (-1, 4, -10, 57, 18, -6, 2)
"""Doubles a row, out of 64: the odd output; reversed, the even one. First tap: 3 before."""

_UP_COSITED = (-1, 4, -11, 40, 40, -11, 4, -1)
"""The odd output where chroma lies on even columns, out of 64; the even output is a copy."""


def _strips(height: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of rows; each begins on an even row."""
    rows = max(2, _STRIP_PIXELS // width // 2 * 2)
    for top in range(0, height, rows):
        yield top, min(top + rows, height)


def sample_type(bit_depth: int) -> np.dtype[np.unsignedinteger[Any]]:
    """Return the type of a plane's samples."""
    return np.dtype(np.uint8) if bit_depth == 8 else np.dtype(np.uint16)


# --- RGB to planes -------------------------------------------------------------------------------


def rgb_to_planes(image: Image, pixel_format: PixelFormat, bit_depth: int) -> list[Plane]:
    """Return the planes that are coded for ``image``: full-range BT.601, as bpgenc makes them.

    Parameters
    ----------
    image
        uint8 RGB (H, W, 3).
    pixel_format
        ``GRAY`` (equal channels are taken for granted), ``YUV420`` or ``YUV444``.
    bit_depth
        Bits per sample, 8 to 12; 255 becomes the largest value.

    Returns
    -------
    list
        Y (H, W), and Cb and Cr of the same shape or, at 4:2:0, (ceil(H/2), ceil(W/2)).
    """
    height, width = image.shape[:2]
    count = 1 if pixel_format == PixelFormat.GRAY else 3
    planes = [np.empty((height, width), sample_type(bit_depth)) for _ in range(count)]
    shift = 31 - bit_depth
    scale = ((1 << bit_depth) - 1) * (1 << shift) / 255
    rows = [[round(weight * scale) for weight in row] for row in _forward_matrix()]
    largest, centre = (1 << bit_depth) - 1, 1 << (bit_depth - 1)
    for top, bottom in _strips(height, width):
        red, green, blue = np.moveaxis(image[top:bottom].astype(np.int32), -1, 0)
        for plane, weights, offset in zip(planes, rows, (0, centre, centre), strict=False):
            # At most (2^depth - 1) 2^(31 - depth) + 2^(30 - depth): fits 32 bits.
            total = weights[0] * red + weights[1] * green + weights[2] * blue
            total = (total + (1 << (shift - 1)) >> shift) + offset
            plane[top:bottom] = np.clip(total, 0, largest)
    if pixel_format == PixelFormat.YUV420:
        planes[1:] = [_halve(plane, bit_depth) for plane in planes[1:]]
    return list(planes)


def _forward_matrix() -> list[list[float]]:
    """Return the rows for Y, Cb and Cr in BT.601."""
    kr, kb = _LUMA_WEIGHTS[ColorSpace.BT601]
    kg = 1 - kr - kb
    return [
        [kr, kg, kb],
        [-0.5 * kr / (1 - kb), -0.5 * kg / (1 - kb), 0.5],
        [0.5, -0.5 * kg / (1 - kr), -0.5 * kb / (1 - kr)],
    ]


def _halve(plane: Plane, bit_depth: int) -> Plane:
    """Return ``plane`` at half its rows and columns, chroma in the middle of four samples."""
    shift = bit_depth - 7
    total = _filter(_pad(plane.astype(np.int32), 1, 4, 6), 1, _DOWN, 2, (plane.shape[1] + 1) // 2)
    # Not clamped here: the vertical filter takes the overshoot back.
    total = total + (1 << (shift - 1)) >> shift
    shift = 21 - bit_depth
    total = _filter(_pad(total, 0, 4, 6), 0, _DOWN, 2, (plane.shape[0] + 1) // 2)
    total = total + (1 << (shift - 1)) >> shift
    return np.clip(total, 0, (1 << bit_depth) - 1).astype(sample_type(bit_depth))


def _pad(samples: Samples, axis: int, before: int, after: int) -> Samples:
    """Return ``samples`` with the first and last one of ``axis`` repeated."""
    widths = [(0, 0), (0, 0)]
    widths[axis] = before, after
    return np.pad(samples, widths, mode="edge")


def _filter(padded: Samples, axis: int, taps: Sequence[int], step: int, count: int) -> Samples:
    """Return ``count`` sums of ``taps`` times samples, each ``step`` samples after the last."""
    lines = padded if axis == 0 else padded.T
    span = step * (count - 1) + 1
    total = sum(tap * lines[k : k + span : step] for k, tap in enumerate(taps))
    result = np.asarray(total)
    return result if axis == 0 else result.T


# --- planes to RGB -------------------------------------------------------------------------------


def planes_to_rgb(planes: Sequence[Plane], header: Header) -> Image:
    """Return the picture of decoded planes, uint8 RGB (H, W, 3).

    Parameters
    ----------
    planes
        Y, Cb, Cr (in RGB: G, B, R), each at least as large as ``header`` says: padding at the
        right and at the bottom is cropped here.
    header
        Size, pixel format, colour space, range and depth.
    """
    height, width = header.height, header.width
    out = np.empty((height, width, 3), np.uint8)
    constants = _ToRgb.of(header)
    # Full range fits 32 bits by the choice of 22 fractional bits; limited range overshoots.
    wide: np.dtype[np.signedinteger[Any]]
    wide = np.dtype(np.int64) if header.limited_range else np.dtype(np.int32)
    for top, bottom in _strips(height, width):
        strip = [planes[0][top:bottom, :width].astype(wide)]
        strip += [_chroma_rows(plane, header, top, bottom).astype(wide) for plane in planes[1:]]
        for channel, samples in enumerate(constants.apply(strip, header)):
            out[top:bottom, :, channel] = np.clip(samples, 0, 255)
    return out


_SHIFT = 22  # 8 bits of result and 22 of fraction leave room for the overshoot in 32


@dataclass(frozen=True, slots=True)
class _ToRgb:
    """Fixed-point constants of one header; the methods return R, G, B that are not clamped yet.

    Attributes
    ----------
    one
        What a step of luma is worth.
    offset
        Half a result, less what black is worth.
    centre
        The chroma sample that means no colour.
    chroma_scale
        What a step of chroma is worth, before its weight.
    """

    one: int
    offset: int
    centre: int
    chroma_scale: float

    @classmethod
    def of(cls, header: Header) -> _ToRgb:
        """Return the constants for a header's depth and range."""
        depth = header.bit_depth
        luma_range = chroma_range = (1 << depth) - 1
        black = 0
        if header.limited_range:
            luma_range, chroma_range, black = 219 << depth - 8, 224 << depth - 8, 16 << depth - 8
        white = 255 << _SHIFT
        one = round(white / luma_range)
        half = 1 << _SHIFT - 1
        return cls(one, half - black * one, 1 << depth - 1, white / chroma_range)

    def scaled(self, samples: Samples) -> Samples:
        """Return samples that need no matrix at 8 bits and full range."""
        return samples * self.one + self.offset >> _SHIFT

    def gray(self, planes: list[Samples]) -> list[Samples]:
        """Return luma three times."""
        return [self.scaled(planes[0])] * 3

    def rgb(self, planes: list[Samples]) -> list[Samples]:
        """Reorder G, B, R."""
        return [self.scaled(planes[2]), self.scaled(planes[0]), self.scaled(planes[1])]

    def ycgco(self, planes: list[Samples]) -> list[Samples]:
        """Undo YCgCo, which BPG makes of RGB that is already in its range and depth."""
        green, orange = planes[1] - self.centre, planes[2] - self.centre
        rest = planes[0] - green
        return [self.scaled(s) for s in (rest + orange, planes[0] + green, rest - orange)]

    def ycbcr(self, planes: list[Samples], kr: float, kb: float) -> list[Samples]:
        """Undo a matrix of luma weights ``kr`` and ``kb``."""
        scale, kg = self.chroma_scale, 1 - kr - kb
        luma = planes[0] * self.one + self.offset
        cb, cr = planes[1] - self.centre, planes[2] - self.centre
        green_cb = round(2 * kb * (1 - kb) / kg * scale)
        green_cr = round(2 * kr * (1 - kr) / kg * scale)
        return [
            luma + round(2 * (1 - kr) * scale) * cr >> _SHIFT,
            luma - green_cb * cb - green_cr * cr >> _SHIFT,
            luma + round(2 * (1 - kb) * scale) * cb >> _SHIFT,
        ]

    def apply(self, planes: list[Samples], header: Header) -> list[Samples]:
        """Return R, G, B of planes that mean what the header says."""
        if header.pixel_format == PixelFormat.GRAY:
            return self.gray(planes)
        if header.color_space == ColorSpace.RGB:
            return self.rgb(planes)
        if header.color_space == ColorSpace.YCGCO:
            return self.ycgco(planes)
        return self.ycbcr(planes, *_LUMA_WEIGHTS[header.color_space])


def _chroma_rows(plane: Plane, header: Header, top: int, bottom: int) -> Samples:
    """Return rows ``top`` to ``bottom`` of a chroma plane at the picture's own resolution."""
    half_rows, half_columns = header.pixel_format.halved
    if not half_columns:
        return plane[top:bottom, : header.width].astype(np.int32)
    # Samples beyond the true size are padding, which the filters must not see.
    plane = plane[:, : (header.width + 1) // 2]
    fraction_bits = 0
    if half_rows:
        plane = plane[: (header.height + 1) // 2]
        samples = _double_rows(plane, header.bit_depth, top, bottom)
        fraction_bits = 14 - header.bit_depth
    else:
        samples = plane[top:bottom].astype(np.int32)
    full = _double_columns(samples, fraction_bits, cosited=header.pixel_format.cosited)
    return np.clip(full[:, : header.width], 0, (1 << header.bit_depth) - 1)


def _double_rows(plane: Plane, bit_depth: int, top: int, bottom: int) -> Samples:
    """Return doubled rows ``top`` (even) to ``bottom``, with 14 - depth bits of fraction."""
    first, last = top // 2, (bottom + 1) // 2
    wanted = np.arange(first - 3, last + 3).clip(0, plane.shape[0] - 1)
    samples = plane[wanted].astype(np.int32)
    out = np.empty((2 * (last - first), plane.shape[1]), np.int32)
    shift = bit_depth - 8
    for parity, taps in enumerate((_UP[::-1], _UP)):
        total = _filter(samples, 0, taps, 1, last - first)
        out[parity::2] = total + ((1 << shift) >> 1) >> shift
    return out[: bottom - top]


def _double_columns(samples: Samples, fraction_bits: int, *, cosited: bool) -> Samples:
    """Return ``samples`` at twice its columns and without its fraction bits, not clamped."""
    count = samples.shape[1]
    padded = _pad(samples, 1, 3, 4)
    out = np.empty((samples.shape[0], 2 * count), np.int32)
    shift = 6 + fraction_bits
    if cosited:
        out[:, 0::2] = samples + ((1 << fraction_bits) >> 1) >> fraction_bits
        filters: tuple[tuple[int, tuple[int, ...]], ...] = ((1, _UP_COSITED),)
    else:
        filters = ((0, _UP[::-1]), (1, _UP))
    for parity, taps in filters:
        total = _filter(padded, 1, taps, 1, count)
        out[:, parity::2] = total + (1 << (shift - 1)) >> shift
    return out
