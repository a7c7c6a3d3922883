"""How constant m m' is over the levels, per channel: what the paper's interpolation assumes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.codecs.agvae.weights import checkpoints
from bench.codecs.agvae.weights.checkpoints import Manifest

UNITS = {"y": "gain_y", "z": "gain_z"}


@dataclass(frozen=True, slots=True)
class Drift:
    """Of one gain unit, over its channels.

    Attributes
    ----------
    network, unit
        Which: name of the weights, ``y`` or ``z``.
    channels
        How many.
    median_percent, high_percent, max_percent
        Median, 95th percentile and maximum over channels of (largest / smallest m m' - 1).
    """

    network: str
    unit: str
    channels: int
    median_percent: float
    high_percent: float
    max_percent: float


def products(network: Manifest) -> pd.DataFrame:
    """Return m m' of every level and channel of a gained network.

    Returns
    -------
    DataFrame
        ``network, unit, channel, level, gain, inverse, product, departure_percent``; the last is
        the product over its geometric mean over the levels, less one.
    """
    tensors = checkpoints.load(network)
    parts = []
    for unit, prefix in UNITS.items():
        log_gain = tensors[f"{prefix}.log_gain"].double().numpy()
        log_inverse = tensors[f"{prefix}.log_inverse"].double().numpy()
        log_product = log_gain + log_inverse
        levels, channels = log_product.shape
        departure = np.expm1(log_product - log_product.mean(0))
        parts.append(
            pd.DataFrame(
                {
                    "network": network.name,
                    "unit": unit,
                    "channel": np.tile(np.arange(channels), levels),
                    "level": np.repeat(np.arange(levels), channels),
                    "gain": np.exp(log_gain).ravel(),
                    "inverse": np.exp(log_inverse).ravel(),
                    "product": np.exp(log_product).ravel(),
                    "departure_percent": 100 * departure.ravel(),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def drifts(table: pd.DataFrame) -> list[Drift]:
    """Return the summary of every network and unit in ``products`` tables."""
    found = []
    for (network, unit), group in table.groupby(["network", "unit"], sort=False):
        ranges = _ranges_percent(group)
        found.append(
            Drift(
                str(network),
                str(unit),
                len(ranges),
                float(np.median(ranges)),
                float(np.quantile(ranges, 0.95)),
                float(ranges.max()),
            )
        )
    return found


def _ranges_percent(group: pd.DataFrame) -> NDArray[np.float64]:
    """Return each channel's largest over smallest product, less one, in percent."""
    by_channel = group.groupby("channel")["product"]
    ratio = by_channel.max() / by_channel.min()
    return np.asarray(100 * (ratio - 1), dtype=np.float64)
