"""The asymmetric Gaussian entropy model in training form: bits that gradients flow through.

The density is the two-piece normal: mode mu, scale s_l to its left and s_r to its right,
continuous at mu (the paper names the three parameters and leaves the bin mass open)::

    f(x) = sqrt(2 / pi) / (s_l + s_r) exp(-(x - mu)^2 / (2 s^2)),  s = s_l if x < mu else s_r

With s_l = s_r it is the Gaussian. The coder's integer tables are in ``frequency_tables.py``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bench.codecs.agvae.model.layers import lower_bound

SCALE_MIN = 0.11
SCALE_MAX = 64.0

_LOG_MIN, _LOG_MAX = math.log(SCALE_MIN), math.log(SCALE_MAX)
_MASS_MIN = 1e-9


def standard_normal_cdf(x: Tensor) -> Tensor:
    """Return Phi(x), accurate in the left tail."""
    return 0.5 * torch.erfc(-x * 2**-0.5)


def split_normal_bits(residual: Tensor, log_left: Tensor, log_right: Tensor) -> Tensor:
    """Return -log2 of the mass of the unit bin around ``residual``.

    Parameters
    ----------
    residual
        y - mu: rounded for the real rate, noisy for its training proxy. Any shape.
    log_left, log_right
        Natural logarithms of s_l and s_r, of the same shape.

    Returns
    -------
    Tensor
        Bits per element, at most -log2(1e-9).
    """
    left, right = torch.exp(log_left), torch.exp(log_right)
    low, high = residual - 0.5, residual + 0.5
    # Differences of Phi on the left of the mode for the left piece and, mirrored, for the right:
    # tails are subtracted where both are small, so nothing cancels.
    below = left * _between(low.clamp(max=0) / left, high.clamp(max=0) / left)
    above = right * _between(-high.clamp(min=0) / right, -low.clamp(min=0) / right)
    mass = 2 / (left + right) * (below + above)
    return -torch.log2(lower_bound(mass, _MASS_MIN))


def _between(low: Tensor, high: Tensor) -> Tensor:
    return standard_normal_cdf(high) - standard_normal_cdf(low)


def bound_log_scale(log_scale: Tensor) -> Tensor:
    """Return ``log_scale`` held inside the coder's range of scales."""
    bounded = lower_bound(log_scale, _LOG_MIN)
    return torch.minimum(bounded, torch.full_like(bounded, _LOG_MAX))


def tie_scales(log_left: Tensor, log_right: Tensor) -> tuple[Tensor, Tensor]:
    """Return both scales set to their geometric mean: the Gaussian special case."""
    tied = 0.5 * (log_left + log_right)
    return tied, tied
