"""What a run says at its end: Bjontegaard rates in a few lines, for a terminal."""

from __future__ import annotations

import math

import pandas as pd

from bench.analysis import summary
from bench.analysis.bjontegaard import METHODS, MIN_POINTS, Cause
from bench.metrics.columns import column
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
    """Return the headline of one dataset: a codec a line, a metric a column, the best first.

    Parameters
    ----------
    deltas
        The columns of ``bd_rate.csv``.
    dataset
        Which one.
    rows
        The rows that ``deltas`` were computed from.

    Returns
    -------
    list of str
        Empty where only one codec was measured. Where a metric has nothing computable, the reason
        and what helps; last what was left out of the means.
    """
    head = deltas[(deltas["dataset"] == dataset) & (deltas["method"] == "pchip")]
    if head.empty:
        return []
    mine = rows[rows["dataset"] == dataset]
    covered, anchor = coverage(mine)[dataset], str(head["anchor"].iloc[0])
    metrics = [str(name) for name in dict.fromkeys(head["metric"])]
    known = [m for m in metrics if head.loc[head["metric"] == m, "bd_rate_percent"].notna().any()]
    told = []
    if known:
        what = f"bits at equal quality, against {plain_text(anchor)} (BD-rate; negative is better)"
        told = [f"{plain_text(dataset)}: {what}, {covered.images()}", *_table(head, known)]
    for name in metrics:
        if name not in known:
            words = column(name).words if known else f"{plain_text(dataset)}: {column(name).words}"
            told.append(f"{words}: BD-rate against {anchor} is {_why(name, anchor, mine)}")
        elif covered.counts.get(name) != covered.common:
            told.append(f"{column(name).words}: means over {covered.images(name)}")
    return told + [plain_text(line) for line in covered.reasons(metrics)]


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
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return ["  ".join(_padded(row, widths)).rstrip() for row in cells]


def _percent(value: float) -> str:
    return f"{number(value, 1, sign=True)} %" if not math.isnan(value) else "-"


def _padded(row: list[str], widths: list[int]) -> list[str]:
    return [
        f"  {row[0]:<{widths[0]}}",
        *(f"{t:>{w}}" for t, w in zip(row[1:], widths[1:], strict=True)),
    ]
