"""3x3 convolutions with a quarter of the multiplications, for g_s on the CPU.

A tile of 4x4 results needs 6x6 inputs. Seen as polynomials, both are evaluated at five points and
at infinity along each axis, multiplied there, and interpolated: 36 products for each pair of an
input and an output channel instead of 144. Over all tiles these are 36 products of matrices.

Results differ from plain convolutions by rounding, so this is for g_s alone: g_a's rounding decides
which bytes a file has. The points 0, 5/8, -5/8, 3/2, -3/2 round less than the usual 0, 1, -1, 2, -2
and their powers are exact in float32.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, after
Winograd, "Arithmetic Complexity of Computations", SIAM 1980.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TypeGuard

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bench.codecs.agvae.threads import at_once
from bench.image.numba_jit import compiled_fused

Floats = npt.NDArray[np.float32]

SIDE = 4
"""Of a tile of results."""

STRIP = 128
"""Tiles transformed at a time: large enough for quick products, small enough for caches."""

_SPAN, _POINTS = SIDE + 2, (SIDE + 2) ** 2
_LEAST = 32  # tiles of a thread, about: products of fewer are slow
_FEWEST = 24  # channels: with fewer, additions cost more than products save
_GROUP = 192  # numbers of a row, at least: shorter loops spend their time on starting
_ROWS = 16  # channels whose weights are transformed at a time: little is held in float64
_A, _A2, _A3 = np.float32(0.625), np.float32(0.625**2), np.float32(0.625**3)
_B, _B2, _B3 = np.float32(1.5), np.float32(1.5**2), np.float32(1.5**3)
_SUM, _PRODUCT = np.float32(0.625**2 + 1.5**2), np.float32(0.625**2 * 1.5**2)


def suits(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Return whether a layer is a 3x3 convolution that ``Winograd`` computes, and sooner."""
    return isinstance(layer, nn.Conv2d) and (
        (layer.kernel_size, layer.groups, layer.padding_mode) == ((3, 3), 1, "zeros")
        and layer.stride == layer.padding == layer.dilation == (1, 1)
        and (layer.weight.dtype, layer.bias is None) == (torch.float32, False)
        and layer.in_channels >= _FEWEST
    )


class Winograd(nn.Module):
    """A 3x3 convolution, and what follows it at no cost: a ReLU or a pixel shuffle.

    Parameters
    ----------
    conv
        One that ``suits``.
    relu
        Whether results under zero become zero.
    factor
        Of the pixel shuffle; 1: none.
    """

    def __init__(self, conv: nn.Conv2d, *, relu: bool = False, factor: int = 1) -> None:
        super().__init__()
        assert conv.bias is not None
        # channels in the order in which they lie in the shuffled picture
        places = factor * factor
        weight = conv.weight.detach().reshape(-1, places, conv.in_channels, 3, 3).transpose(0, 1)
        bias = conv.bias.detach().reshape(-1, places).T
        self._weight = transformed(weight)
        self._bias = bias.reshape(factor, -1).contiguous().numpy()
        self._lowest = 0.0 if relu else -np.inf
        self._factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """(1, C, H, W) -> (1, K, factor H, factor W), both float32 with channels last."""
        (picture,) = x.permute(0, 2, 3, 1)
        source = picture.contiguous().numpy()
        height, width, _ = source.shape
        outputs, factor = self._weight.shape[2], self._factor
        out = torch.empty(1, height * factor, width * factor, outputs // factor**2)
        target = out.numpy().reshape(height * factor, width, -1)
        tiles = -(-height // SIDE) * -(-width // SIDE)
        threads = torch.get_num_threads()
        bands = _cut(0, tiles, min(threads, -(-tiles // _LEAST)))
        at_once(lambda band: self._convolve(source, target, *band), bands, most=threads)
        return out.permute(0, 3, 1, 2)

    def _convolve(self, source: Floats, target: Floats, start: int, stop: int) -> None:
        """Fill tiles ``start`` to ``stop`` of a result, counted row by row.

        ``source`` is (H, W, C), ``target`` (factor H, W, K / factor).
        """
        inputs, outputs = self._weight.shape[1:]
        strips = _cut(start, stop, -(-(stop - start) // STRIP))
        most = max(last - first for first, last in strips)
        values = torch.empty(_POINTS * most * inputs)
        products = torch.empty(_POINTS * most * outputs)
        before = np.empty((2, _POINTS * max(inputs, _GROUP)), np.float32)
        after = np.empty((2, SIDE * _SPAN * max(outputs, _GROUP)), np.float32)
        for first, last in strips:
            n = last - first
            x, y = values[: _POINTS * n * inputs], products[: _POINTS * n * outputs]
            evaluate(source, first, before, x.numpy())
            shape = (_POINTS, n, -1)
            torch.bmm(x.view(shape), self._weight, out=y.view(shape))
            interpolate(y.numpy(), first, self._bias, self._lowest, after, target)


def _cut(start: int, stop: int, parts: int) -> list[tuple[int, int]]:
    """Return a range in parts of equal length, up to one: where each starts and stops."""
    return list(pairwise(start + (stop - start) * i // parts for i in range(parts + 1)))


def transformed(weight: Tensor) -> Tensor:
    """Return weights (P, K, C, 3, 3) at all pairs of points, (36, C, P K), rounded once."""
    a, b = float(_A), float(_B)
    scales = [(p, 2 * p * p * (p * p - q * q)) for p, q in ((a, b), (-a, b), (b, a), (-b, a))]
    line = [[1 / (a * a * b * b), 0, 0], *([1 / s, p / s, p * p / s] for p, s in scales), [0, 0, 1]]
    one = torch.tensor(line, dtype=torch.float64)
    both = torch.kron(one, one)
    outputs, inputs = weight.shape[:2].numel(), weight.shape[2]
    out = torch.empty(_POINTS, inputs, outputs)
    exact = torch.empty(_POINTS, _ROWS * outputs, dtype=torch.float64)
    for first in range(0, inputs, _ROWS):
        channels = slice(first, first + _ROWS)
        taken = weight[:, :, channels].permute(3, 4, 2, 0, 1).reshape(9, -1).double()
        found = exact[:, : taken.shape[1]]
        torch.mm(both, taken, out=found)
        out[:, channels] = found.view(_POINTS, -1, outputs)
    return out


@compiled_fused
def _evaluate_line(source: Floats, step: int, size: int, out: Floats, skip: int) -> None:
    """Write the values at six points of polynomials whose six coefficients are given.

    Coefficients are ``size`` long and ``step`` apart in ``source``, values ``skip`` in ``out``.
    """
    d0, d1 = source[:size], source[step : step + size]
    d2, d3 = source[2 * step : 2 * step + size], source[3 * step : 3 * step + size]
    d4, d5 = source[4 * step : 4 * step + size], source[5 * step : 5 * step + size]
    t0, t1 = out[:size], out[skip : skip + size]
    t2, t3 = out[2 * skip : 2 * skip + size], out[3 * skip : 3 * skip + size]
    t4, t5 = out[4 * skip : 4 * skip + size], out[5 * skip : 5 * skip + size]
    for c in range(size):  # one array is written at a time: LLVM then uses vectors
        t0[c] = _PRODUCT * d0[c] - _SUM * d2[c] + d4[c]
    for c in range(size):
        t1[c] = (d4[c] - _B2 * d2[c]) + _A * (d3[c] - _B2 * d1[c])
    for c in range(size):
        t2[c] = (d4[c] - _B2 * d2[c]) - _A * (d3[c] - _B2 * d1[c])
    for c in range(size):
        t3[c] = (d4[c] - _A2 * d2[c]) + _B * (d3[c] - _A2 * d1[c])
    for c in range(size):
        t4[c] = (d4[c] - _A2 * d2[c]) - _B * (d3[c] - _A2 * d1[c])
    for c in range(size):
        t5[c] = _PRODUCT * d1[c] - _SUM * d3[c] + d5[c]


@compiled_fused
def _gather(x: Floats, start: int, count: int, out: Floats) -> None:
    """Copy the inputs of tiles to ``out``, of shape (6, 6, count, C); zeros outside ``x``."""
    height, width, n = x.shape
    columns = (width + SIDE - 1) // SIDE
    for t in range(count):
        top = (start + t) // columns * SIDE - 1
        left = (start + t) % columns * SIDE - 1
        for i in range(_POINTS):
            row, column = top + i // _SPAN, left + i % _SPAN
            target = out[(i * count + t) * n :]
            if 0 <= row < height and 0 <= column < width:
                pixel = x[row, column]
                for c in range(n):
                    target[c] = pixel[c]
            else:
                for c in range(n):
                    target[c] = 0


@compiled_fused
def evaluate(x: Floats, start: int, half: Floats, out: Floats) -> None:
    """Fill ``out``, flat (36, T, C), with tiles from ``start`` on of ``x`` (H, W, C), at points.

    ``half``, two rows of at least 36 C, is scratch: as many tiles as fit go through it at a time.
    """
    n = x.shape[2]
    tiles = out.size // (_POINTS * n)
    inputs, lines = half[0], half[1]
    group = inputs.size // (_POINTS * n)
    for t in range(0, tiles, group):
        count = min(group, tiles - t)
        _gather(x, start + t, count, inputs)
        m = count * n
        _evaluate_line(inputs, _SPAN * m, _SPAN * m, lines, _SPAN * m)
        for i in range(_SPAN):
            first = (i * _SPAN * tiles + t) * n
            _evaluate_line(lines[i * _SPAN * m :], m, m, out[first:], tiles * n)


@compiled_fused
def _interpolate_line(source: Floats, step: int, size: int, out: Floats, skip: int) -> None:
    """Write four results from values at six points, both laid out as in ``_evaluate_line``."""
    m0, m1 = source[:size], source[step : step + size]
    m2, m3 = source[2 * step : 2 * step + size], source[3 * step : 3 * step + size]
    m4, m5 = source[4 * step : 4 * step + size], source[5 * step : 5 * step + size]
    o0, o1 = out[:size], out[skip : skip + size]
    o2, o3 = out[2 * skip : 2 * skip + size], out[3 * skip : 3 * skip + size]
    for c in range(size):
        o0[c] = m0[c] + (m1[c] + m2[c]) + (m3[c] + m4[c])
    for c in range(size):
        o1[c] = _A * (m1[c] - m2[c]) + _B * (m3[c] - m4[c])
    for c in range(size):
        o2[c] = _A2 * (m1[c] + m2[c]) + _B2 * (m3[c] + m4[c])
    for c in range(size):
        o3[c] = _A3 * (m1[c] - m2[c]) + _B3 * (m3[c] - m4[c]) + m5[c]


@compiled_fused
def interpolate(
    m: Floats, start: int, bias: Floats, lowest: float, half: Floats, out: Floats
) -> None:
    """Fill tiles from ``start`` on of ``out`` (S H, W, K / S) from products ``m``, flat (36, T, K).

    ``bias`` is (S, K / S); results under ``lowest`` become that. ``half``, two rows of at least
    24 K, is scratch.
    """
    parts, n = bias.shape
    height, width = len(out) // parts, out.shape[1]
    columns = (width + SIDE - 1) // SIDE
    k = parts * n
    tiles = m.size // (_POINTS * k)
    least = np.float32(lowest)
    lines, line = half[0], half[1]
    group = lines.size // (SIDE * _SPAN * k)
    for t in range(0, tiles, group):
        count = min(group, tiles - t)
        size = count * k
        for j in range(_SPAN):
            first = (j * tiles + t) * k
            _interpolate_line(m[first:], _SPAN * tiles * k, size, lines[j * size :], _SPAN * size)
        for g in range(count):
            top = (start + t + g) // columns * SIDE
            left = (start + t + g) % columns * SIDE
            for i in range(min(SIDE, height - top)):
                _interpolate_line(lines[i * _SPAN * size + g * k :], size, k, line, k)
                for j in range(min(SIDE, width - left)):
                    for s in range(parts):
                        o = out[(top + i) * parts + s, left + j]
                        v, b = line[j * k + s * n :], bias[s]
                        for c in range(n):
                            value = v[c] + b[c]
                            o[c] = least if value < least else value  # noqa: FURB136 - keeps NaN
