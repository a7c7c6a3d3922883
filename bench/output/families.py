"""A family of variants: its own tables, against the codec that they are variants of.

Some have few points, so beside the Bjontegaard rate the table has the rate at equal quality, at
the points that were measured. Their plot: see ``family_plots``.
"""

from __future__ import annotations

import math

import pandas as pd

from bench.analysis import equal_quality, summary
from bench.analysis.bjontegaard import Curve
from bench.files import file_stems
from bench.metrics.columns import column, curve_columns
from bench.output.labels import short_names
from bench.output.table_formats import DOWN, Cell, Table, number

_NOTES = (
    "BD-rate: pchip, mean curves; negative needs fewer bits. In brackets 95 % over images.",
    "At equal quality: mean rate difference where the curve with fewer points has its points.",
)


def stem_of(family: str) -> str:
    """Return the part of file names that stands for a family."""
    return f"family-{next(iter(file_stems([family]).values()))}"


def anchor_of(family: str, rows: pd.DataFrame) -> str:
    """Return the codec that a family is compared with: its name, or another one if need be."""
    codecs = sorted({str(codec) for codec in rows["codec"]})
    return family if family in codecs else codecs[0]


def comparison(rows: pd.DataFrame, deltas: pd.DataFrame, *, name: str, title: str) -> Table:
    """Return a family's rates against its anchor, in one dataset.

    Parameters
    ----------
    rows, deltas
        Of the family and the dataset alone: rows, and ``summary.bd_table`` of them.
    name, title
        Of the table, and in its caption.
    """
    kept = summary.comparable(rows)
    labels = short_names(kept)
    anchor = str(deltas["anchor"].iloc[0]) if len(deltas) else ""
    lines = []
    for metric in curve_columns(rows):
        curves = image_curves(kept, metric)
        for codec in sorted(set(curves) - {anchor}) if anchor in curves else ():
            mine = deltas[(deltas["codec"] == codec) & (deltas["metric"] == metric)]
            head = mine[mine["method"] == "pchip"].iloc[0]
            equal = equal_quality.compare(curves[anchor], curves[codec], metric)
            texts = (
                column(metric).title,
                labels[codec],
                with_interval(*(float(head[k]) for k in ("bd_rate_percent", "ci_low", "ci_high"))),
                with_interval(equal.percent, equal.low, equal.high),
                str(equal.points),
                str(head["note"]),
            )
            lines.append([Cell(text) for text in texts])
    return Table(
        name=name,
        caption=f"{title}: rate against {labels.get(anchor, anchor)}",
        head=("Metric", "Codec", "BD-rate (%)", f"at equal quality (%) {DOWN}", "points", "Note"),
        align="llrrrl",
        rows=lines,
        notes=_NOTES,
        group=True,
    )


def with_interval(value: float, low: float, high: float) -> str:
    """Return ``-1.20 [-1.41, -0.93]``, percent to two digits; empty for NaN."""
    if math.isnan(value):
        return ""
    text = number(value, 2, sign=True)
    if math.isnan(low) or math.isnan(high):
        return text
    return f"{text} [{number(low, 2, sign=True)}, {number(high, 2, sign=True)}]"


def image_curves(kept: pd.DataFrame, metric: str) -> dict[str, dict[str, Curve]]:
    """Return codec -> image -> curve of one dataset's comparable rows; no codec without a curve."""
    found = {
        str(codec): summary.image_curves(points, metric)
        for codec, points in kept.groupby("codec", sort=True)
    }
    return {codec: curves for codec, curves in found.items() if curves}
