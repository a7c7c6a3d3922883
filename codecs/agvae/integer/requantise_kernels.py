"""The element-wise half of the fixed-point networks on the CPU: one pass over memory each.

The sums of ``fixed_point.py`` are matrix products, which libraries do well; what comes between them
(rounding, saturation, leaky slope, residual, depthwise taps) PyTorch does in a pass per operation,
and a depthwise convolution in more than ten. Every operation here is the exact one of
``fixed_point.py``, so results are the same bits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bench.image.numba_jit import compiled

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32] | Doubles


@compiled
def requantised(v: float, limit: float) -> float:
    """Return a number rounded (half to even) and saturated."""
    v = np.rint(v)
    v = min(v, limit)
    return max(v, -limit)


@compiled
def requantised_and_leaked(v: float, limit: float, slope: float) -> float:
    """Return a number requantised, and scaled if it is negative."""
    v = requantised(v, limit)
    return v if v >= 0 else v * slope


@compiled
def requantised_and_added(v: float, residual: float, limit: float) -> float:
    """Return a number requantised, plus an integer, saturated."""
    v = requantised(v, limit) + residual
    v = min(v, limit)
    return max(v, -limit)


@compiled
def requantise(x: Doubles, limit: float) -> None:
    """Requantise a flat array in place."""
    for i in range(x.size):
        x[i] = requantised(x[i], limit)


@compiled
def requantise_and_leak(x: Doubles, limit: float, slope: float) -> None:
    """Requantise a flat array in place, then scale what is negative."""
    for i in range(x.size):
        x[i] = requantised_and_leaked(x[i], limit, slope)


@compiled
def requantise_and_add(x: Doubles, residual: Floats, limit: float) -> None:
    """Requantise a flat array in place, add another and requantise the sum."""
    for i in range(x.size):
        x[i] = requantised_and_added(x[i], residual[i], limit)


@compiled
def depthwise(
    x: Floats, weight: Doubles, bias: Doubles, limit: float, total: Doubles, out: Floats
) -> None:
    """Fill ``out`` with the requantised 3x3 depthwise convolution of ``x``, zeros around it.

    ``x`` and ``out`` are (B, H, W, C), ``weight`` (9, C), row by row, ``bias`` (C,); ``total``
    (C,) is scratch.
    """
    batch, height, width, channels = x.shape
    for b in range(batch):
        for row in range(height):
            for column in range(width):
                for c in range(channels):
                    total[c] = bias[c]
                for tap in range(9):
                    above, beside = row + tap // 3 - 1, column + tap % 3 - 1
                    if 0 <= above < height and 0 <= beside < width:
                        source, w = x[b, above, beside], weight[tap]
                        for c in range(channels):
                            total[c] += np.float64(source[c]) * w[c]
                for c in range(channels):
                    out[b, row, column, c] = requantised(total[c], limit)
