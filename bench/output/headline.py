"""What a run says at its end: Bjontegaard rates in a few lines, for a terminal."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis import summary
from bench.analysis.bjontegaard import METHODS, MIN_POINTS, Cause
from bench.metrics.columns import column, quality_columns
from bench.output.coverage import coverage
from bench.output.table_formats import number, plain_text

_ADVICE = {
    Cause.LOSSLESS: "exact copies lie on no curve: measure lower qualities with --quality",
    Cause.UNDEFINED: "the metric has no value at enough points: see the column in rows.csv",
    Cause.NO_IMAGE: "see the table of failures",
    Cause.OVERLAP: "measure qualities that both codecs reach with --quality",
    Cause.TOO_CLOSE: "measure points further apart with --quality",
    Cause.SAME_RATE: "measure points of different rates with --quality",
}
"""What helps, by the cause; nothing where measuring differently would not."""


def lines(deltas: pd.DataFrame, dataset: str, rows: pd.DataFrame) -> list[str]:
    """Return what a terminal shows of one dataset: a codec a line, the best first.

    One table has a point of every codec beside its first BD-rate; where there are several metrics,
    another one has the BD-rates by all of them.

    Parameters
    ----------
    deltas
        The columns of ``bd_rate.csv``; lines of codecs that ``rows`` lack are left out.
    dataset
        Which one.
    rows
        The rows that ``deltas`` were computed from.

    Returns
    -------
    list of str
        After the tables, why a BD-rate is missing and what helps; last what was left out of the
        means. Empty where nothing was measured.
    """
    mine = rows[rows["dataset"] == dataset]
    chosen = summary.Selection(mine)
    means = summary.summarise(chosen)
    if means.empty:
        return []
    head = deltas[(deltas["dataset"] == dataset) & (deltas["method"] == "pchip")]
    head = head[head["codec"].isin(mine["codec"])]  # not those of families
    covered, name = coverage(chosen)[dataset], plain_text(dataset)
    metrics = [str(metric) for metric in dict.fromkeys(head["metric"])]
    known = [m for m in metrics if head.loc[head["metric"] == m, "bd_rate_percent"].notna().any()]
    anchor = str(head["anchor"].iloc[0]) if len(head) else str(means["codec"].iloc[0])
    rate, apart = _common_rate(means, anchor)
    told = [f"{name}, {covered.images()}: {_points_words(rate, apart)}"]
    told += _points_table(means, head, anchor, known[:1], rate)
    if known[1:]:
        what = f"bits at equal quality, against {plain_text(anchor)} (BD-rate; negative is better)"
        told += [f"{name}: {what}, {covered.images()}", *_table(head, known)]
    for metric in metrics:
        if metric not in known:
            words = column(metric).words if known else f"{name}: {column(metric).words}"
            told.append(f"{words}: BD-rate against {anchor} is {_why(metric, anchor, mine)}")
        elif covered.counts.get(metric) != covered.common:
            told.append(f"{column(metric).words}: means over {covered.images(metric)}")
    told += [*_without_interval(head, known[:1]), *_missing(head, known, anchor)]
    return told + [plain_text(line) for line in covered.reasons(metrics)]


def _nearest(curve: pd.DataFrame, rate: float) -> int:
    """Return where in a curve the point is whose rate is nearest to one in bpp."""
    return int(np.abs(np.log(curve["bpp"].to_numpy(float) / rate)).argmin())


def _common_rate(means: pd.DataFrame, anchor: str) -> tuple[float, float]:
    """Return the anchor's rate that all codecs come nearest to, and how far apart they are there.

    Its ends are passed over where it has others, and of equals the one nearest to the middle is
    taken. The rate is in bpp, the distance the largest rate over the smallest.
    """
    curves = [curve for _, curve in means.groupby("codec")]
    rates = sorted(means.loc[means["codec"] == anchor, "bpp"]) or sorted(means["bpp"])
    inner = rates[1:-1] if len(rates) > 2 else rates
    found = []
    for at, rate in enumerate(inner):
        near = [float(curve["bpp"].iloc[_nearest(curve, rate)]) for curve in curves]
        off_middle = abs(at - (len(inner) - 1) / 2)
        found.append((round(max(near) / min(near), 3), off_middle, float(rate)))
    apart, _, rate = min(found)
    return rate, apart


def _points_words(rate: float, apart: float) -> str:
    differ = f"; they differ by up to {100 * (apart - 1):.0f} % in rate" if apart > 1.02 else ""
    return f"the point of each codec nearest to {rate:.3g} bpp{differ}"


def _points_table(
    means: pd.DataFrame, head: pd.DataFrame, anchor: str, known: list[str], rate: float
) -> list[str]:
    """Return a line for each codec: its point, and its BD-rate by the metric in ``known``.

    The point is the one nearest to ``rate``, that of the anchor at which all are nearest: it is no
    answer by itself, and about equal rates can be compared by eye.
    """
    shown = [name for name in quality_columns(means) if column(name).decibels is None]
    rates = {
        str(line["codec"]): line
        for line in head.to_dict("records")
        if known and line["metric"] == known[0]
    }
    first = {str(c): rates.get(str(c), {}).get("bd_rate_percent", math.nan) for c in means["codec"]}
    if known and anchor in first:
        first[anchor] = 0.0
    cells = [["", "bpp", *(column(name).short for name in shown)]]
    cells[0] += [f"BD-rate ({column(known[0]).short})"] if known else []
    for codec in sorted(first, key=lambda codec: (math.isnan(first[codec]), first[codec], codec)):
        curve = means[means["codec"] == codec]
        point = curve.iloc[_nearest(curve, rate)]
        values = [number(float(point[name]), column(name).digits) for name in shown]
        row = [plain_text(codec), number(float(point["bpp"]), 3), *values]
        cells.append(row + ([_interval(rates.get(codec), codec == anchor)] if known else []))
    return _aligned(cells)


def _interval(line: Mapping[Hashable, Any] | None, is_anchor: bool) -> str:
    """Return a BD-rate with its interval over images."""
    if is_anchor or line is None:
        return "anchor" if is_anchor else "-"
    value = _percent(float(line["bd_rate_percent"]))
    ends = [number(float(line[end]), 1, sign=True) for end in ("ci_low", "ci_high")]
    known = not any(math.isnan(float(line[end])) for end in ("ci_low", "ci_high"))
    return f"{value} [{', '.join(ends)}]" if known else value


def _without_interval(head: pd.DataFrame, known: list[str]) -> list[str]:
    """Return why BD-rates of the first table have no interval, each reason once."""
    notes = head.loc[head["metric"].isin(known) & head["bd_rate_percent"].notna(), "note"]
    parts = [part for note in notes for part in str(note).split("; ")]
    return list(dict.fromkeys(part for part in parts if part.startswith("no interval")))


def _missing(head: pd.DataFrame, known: list[str], anchor: str) -> list[str]:
    """Return why single BD-rates of the tables are missing, codecs of one reason together."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for line in head[head["bd_rate_percent"].isna()].to_dict("records"):
        if line["metric"] in known:
            key = str(line["metric"]), str(line["note"])
            reasons.setdefault(key, []).append(plain_text(str(line["codec"])))
    return [
        f"- for {', '.join(codecs)} ({column(metric).words}, against {plain_text(anchor)}): {note}"
        for (metric, note), codecs in reasons.items()
    ]


def _why(metric: str, anchor: str, rows: pd.DataFrame) -> str:
    """Return why a metric has no BD-rate at all, and what would help."""
    deltas = summary.bd_table(rows, anchor, quality=True)
    line = deltas[deltas["metric"] == metric].iloc[0]
    note, cause = str(line["note"]), str(line["cause"])
    advice = _ADVICE.get(Cause(cause), "") if cause else ""
    if cause == Cause.FEW_POINTS:
        needed = MIN_POINTS[METHODS[0]]
        tried = int(rows.drop_duplicates(summary.KEY).groupby("codec").size().min())
        advice = (
            f"measure more settings of each codec: --points {needed}, or without --quick"
            if tried < needed
            else "settings were measured that have no result: see the table of failures"
        )
    return note + (f"; {advice}" if advice else "")


def _table(head: pd.DataFrame, metrics: list[str]) -> list[str]:
    """Return the lines of the codecs under the names of the metrics."""
    rates = {
        (str(line["codec"]), str(line["metric"])): float(line["bd_rate_percent"])
        for line in head.to_dict("records")
    }
    first = {codec: rates.get((codec, metrics[0]), math.nan) for codec in head["codec"].unique()}
    ranked = sorted(first, key=lambda codec: (math.isnan(first[codec]), first[codec]))
    cells = [["", *(column(name).words for name in metrics)]]
    cells += [
        [plain_text(codec), *(_percent(rates.get((codec, m), math.nan)) for m in metrics)]
        for codec in ranked
    ]
    return _aligned(cells)


def _aligned(cells: list[list[str]]) -> list[str]:
    """Return rows of cells as lines, the first column to the left and the others to the right."""
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return ["  ".join(_padded(row, widths)).rstrip() for row in cells]


def _percent(value: float) -> str:
    return f"{number(value, 1, sign=True)} %" if not math.isnan(value) else "-"


def _padded(row: list[str], widths: list[int]) -> list[str]:
    return [
        f"  {row[0]:<{widths[0]}}",
        *(f"{t:>{w}}" for t, w in zip(row[1:], widths[1:], strict=True)),
    ]
