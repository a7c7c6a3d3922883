"""Fixed-point arithmetic carried by float64: every result is an exact integer, on any machine.

A decoder must compute the very table index that its encoder used, or everything after the first
difference is noise. Floating-point networks cannot promise that: sums change with the order of
summation, so with the device, the thread count, the batch size and the library version.

Here an activation is an integer number of steps of 2^-8 and a weight is a multiple of 2^-12.
Products and sums are then multiples of ``UNIT`` and, as long as the sum of their magnitudes stays
under 2^53 units, each one is represented exactly in float64, so *any* order of summation gives the
same bits. ``Affine`` computes that bound from its weights and refuses to exist where it fails;
activations cannot exceed it because every layer saturates at ``LIMIT``.
"""

from __future__ import annotations

import decimal
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from bench.codecs.agvae.integer import int16_matmul, requantise_kernels
from bench.codecs.agvae.integer.int16_kernel import Words
from bench.codecs.agvae.model.layers import SLOPE

ACTIVATION_BITS = 8
"""Activations, mu, y_hat and log-scales are multiples of 2^-8."""

WEIGHT_BITS = 12
"""Weights, biases and inverse hyper gains are multiples of 2^-12."""

STEP = 1 << ACTIVATION_BITS

LIMIT = 1 << 22
"""Saturation of every activation, in steps (2^14 = 16,384 in units of the latent)."""

UNIT = 2.0**-WEIGHT_BITS * SLOPE
"""What every partial sum is a multiple of: the weight's grid times the leaky slope."""

LOG_GAIN_BITS = 16
"""Logarithms of the inverse hyper gains are stored as multiples of 2^-16."""


def to_grid(weight: Tensor) -> Tensor:
    """Return float64 weights rounded (half to even) to the grid of 2^-12."""
    return torch.round(weight.double() * 2.0**WEIGHT_BITS) * 2.0**-WEIGHT_BITS


def requantise(accumulator: Tensor) -> Tensor:
    """Round (half to even) and saturate a sum, in place: back to an integer number of steps."""
    if _on_cpu(accumulator):
        requantise_kernels.requantise(accumulator.numpy().reshape(-1), float(LIMIT))
        return accumulator
    return accumulator.round_().clamp_(-LIMIT, LIMIT)


def requantise_and_leak(accumulator: Tensor, slope: float = SLOPE) -> Tensor:
    """Return ``requantise(accumulator)``, what is negative times ``slope``, in place."""
    if _on_cpu(accumulator):
        requantise_kernels.requantise_and_leak(accumulator.numpy().reshape(-1), float(LIMIT), slope)
        return accumulator
    requantised = requantise(accumulator)
    return requantised if slope == 1 else torch.nn.functional.leaky_relu_(requantised, slope)


def requantise_and_add(accumulator: Tensor, residual: Tensor) -> Tensor:
    """Return ``requantise(residual + requantise(accumulator))``, in the accumulator's place."""
    if _on_cpu(accumulator) and _on_cpu(residual):
        flat = accumulator.numpy().reshape(-1)
        requantise_kernels.requantise_and_add(flat, residual.numpy().reshape(-1), float(LIMIT))
        return accumulator
    return requantise(requantise(accumulator).add_(residual))


def _on_cpu(x: Tensor) -> bool:
    """Return whether the kernels of ``requantise_kernels`` may work on a tensor's memory."""
    floats = (torch.float32, torch.float64)
    return x.device.type == "cpu" and x.is_contiguous() and x.dtype in floats


def leak(x: Tensor) -> Tensor:
    """Leaky ReLU with slope 1/8, in place. Exact: the result is a multiple of 1/8 step."""
    return torch.nn.functional.leaky_relu_(x, SLOPE)


class Affine:
    """x W + b over the last axis, on the grid, exact by construction.

    Parameters
    ----------
    weight
        Float weights of shape (inputs, outputs), rounded to the grid here.
    bias
        Float biases of shape (outputs,), likewise.
    leaky
        Whether activations come from a leaky ReLU: multiples of 1/8 step, not of a step.

    Raises
    ------
    ValueError
        If a sum of magnitudes could reach 2^53 units.
    """

    def __init__(self, weight: Tensor, bias: Tensor, *, leaky: bool = False) -> None:
        self.weight = to_grid(weight).contiguous()
        self.bias = to_grid(bias) * STEP
        magnitude = self.weight.abs().sum(0) * LIMIT + self.bias.abs()
        worst = float(magnitude.max()) / UNIT
        if not worst < 2.0**53:
            raise ValueError(f"weights too large for exact sums: {worst:.3g} units, limit 2^53")
        fraction = SLOPE if leaky else 1.0
        self._unit = 2.0**-WEIGHT_BITS * fraction
        self._limbs = int16_matmul.limbs(self.weight * 2.0**WEIGHT_BITS, 1 / fraction)
        # Requantised values have 22 bits before or after a leak: float32 holds them exactly.
        self._dtype = torch.float64 if self._limbs is None else torch.float32

    def __call__(self, x: Tensor) -> Tensor:
        """Return a requantised tensor: (N, inputs) -> (N, outputs)."""
        return self.requantised(x, 1.0)

    def leaky(self, x: Tensor) -> Tensor:
        """Return what ``leak`` makes of the requantised tensor: (N, inputs) -> (N, outputs)."""
        return self.requantised(x, SLOPE)

    def plus(self, x: Tensor, residual: Tensor) -> Tensor:
        """Return the requantised sum of ``residual``, (N, outputs), and the requantised tensor."""
        digits = self.digits(x)
        if digits is None:
            return requantise_and_add(self.sums(x), residual).to(self._dtype)
        assert self._limbs is not None
        sums, bias = self._limbs.sums(digits), self.bias.numpy()
        added = residual.contiguous().numpy()
        out = np.empty(added.shape, np.float32)
        int16_matmul.requantise_and_add(sums, self._unit, bias, float(LIMIT), added, out)
        return torch.from_numpy(out)

    def requantised(self, x: Tensor, slope: float) -> Tensor:
        """Return the requantised tensor, what is negative times ``slope``."""
        digits = self.digits(x)
        if digits is None:
            return requantise_and_leak(self.sums(x), slope).to(self._dtype)
        return self.requantised_digits(digits, slope)

    def digits(self, x: Tensor, taps: int = 1) -> Words | None:
        """Return ``Limbs.digits`` of activations (N, inputs), None where they cannot be used."""
        return None if self._limbs is None else self._limbs.digits(x, taps)

    def requantised_digits(self, digits: Words, slope: float) -> Tensor:
        """Return ``requantised`` of activations that are in limbs already."""
        assert self._limbs is not None
        sums, bias = self._limbs.sums(digits), self.bias.numpy()
        out = np.empty((sums.shape[1], bias.size), np.float32)
        int16_matmul.requantise(sums, self._unit, bias, float(LIMIT), slope, out)
        return torch.from_numpy(out)

    def sums(self, x: Tensor) -> Tensor:
        """Return what is still to be requantised: (N, inputs) -> (N, outputs)."""
        return torch.addmm(self.bias, x.double(), self.weight)


class Depthwise:
    """3x3 convolution of each channel by itself, zero padding, on the grid.

    Weights (C, 1, 3, 3) and biases (C,) are rounded to the grid here.

    Raises
    ------
    ValueError
        If a sum of magnitudes could reach 2^53 units.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        taps = weight.reshape(weight.shape[0], 9).T
        checked = Affine(taps, bias)
        self.weight, self.bias = checked.weight, checked.bias

    def __call__(self, x: Tensor) -> Tensor:
        """Return a requantised tensor: (B, H, W, C) -> (B, H, W, C)."""
        if _on_cpu(x):
            out = torch.empty_like(x)
            weight, bias = self.weight.numpy(), self.bias.numpy()
            scratch = np.empty_like(bias)
            requantise_kernels.depthwise(
                x.numpy(), weight, bias, float(LIMIT), scratch, out.numpy()
            )
            return out
        shifted = _shifted(pad(x))
        total = torch.addcmul(self.bias, shifted[0], self.weight[0])
        for part, weight in zip(shifted[1:], self.weight[1:], strict=True):
            total.addcmul_(part, weight)
        return requantise(total)


class Conv3:
    """3x3 convolution as one matrix product, zero padding, on the grid.

    It is written out, not left to a convolution library, because those may choose algorithms
    (Winograd, FFT) whose intermediate values leave the grid. Weights (outputs, inputs, 3, 3) and
    biases (outputs,) are rounded to the grid here. With ``shuffle`` a pixel shuffle follows:
    outputs = 4 C, the result has twice the sides; ``leaky`` is as for ``Affine``.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor, *, shuffle: bool = False, leaky: bool = False
    ) -> None:
        self.shuffle = shuffle
        outputs, inputs = weight.shape[:2]
        taps = weight.permute(2, 3, 1, 0).reshape(9 * inputs, outputs)
        if shuffle:
            # Channel c of sub-position d lies at 4 c + d; d first makes the shuffle a copy of rows.
            taps = taps.reshape(9 * inputs, outputs // 4, 4).transpose(1, 2)
            taps = taps.reshape(9 * inputs, outputs)
            bias = bias.reshape(outputs // 4, 4).T.reshape(outputs)
        self.affine = Affine(taps, bias, leaky=leaky)

    def __call__(self, x: Tensor, slope: float = 1.0) -> Tensor:
        """Return a requantised tensor, what is negative times ``slope``.

        (B, H, W, inputs) -> (B, H, W, outputs), or shuffled.
        """
        batch, height, width, _ = x.shape
        out = self._neighbourhoods(pad(x), slope)
        if not self.shuffle:
            return out.reshape(batch, height, width, -1)
        out = out.reshape(batch, height, width, 2, 2, -1).transpose(2, 3)
        return out.reshape(batch, 2 * height, 2 * width, -1)

    def _neighbourhoods(self, padded: Tensor, slope: float) -> Tensor:
        """Return the requantised products of all neighbourhoods, (B H W, outputs)."""
        digits = self.affine.digits(padded.reshape(-1, padded.shape[3]), 9)
        if digits is None:
            flat = torch.cat(_shifted(padded), 3)
            return requantise_and_leak(self.affine.sums(flat.reshape(-1, flat.shape[3])), slope)
        limbs = torch.from_numpy(digits).reshape(-1, *padded.shape[1:])
        around = torch.cat(_shifted(limbs), 3)
        flat_limbs = around.reshape(len(digits), -1, around.shape[3]).numpy()
        return self.affine.requantised_digits(flat_limbs, slope)


def _shifted(padded: Tensor) -> list[Tensor]:
    """Return the nine neighbours of every position of a padded tensor, each (B, H, W, C)."""
    height, width = padded.shape[1] - 2, padded.shape[2] - 2
    return [
        padded[:, row : row + height, column : column + width]
        for row in range(3)
        for column in range(3)
    ]


def pad(x: Tensor) -> Tensor:
    """Return (B, H, W, C) with one position of zeros on each side."""
    return torch.nn.functional.pad(x, (0, 0, 1, 1, 1, 1))


def log_table(log_inverse: Tensor) -> tuple[tuple[int, ...], ...]:
    """Return a table of log-gains (levels, C) as integers in steps of 2^-16.

    Raises
    ------
    ValueError
        If a gain exceeds e^16, beyond which a gained integer might not be exact.
    """
    if not float(log_inverse.abs().max()) <= 16:
        raise ValueError("inverse hyper gains too large for exact products: limit e^16")
    scaled = torch.round(log_inverse.double() * 2.0**LOG_GAIN_BITS).long()
    return tuple(tuple(row) for row in scaled.tolist())


@lru_cache(maxsize=64)
def exponential(below: tuple[int, ...], above: tuple[int, ...], share: int) -> tuple[int, ...]:
    """Return round(4096 exp(((256 - share) below + share above) / 2^24)) of each channel.

    Library exponentials differ in the last bit between machines; decimal's is correctly rounded
    by its specification, so this table of a few hundred numbers is the same everywhere.
    """
    context = decimal.Context(prec=40, rounding=decimal.ROUND_HALF_EVEN)
    scale = decimal.Decimal(1 << (LOG_GAIN_BITS + 8))
    grid = decimal.Decimal(1 << WEIGHT_BITS)
    gains = []
    for low, high in zip(below, above, strict=True):
        log_gain = context.divide(decimal.Decimal((256 - share) * low + share * high), scale)
        gain = context.multiply(context.exp(log_gain), grid)
        gains.append(int(gain.to_integral_value(rounding=decimal.ROUND_HALF_EVEN)))
    return tuple(gains)
