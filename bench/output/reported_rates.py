"""Bjontegaard rates of what was measured against curves that others published.

A published curve is a mean over a whole dataset, without its images. So there is no interval over
images, and no rate where the means measured here leave an image out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from bench.analysis import summary
from bench.analysis.bjontegaard import Curve, Delta, compare
from bench.analysis.published_curves import Reference, is_of, not_drawn
from bench.metrics.columns import column, curve_columns
from bench.output.coverage import coverage
from bench.output.figure import REPORTED
from bench.output.table_formats import DOWN, Cell, Table, number, plain_text

STEM = "bd_rate_reported"
"""Of the CSV file."""

NOTE = (
    "A published curve is a mean over all images, without the single ones: there is no interval"
    " over images."
)
_TEXTS = ("dataset", "reference", "codec", "metric")
_NUMBERS = ("bd_rate_percent", "bd_quality", "overlap_percent")


def rates(rows: pd.DataFrame | summary.Selection, references: Sequence[Reference]) -> pd.DataFrame:
    """Return the BD-rate of every measured codec against every published curve of its dataset.

    Parameters
    ----------
    rows
        One row per measured cell, the columns of ``rows.csv``; or what was selected of them.
    references
        Those of other datasets, and metrics that were not measured on all images, have no line.

    Returns
    -------
    DataFrame
        ``dataset, reference, codec, metric, bd_rate_percent, bd_quality, overlap_percent, note,
        source``: pchip, of the mean curves. NaN where it is not computable; the note says why.
    """
    records: list[tuple[str | float, ...]] = []
    columns = [*_TEXTS, *_NUMBERS, "note", "source"]
    if not references:
        return pd.DataFrame(records, columns=columns)
    chosen = summary.Selection.of(rows)
    means, covered = summary.summarise(chosen), coverage(chosen)
    for name, mine in ((str(key), part) for key, part in means.groupby("dataset", sort=True)):
        for reference in (one for one in references if is_of(one, name)):
            for metric in curve_columns(mine):
                if metric in reference.points and covered[name].whole(metric):
                    records += _lines(name, mine, reference, metric)
    return pd.DataFrame(records, columns=columns)


def undrawn(rows: pd.DataFrame | summary.Selection, references: Sequence[Reference]) -> list[str]:
    """Return a line for each part of a published curve that no plot of ``rows`` shows: why."""
    if not references:
        return []
    chosen = summary.Selection.of(rows)
    means, coverages = summary.summarise(chosen), coverage(chosen)
    fewer = [
        f"{reference.name}: its {column(metric).title} is not drawn: it is a mean over all images, "
        f"and the results are over {coverages[name].images(metric)}"
        for name, metrics in summary.drawn_rates(means).items()
        for metric in metrics
        for reference in references
        if is_of(reference, name)
        and metric in reference.points
        and not coverages[name].whole(metric)
    ]
    return fewer + not_drawn(references, summary.drawn_rates(means))


def _lines(
    dataset: str, means: pd.DataFrame, reference: Reference, metric: str
) -> Iterator[tuple[str | float, ...]]:
    """Yield a line for each codec, in the order of the columns."""
    base = _curve(reference.points[metric])
    for codec in sorted({str(codec) for codec in summary.on_curve(means, metric)["codec"]}):
        mine = _curve(summary.curve(means, codec, metric).tolist())
        found = compare(base, mine, higher_is_better=column(metric).higher_is_better)
        key = (dataset, reference.name, codec, metric)
        yield (*key, *_numbers(found), found.note, reference.source)


def _curve(points: Sequence[Sequence[float]]) -> Curve:
    return Curve(tuple(rate for rate, _ in points), tuple(value for _, value in points))


def _numbers(found: Delta) -> list[float]:
    values = (found.bd_rate_percent, found.bd_quality, found.overlap_percent)
    return [math.nan if value is None else float(value) for value in values]


def table(
    lines: pd.DataFrame, names: Mapping[str, str], *, title: str, stem: str, notes: Sequence[str]
) -> Table:
    """Return the table of one dataset's ``rates``.

    Parameters
    ----------
    lines
        Of one dataset.
    names
        Codec -> what the tables call it.
    title, stem, notes
        Of the dataset's tables.
    """
    cells = []
    for line in lines.to_dict("records"):
        about = column(str(line["metric"]))
        texts = (
            f"{about.title}, {line['reference']}",
            names[str(line["codec"])],
            number(float(line["bd_rate_percent"]), 1, sign=True),
            number(float(line["bd_quality"]), about.digits, sign=True),
            number(float(line["overlap_percent"]), 0),
            str(line["note"]),
        )
        cells.append([Cell(text) for text in texts])
    sources = dict.fromkeys(zip(lines["reference"], lines["source"], strict=True))
    return Table(
        name=f"{stem}-bd-rate-reported",
        caption=f"{title}: BD-rate against published curves ({REPORTED})",
        head=(
            "Metric, published curve",
            *("Codec", f"BD-rate (%) {DOWN}", "BD-quality", "overlap (%)", "Note"),
        ),
        align="llrrrl",
        rows=cells,
        notes=[
            *(f"{name}, {REPORTED}: {source}." for name, source in sources),
            NOTE,
            *notes,
        ],
        group=True,
    )


def words(lines: pd.DataFrame) -> list[str]:
    """Return what a terminal shows of ``rates``: a published curve and metric a line."""
    told = []
    by = ["dataset", "reference", "metric"]
    for (dataset, name, metric), part in lines.groupby(by, sort=False):
        known = part[part["bd_rate_percent"].notna()].sort_values("bd_rate_percent")
        texts = [
            f"{line['codec']} {number(float(line['bd_rate_percent']), 1, sign=True)} %"
            for line in known.to_dict("records")
        ]
        texts += [
            f"{line['codec']} {line['note']}"
            for line in part[part["bd_rate_percent"].isna()].to_dict("records")
        ]
        against = f"BD-rate against {name} ({REPORTED})"
        told.append(f"{dataset}: {against}, {column(str(metric)).words}: {', '.join(texts)}")
    return [plain_text(line) for line in told]
