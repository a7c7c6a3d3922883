"""Exact products of integers from products of bytes, which CPUs do many times as fast.

An activation is an integer of two or three signed bytes, a weight one of two (multi-precision
arithmetic calls such digits limbs). The matrix product of every pair of limbs is a sum of 16-bit
products in 32 bits, exact on any hardware that does not saturate in between; added up with their
weights of 256^n they are the exact sum, the very number that ``fixed.Affine`` has from float64.
With the VNNI or AMX instructions four byte products cost less than one of float64.
"""

from __future__ import annotations

import logging
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bench.codecs.agvae.integer.requantise_kernels import (
    Doubles,
    Floats,
    requantised_and_added,
    requantised_and_leaked,
)
from bench.image.numba_jit import compiled

Bytes = npt.NDArray[np.int8]
Sums = npt.NDArray[np.int32]

MAX_INPUTS = 1 << 16
"""Products of a sum: 2^16 of magnitude 2^14 stay under 2^31."""

_LARGEST = 127 * 256 + 127
"""What two limbs reach; on the other side they reach one further, which nothing needs."""

_LOG = logging.getLogger(__name__)


class Limbs:
    """The weights of a layer in two limbs.

    They are integers of magnitude up to 32,639, float64 (inputs, outputs); activations times
    ``scale`` are integers too.

    Raises
    ------
    ValueError
        If the weights are no such integers.
    """

    def __init__(self, weight: Tensor, scale: float) -> None:
        digits = np.empty((2, *weight.shape), np.int8)
        small = bool((weight.abs() <= _LARGEST).all())
        rest = np.empty(weight.shape[1], np.int32)
        if not small or split(weight.contiguous().numpy(), 1.0, digits, rest):
            raise ValueError(f"weights must be integers of magnitude up to {_LARGEST}")
        self._weight = torch.from_numpy(np.concatenate(tuple(digits), 1))
        self._scale = scale

    def digits(self, x: Tensor) -> Tensor | None:
        """Return the limbs of activations, int8 (2 or 3, N, inputs), most significant first.

        None if there are none, three do not suffice, or ``scale`` does not make them integers.

        Parameters
        ----------
        x
            float32 or float64 (N, inputs).
        """
        if not len(x):
            return None
        source = x.contiguous().numpy()
        rest = np.empty(source.shape[1], np.int32)
        for count in (2, 3):
            out = np.empty((count, *source.shape), np.int8)
            if not split(source, self._scale, out, rest):
                return torch.from_numpy(out)
        return None

    def sums(self, digits: Tensor) -> Sums:
        """Return the products of each pair of limbs (limbs, N, inputs), (limbs, N, 2, outputs)."""
        count, rows, inputs = digits.shape
        flat = torch._int_mm(digits.reshape(-1, inputs), self._weight)  # noqa: SLF001 - see available
        return flat.reshape(count, rows, 2, -1).numpy()


def fits(weight: Tensor) -> bool:
    """Return whether weights may become ``Limbs``, and whether that is worth while here."""
    small = weight.shape[0] <= MAX_INPUTS and bool((weight.abs() <= _LARGEST).all())
    return small and weight.device.type == "cpu" and available()


@cache
def available() -> bool:
    """Return whether this CPU has byte products, and PyTorch's are exact and reach it.

    Older CPUs add pairs of products in 16 bits and saturate; the test below would show it.
    """
    if not getattr(torch.cpu, "_is_vnni_supported", lambda: False)():
        return False
    x = torch.full((64, 256), 127, dtype=torch.int8)
    x[1::2] = -128
    try:
        got = torch._int_mm(x, x.T.contiguous())  # noqa: SLF001 - no public name; hence the test
    except (AttributeError, RuntimeError) as error:
        _LOG.debug("no byte products: %s", error)
        return False
    return torch.equal(got.double(), x.double() @ x.T.double())


@compiled
def split(x: Floats, scale: float, out: Bytes, rest: Sums) -> bool:
    """Write the signed bytes of ``x * scale`` into ``out``; return whether that failed.

    It fails where a number is not an integer, or too large; rows after it are not split. ``x`` is
    (N, inputs), ``out`` (limbs, N, inputs), most significant first, ``rest`` (inputs,) is scratch.
    """
    limbs, rows, columns = out.shape
    for i in range(rows):
        odd = 0
        for j in range(columns):
            v = np.float64(x[i, j]) * scale
            rest[j] = np.int32(v)
            odd |= v != rest[j]
        for limb in range(limbs - 1, -1, -1):
            for j in range(columns):
                out[limb, i, j] = np.int8(rest[j])
                rest[j] = (rest[j] + 128) >> 8
        for j in range(columns):
            odd |= rest[j] != 0
        if odd:
            return True
    return False


@compiled
def _total(sums: Sums, i: int, scale: float, bias: Doubles, out: Doubles) -> None:
    """Fill ``out`` with the exact sums of position ``i``, in steps, bias included."""
    first, second = sums[0, i], sums[1, i]
    if sums.shape[0] == 2:
        for j in range(out.size):
            middle = np.float64(first[1, j]) + np.float64(second[0, j])
            total = first[0, j] * 65536.0 + middle * 256.0 + second[1, j]
            out[j] = total * scale + bias[j]
        return
    third = sums[2, i]
    for j in range(out.size):
        high = first[0, j] * 65536.0 + (np.float64(first[1, j]) + second[0, j]) * 256.0
        low = (np.float64(second[1, j]) + third[0, j]) * 256.0 + third[1, j]
        out[j] = (high * 256.0 + low) * scale + bias[j]


@compiled
def requantise(
    sums: Sums, scale: float, bias: Doubles, limit: float, slope: float, total: Doubles, out: Floats
) -> None:
    """Fill ``out`` (N, outputs) with the rounded, saturated and leaky values of ``Limbs.sums``.

    ``scale`` is what one unit of the sums is worth; it and ``bias`` (outputs,) are in steps.
    ``total`` (outputs,) is scratch.
    """
    for i in range(len(out)):
        _total(sums, i, scale, bias, total)
        for j in range(total.size):
            out[i, j] = requantised_and_leaked(total[j], limit, slope)


@compiled
def requantise_and_add(
    sums: Sums,
    scale: float,
    bias: Doubles,
    limit: float,
    residual: Floats,
    total: Doubles,
    out: Floats,
) -> None:
    """Fill ``out`` with the requantised sum of ``residual`` and the requantised values."""
    for i in range(len(out)):
        _total(sums, i, scale, bias, total)
        for j in range(total.size):
            out[i, j] = requantised_and_added(total[j], residual[i, j], limit)
