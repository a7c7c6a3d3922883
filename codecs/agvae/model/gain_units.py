"""Gain units: one network, any rate (Cui et al., CVPR 2021, eqs. 2-8).

A gain unit multiplies channel c by m[s, c] before rounding, a separate inverse by m'[s, c] after.
Both tables are stored as logarithms, so they stay positive and the paper's exponential
interpolation m_r^l m_t^(1-l) is linear in what is stored.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bench.codecs.agvae.model.config import Config


class GainUnit(nn.Module):
    """A pair of tables: gain and inverse gain, level by channel.

    Parameters
    ----------
    channels
        Of the tensor that is gained.
    log_start
        Log-gain of each level at the start, shape (levels,); the inverse starts at the reciprocal.
        sqrt(lambda_s / lambda_ref) spreads the levels over the rates from the first step
        (with ones everywhere they bunch up: GainedVAE, issue 2).
    """

    def __init__(self, channels: int, log_start: Tensor) -> None:
        super().__init__()
        start = log_start[:, None].repeat(1, channels)
        self.log_gain = nn.Parameter(start)
        self.log_inverse = nn.Parameter(-start)

    def gain(self, level: Tensor) -> Tensor:
        """Return m at real levels: (B,) in [0, levels - 1] -> (B, C, 1, 1)."""
        return at_level(self.log_gain, level)

    def inverse(self, level: Tensor) -> Tensor:
        """Return m' at real levels: (B,) in [0, levels - 1] -> (B, C, 1, 1)."""
        return at_level(self.log_inverse, level)


class NoGain(nn.Module):
    """Stands where a gain unit would, and does nothing; has no parameters."""

    def gain(self, level: Tensor) -> Tensor:
        """Return ones, (B, 1, 1, 1)."""
        return torch.ones_like(level, dtype=torch.float32)[:, None, None, None]

    def inverse(self, level: Tensor) -> Tensor:
        """Return ones, (B, 1, 1, 1)."""
        return self.gain(level)


def at_level(log_table: Tensor, level: Tensor) -> Tensor:
    """Interpolate exponentially in log-gains: (levels, C) -> gains (B, C, 1, 1).

    ``level`` holds real levels up to levels - 1, (B,); below 0 the line through levels 0 and 1
    goes on.
    """
    return torch.exp(interpolated(log_table, level))[:, :, None, None]


def interpolated(table: Tensor, level: Tensor) -> Tensor:
    """Interpolate linearly between levels: (levels, C) at real levels (B,) -> (B, C)."""
    below = level.floor().clamp(0, table.shape[0] - 2).long()
    share = (level - below)[:, None]
    return (1 - share) * table[below] + share * table[below + 1]


def gain_unit(channels: int, log_start: Tensor, *, gain: bool) -> GainUnit | NoGain:
    """Return a gain unit, or its absence."""
    return GainUnit(channels, log_start) if gain else NoGain()


def log_start(lambdas: tuple[float, ...]) -> Tensor:
    """Return log sqrt(lambda_s / lambda_ref), shape (levels,); ref is the middle level."""
    log_lambda = torch.log(torch.tensor(lambdas))
    return 0.5 * (log_lambda - log_lambda[len(lambdas) // 2])


def level_gains(tables: Mapping[str, Tensor], level: int) -> dict[str, Tensor]:
    """Return ``gain_y.gain`` and its like at a trained level, (C,), from a gained state dict."""
    return {
        f"{unit}.{word}": tables[f"{unit}.log_{word}"][level].exp()
        for unit in ("gain_y", "gain_z")
        for word in ("gain", "inverse")
    }


def beside(config: Config) -> tuple[tuple[str, str, str], ...]:
    """Return each gain unit with the convolutions before its gain and after its inverse."""
    return ("gain_y", f"g_a.{sum(config.depth) + 3}", "g_s.0.0"), ("gain_z", "h_a.4", "h_s.0.0")


def folding(config: Config, gains: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what makes a gained network one without gain: name of a tensor -> its factor.

    Multiplied by these, which broadcast, the convolutions beside the gain units compute what both
    did together at the level of ``level_gains``. h_a and the context see the gained y in either
    network, so nothing else changes.
    """
    factors = {}
    for unit, before, after in beside(config):
        factors[f"{before}.weight"] = gains[f"{unit}.gain"][:, None, None, None]
        factors[f"{before}.bias"] = gains[f"{unit}.gain"]
        factors[f"{after}.weight"] = gains[f"{unit}.inverse"][:, None, None]
    return factors
