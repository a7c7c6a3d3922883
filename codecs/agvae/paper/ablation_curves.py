"""Each variant against each: Bjontegaard rates, and rates at equal quality where points are few.

A variant without gain is one network per level, and three networks make three points: too few for
a Bjontegaard delta. So beside it stands the rate difference at equal quality, taken where the
curve with fewer points has them: at the dedicated networks' own quality, how many bits does the
other curve need?
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis import summary
from bench.analysis.bjontegaard import Curve
from bench.analysis.over_images import MIN_IMAGES
from bench.metrics.columns import column, curve_columns

Floats = NDArray[np.float64]
_RESAMPLES, _SEED = 400, 2001


@dataclass(frozen=True, slots=True)
class Comparison:
    """One variant against another on one dataset.

    Attributes
    ----------
    dataset, anchor, test, metric
        What is compared; codecs by name.
    images
        Over how many images.
    bd_rate_percent, ci_low, ci_high
        Bjontegaard rate with its 95 % interval over images; NaN where not computable.
    matched_percent, matched_low, matched_high
        Mean rate difference at equal quality, likewise.
    matched_points
        At how many qualities.
    note
        Why a number is missing, and caveats.
    """

    dataset: str
    anchor: str
    test: str
    metric: str
    images: int
    bd_rate_percent: float
    ci_low: float
    ci_high: float
    matched_percent: float
    matched_low: float
    matched_high: float
    matched_points: int
    note: str


def compare_all(rows: pd.DataFrame, order: Sequence[str]) -> list[Comparison]:
    """Return every ordered pair of measured variants, per dataset and metric, in ``order``."""
    found = []
    kept = summary.comparable(rows)
    for dataset, group in kept.groupby("dataset", sort=True):
        for metric in curve_columns(group):
            curves = {codec: curves_of(group, codec, metric) for codec in order}
            pairs = itertools.permutations([codec for codec in order if curves[codec]], 2)
            found += [
                _compare(str(dataset), anchor, test, metric, curves) for anchor, test in pairs
            ]
    return found


def curves_of(rows: pd.DataFrame, codec: str, metric: str) -> dict[str, Curve]:
    """Return image -> curve of a codec, points by rising level, in the metric's own values."""
    source = column(metric).source
    points = rows[(rows["codec"] == codec) & rows[source].notna()]
    points = points.assign(
        level=[float(str(summary.parse_setting(text)["level"])) for text in points["setting"]]
    ).sort_values("level")
    return {
        str(image): Curve(tuple(one["bpp"].astype(float)), tuple(one[source].astype(float)))
        for image, one in points.groupby("image", sort=True)
    }


def mean_curve(
    curves: Mapping[str, Curve], images: Sequence[str], metric: str
) -> tuple[Floats, Floats]:
    """Return the mean rates and the qualities of a codec's points, (points,) each."""
    rates = np.array([curves[image].rate for image in images])
    qualities = np.array([curves[image].quality for image in images])
    return rates.mean(0), column(metric).of_means(qualities.mean(0))


def _compare(
    dataset: str, anchor: str, test: str, metric: str, curves: Mapping[str, Mapping[str, Curve]]
) -> Comparison:
    delta = summary.delta(curves[anchor], curves[test], metric)
    images = sorted(set(curves[anchor]) & set(curves[test]))
    matched, points = matched_percent(curves[anchor], curves[test], images, metric)
    low = high = math.nan
    if points and len(images) >= MIN_IMAGES:
        low, high = _interval(curves[anchor], curves[test], images, metric)
    bd_rate, ci_low, ci_high = (
        math.nan if value is None else float(value)
        for value in (delta.bd_rate_percent, delta.ci_low, delta.ci_high)
    )
    return Comparison(
        dataset,
        anchor,
        test,
        metric,
        len(images),
        bd_rate,
        ci_low,
        ci_high,
        matched,
        low,
        high,
        points,
        delta.note,
    )


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


def _interval(
    anchor: Mapping[str, Curve], test: Mapping[str, Curve], images: Sequence[str], metric: str
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of ``matched_percent`` over images."""
    generator = np.random.default_rng(_SEED)
    drawn = generator.integers(0, len(images), (_RESAMPLES, len(images)))
    values = [matched_percent(anchor, test, [images[i] for i in row], metric)[0] for row in drawn]
    low, high = np.nanpercentile(values, (2.5, 97.5))
    return float(low), float(high)
