"""Exact products of integers from products of 16 bits, which CPUs do many times as fast.

A weight is an integer of 16 bits, an activation mostly too; where some of a block are larger, each
is split in two digits (multi-precision arithmetic calls them limbs). The product of every limb is
summed modulo 2^32. That is the true sum if its magnitude is under 2^31, which the Cauchy-Schwarz
inequality says beforehand: no sum of products exceeds the product of both roots of the sums of
squares. Added up with the weights of their limbs they are the exact sum, the very number that
``fixed_point.Affine`` has from float64.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from bench.codecs.agvae.integer import int16_kernel
from bench.codecs.agvae.integer.int16_kernel import Sums, Words
from bench.codecs.agvae.integer.requantise_kernels import (
    Doubles,
    Floats,
    requantised_and_added,
    requantised_and_leaked,
)
from bench.image.numba_jit import compiled

LIMB_BITS = 12
"""Of the lower limb of two. The upper one of the largest activation, 2^25 eighths of a step, has 14
then; the smaller the limbs, the farther are sums from 2^31."""

_RADIX = 1 << LIMB_BITS


class Limbs:
    """The weights of a layer in 16 bits; see ``limbs``.

    They are float64 (inputs, outputs); ``width`` is what the CPU computes at once.
    """

    def __init__(self, weight: Tensor, scale: float, width: int) -> None:
        self._weight = int16_kernel.packed(weight.to(torch.int16).numpy(), width)
        self._square = int(weight.square().sum(0).max())
        self._width, self._scale = width, scale

    def digits(self, x: Tensor, taps: int = 1) -> Words | None:
        """Return the limbs of activations, int16 (1 or 2, N, inputs), most significant first.

        None if there are none, their sums might need more than 32 bits, or ``scale`` does not make
        them integers.

        Parameters
        ----------
        x
            float32 or float64 (N, inputs).
        taps
            How many of the N rows make one row of a product.
        """
        if not len(x):
            return None
        source = x.contiguous().numpy()
        for count in (1, 2):
            out = np.empty((count, *source.shape), np.int16)
            square = split(source, self._scale, out)
            if square >= 0 and taps * square * self._square < 1 << 62:
                return out
        return None

    def sums(self, digits: Words) -> Sums:
        """Return the products of limbs (limbs, N, inputs), (limbs, N, outputs or more)."""
        count, rows, inputs = digits.shape
        product = int16_kernel.product(self._width)
        assert product is not None
        return product(digits.reshape(-1, inputs), self._weight).reshape(count, rows, -1)


def limbs(weight: Tensor, scale: float) -> Limbs | None:
    """Return weights as ``Limbs``; None if products of 16 bits do not give exact sums with them.

    Parameters
    ----------
    weight
        float64 (inputs, outputs).
    scale
        Activations times this are integers.
    """
    width = int16_kernel.lanes()
    if width is None or weight.device.type != "cpu" or len(weight) % 2 or not available():
        return None
    fit = torch.equal(weight.to(torch.int16).double(), weight)
    return Limbs(weight, scale, width) if fit else None


@cache
def available() -> bool:
    """Return whether this CPU has products of 16 bits, and they are exact."""
    width = int16_kernel.lanes()
    product = None if width is None else int16_kernel.product(width)
    if width is None or product is None:
        return False
    x = np.full((9, 64), 32767, np.int16)
    x[1::2, ::3] = -32768
    want = x.astype(np.int64) @ x.T
    got = product(x, int16_kernel.packed(np.ascontiguousarray(x.T), width))[:, : len(x)]
    return np.array_equal(got, want.astype(np.int32))


@compiled
def split(x: Floats, scale: float, out: Words) -> int:
    """Write the limbs of ``x * scale`` into ``out``; return the largest sum of a row's squares.

    -1 where a number is not an integer, or too large; rows after it are not split. ``x`` is
    (N, inputs), ``out`` (1 or 2, N, inputs), most significant first.
    """
    limbs, rows, columns = out.shape
    most = np.int64(0)
    for i in range(rows):
        odd, square = False, np.int64(0)
        for j in range(columns):
            v = x[i, j] * np.float32(scale)
            rest = np.int32(v)
            odd |= v != np.float32(rest)
            if limbs == 2:
                low = np.int32(((rest + _RADIX // 2) & (_RADIX - 1)) - _RADIX // 2)
                out[1, i, j] = np.int16(low)
                rest = np.int32((rest - low) >> LIMB_BITS)
                square += np.int64(low) * low
            out[0, i, j] = np.int16(rest)
            odd |= out[0, i, j] != rest
            square += np.int64(rest) * rest
        if odd:
            return -1
        most = max(most, square)
    return int(most)


@compiled
def _sum(sums: Sums, i: int, j: int) -> float:
    """Return the exact sum that ``Limbs.sums`` has in limbs."""
    high = np.float64(sums[0, i, j])
    return float(high if len(sums) == 1 else high * _RADIX + sums[1, i, j])


@compiled
def requantise(
    sums: Sums, scale: float, bias: Doubles, limit: float, slope: float, out: Floats
) -> None:
    """Fill ``out`` (N, outputs) with the rounded, saturated and leaky values of ``Limbs.sums``.

    ``scale`` is what one unit of the sums is worth; it and ``bias`` (outputs,) are in steps.
    """
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            total = _sum(sums, i, j) * scale + bias[j]
            out[i, j] = requantised_and_leaked(total, limit, slope)


@compiled
def requantise_and_add(
    sums: Sums, scale: float, bias: Doubles, limit: float, residual: Floats, out: Floats
) -> None:
    """Fill ``out`` with the requantised sum of ``residual`` and the requantised values."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            total = _sum(sums, i, j) * scale + bias[j]
            out[i, j] = requantised_and_added(total, residual[i, j], limit)
