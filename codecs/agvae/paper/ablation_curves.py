"""Each variant against each: Bjontegaard rates, and rates at equal quality where points are few.

A variant without gain is one network per level, and three networks make three points: too few for
a Bjontegaard delta. So beside it stands the rate difference at equal quality.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from bench.analysis import equal_quality, summary
from bench.analysis.bjontegaard import Curve
from bench.metrics.columns import column, curve_columns


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


def _compare(
    dataset: str, anchor: str, test: str, metric: str, curves: Mapping[str, Mapping[str, Curve]]
) -> Comparison:
    delta = summary.delta(curves[anchor], curves[test], metric)
    matched = equal_quality.compare(curves[anchor], curves[test], metric)
    bd_rate, ci_low, ci_high = (
        math.nan if value is None else float(value)
        for value in (delta.bd_rate_percent, delta.ci_low, delta.ci_high)
    )
    return Comparison(
        dataset,
        anchor,
        test,
        metric,
        len(set(curves[anchor]) & set(curves[test])),
        bd_rate,
        ci_low,
        ci_high,
        matched.percent,
        matched.low,
        matched.high,
        matched.points,
        delta.note,
    )
