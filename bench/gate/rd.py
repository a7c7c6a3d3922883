"""Distance between two rate-distortion curves of one image: BD-rate, and dB at equal rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.analysis import bjontegaard
from bench.gate.rows import Row

Floats = NDArray[np.float64]

_NAMES = {"psnr_db": "PSNR", "ms_ssim": "MS-SSIM"}
_MIN_POINTS = 2


def name(score: str) -> str:
    """Return the title of a score."""
    return _NAMES[score]


def points(rows: Sequence[Row], score: str) -> list[tuple[float, float]]:
    """Return (bpp, dB) of the rows that have both finite, by rising rate."""
    found = [(row.bpp, row.quality_db(score)) for row in rows]
    return sorted(
        (rate, quality)
        for rate, quality in found
        if quality is not None and math.isfinite(quality) and math.isfinite(rate)
    )


def bd_rate_percent(before: Sequence[Row], after: Sequence[Row], score: str) -> float:
    """Return the BD-rate (PCHIP) of one image's points now against the baseline's, in percent.

    NaN where it is not computable: fewer than 4 points, or a curve that does not rise.
    """
    old, new = (points(rows, score) for rows in (before, after))
    curves = [
        bjontegaard.Curve(*zip(*p, strict=True)) if p else bjontegaard.Curve((), ())
        for p in (old, new)
    ]
    rate = bjontegaard.compare(curves[0], curves[1]).bd_rate_percent
    return math.nan if rate is None else rate


def gain_at_equal_rate_db(before: Sequence[Row], row: Row, score: str) -> float:
    """Return how far ``row`` lies over the curve of ``before``, in dB; NaN where unknown.

    Between points the curve is a monotone cubic (PCHIP) over log rate; beyond its ends it goes on
    as the straight line through the last two points.
    """
    curve = _strictly_rising(points(before, score))
    quality = row.quality_db(score)
    if len(curve) < _MIN_POINTS or quality is None or not math.isfinite(quality):
        return math.nan
    rates = np.log([rate for rate, _ in curve])
    values = np.array([value for _, value in curve], np.float64)
    at = math.log(row.bpp)
    return quality - _on_curve(rates, values, at)


def _on_curve(rates: Floats, values: Floats, at: float) -> float:
    from scipy.interpolate import PchipInterpolator

    if rates[0] <= at <= rates[-1]:
        return float(PchipInterpolator(rates, values)(at))
    a, b = (0, 1) if at < rates[0] else (-2, -1)
    slope = (values[b] - values[a]) / (rates[b] - rates[a])
    return float(values[b] + slope * (at - rates[b]))


def _strictly_rising(curve: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Leave out points of a rate that is there already; the better one stays."""
    best: dict[float, float] = {}
    for rate, value in curve:
        best[rate] = max(value, best.get(rate, -math.inf))
    return sorted(best.items())
