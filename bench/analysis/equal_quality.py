"""Rates at equal quality, and qualities at equal rate, at the points that were measured.

Three points are too few for a Bjontegaard delta: they do not say what lies between them. So two
codecs are compared where the curve with fewer points has its points: at those qualities, how many
bits does the other curve need?
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.analysis.bjontegaard import Curve
from bench.analysis.over_images import MIN_IMAGES
from bench.metrics.columns import column

Floats = NDArray[np.float64]
_RESAMPLES, _SEED = 400, 2001


@dataclass(frozen=True, slots=True)
class EqualQuality:
    """Mean rate difference of two codecs at equal quality.

    Attributes
    ----------
    percent
        Negative where the test needs fewer bits; NaN where the curves share no quality.
    low, high
        95 % bootstrap interval over images; NaN over fewer than ``MIN_IMAGES``.
    points
        At how many qualities.
    """

    percent: float
    low: float
    high: float
    points: int


def compare(anchor: Mapping[str, Curve], test: Mapping[str, Curve], metric: str) -> EqualQuality:
    """Return the rate difference of the mean curves over the images that both codecs have.

    Parameters
    ----------
    anchor, test
        Image -> curve, in the metric's own values, points in one order.
    metric
        A quality column.
    """
    images = sorted(set(anchor) & set(test))
    percent, points = matched_percent(anchor, test, images, metric)
    low = high = math.nan
    if points and len(images) >= MIN_IMAGES:
        values = [matched_percent(anchor, test, drawn, metric)[0] for drawn in _resamples(images)]
        low, high = map(float, np.nanpercentile(values, (2.5, 97.5)))
    return EqualQuality(percent, low, high, points)


def _resamples(images: Sequence[str]) -> list[list[str]]:
    drawn = np.random.default_rng(_SEED).integers(0, len(images), (_RESAMPLES, len(images)))
    return [[images[i] for i in row] for row in drawn]


def quality_gaps(anchor: Mapping[str, Curve], test: Mapping[str, Curve], metric: str) -> Floats:
    """Return how far the test's points lie above the anchor's mean curve at the same rate.

    Returns
    -------
    array of shape (points, 4)
        Rate, gap, and the gap's 95 % bootstrap interval over images (NaN over few images), of the
        points whose rate the anchor reaches; in decibels where the metric has them.
    """
    images = sorted(set(anchor) & set(test))
    rates, _ = mean_curve(test, images, metric)
    gaps = _gaps(anchor, test, images, metric)
    interval = np.full((2, len(rates)), np.nan)
    inside = np.isfinite(gaps)
    if len(images) >= MIN_IMAGES and inside.any():
        values = [_gaps(anchor, test, drawn, metric)[inside] for drawn in _resamples(images)]
        interval[:, inside] = np.nanpercentile(values, (2.5, 97.5), axis=0)
    found: Floats = np.column_stack([rates, gaps, *interval])[inside]
    return found


def _gaps(
    anchor: Mapping[str, Curve], test: Mapping[str, Curve], images: Sequence[str], metric: str
) -> Floats:
    """Return the gap of each point of the test, NaN where the anchor does not reach its rate."""
    from scipy.interpolate import PchipInterpolator

    (known, reached), (rates, qualities) = (
        mean_curve(curves, images, metric) for curves in (anchor, test)
    )
    order = np.argsort(known)
    known, reached = np.log(known[order]), reached[order]
    if len(known) < 2 or (np.diff(known) <= 0).any():
        there = np.interp(np.log(rates), known, reached, left=np.nan, right=np.nan)
    else:
        there = PchipInterpolator(known, reached, extrapolate=False)(np.log(rates))
    return np.asarray(qualities - there, dtype=np.float64)


def mean_curve(
    curves: Mapping[str, Curve], images: Sequence[str], metric: str
) -> tuple[Floats, Floats]:
    """Return the mean rates and the qualities of a codec's points, (points,) each.

    A lossless point, of infinite quality, lies on no curve.
    """
    rates = np.array([curves[image].rate for image in images]).mean(0)
    qualities = np.array([curves[image].quality for image in images]).mean(0)
    kept = np.isfinite(qualities)
    return rates[kept], np.asarray(column(metric).of_means(qualities[kept]), dtype=np.float64)


def matched_percent(
    anchor: Mapping[str, Curve], test: Mapping[str, Curve], images: Sequence[str], metric: str
) -> tuple[float, int]:
    """Return the mean rate difference of the mean curves at equal quality, and at how many.

    Log-rates are interpolated over quality (pchip) and compared at the qualities of the curve that
    has fewer points, or of both where they have equally many, as far as the other curve reaches.
    The points of all curves of a codec are in the same order; an image may appear several times.

    Returns
    -------
    tuple
        Percent, negative where the test needs fewer bits, NaN if nowhere comparable; points.
    """
    one, other = mean_curve(anchor, images, metric), mean_curve(test, images, metric)
    qualities = list(_qualities(one[1], other[1]))
    if not qualities:
        return math.nan, 0
    gaps = [_log_rate(other, quality) - _log_rate(one, quality) for quality in qualities]
    return 100 * math.expm1(math.fsum(gaps) / len(gaps)), len(gaps)


def _qualities(one: Floats, other: Floats) -> Iterator[float]:
    low, high = max(one.min(), other.min()), min(one.max(), other.max())
    chosen: list[Floats] = []
    chosen += [one] if len(one) <= len(other) else []
    chosen += [other] if len(other) <= len(one) else []
    for quality in np.unique(np.concatenate(chosen)):
        if low <= quality <= high:
            yield float(quality)


def _log_rate(curve: tuple[Floats, Floats], quality: float) -> float:
    """Return the logarithm of the rate that a curve needs for a quality inside its range."""
    from scipy.interpolate import PchipInterpolator

    rates, qualities = curve
    order = np.argsort(qualities)
    if len(order) == 1 or (np.diff(qualities[order]) <= 0).any():
        return float(np.interp(quality, qualities[order], np.log(rates[order])))
    return float(PchipInterpolator(qualities[order], np.log(rates[order]))(quality))
