"""Rate-distortion curves as PNG and SVG: one plot per dataset, metric and rate axis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bench.analysis import summary
from bench.analysis.published_curves import Reference, is_of
from bench.files import file_stems, make_folder
from bench.metrics.columns import column, curve_columns
from bench.output.coverage import Coverage, coverage
from bench.output.figure import MEASURED, REPORTED, join, series
from bench.output.figure_text import label_text
from bench.output.label_placement import Points
from bench.output.labels import short_labels, versions
from bench.output.plot_styles import Style, reported_styles, styles
from bench.output.provenance import Stamp, of_record, pixels_of
from bench.output.sheet import RATE, RC, Sheet, write_figure

SCALES = ("linear", "log")
_HEIGHT_IN = 2.75
_MARKS = 5  # markers on a published curve of many points


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve as drawn: label, style, points (N, 2) of bpp and value by rising rate."""

    label: str
    style: Style
    points: Points
    reported: bool = False


def measured_curves(
    means: pd.DataFrame, metric: str, style: Mapping[str, Style] | None = None
) -> dict[str, Curve]:
    """Return codec -> curve of one dataset's summary, of those that have ``metric``.

    ``style`` is of the codecs of all datasets, so that each looks the same in every plot.
    """
    style = style or styles(str(codec) for codec in means["codec"])
    kept = summary.on_curve(means, metric)
    labels, _ = short_labels(list(kept.groupby("codec", sort=True)["label"].first()))
    return {
        str(codec): Curve(
            label_text(label), style[str(codec)], summary.curve(points, str(codec), metric)
        )
        for label, (codec, points) in zip(labels, kept.groupby("codec", sort=True), strict=True)
    }


def _reported_curves(
    references: Sequence[Reference], metric: str, measured: Sequence[Curve]
) -> list[Curve]:
    """Return the published curves that have ``metric``, cut to the rates that were measured."""
    low = min(float(curve.points[0, 0]) for curve in measured)
    high = max(float(curve.points[-1, 0]) for curve in measured)
    style = reported_styles(reference.name for reference in references)
    whole = [
        Curve(
            f"{label_text(reference.name)}\n{REPORTED}",
            style[reference.name],
            np.asarray(sorted(reference.points[metric]), dtype=np.float64).reshape(-1, 2),
            reported=True,
        )
        for reference in references
        if metric in reference.points
    ]
    return [cut for curve in whole if (cut := _cropped(curve, low, high))]


def _cropped(curve: Curve, low: float, high: float) -> Curve | None:
    """Return a reported curve cut to the rates low..high, ends interpolated; None if outside."""
    rates, values = curve.points[:, 0], curve.points[:, 1]
    start, stop = max(low, float(rates[0])), min(high, float(rates[-1]))
    if start > stop:
        return None
    inner = curve.points[(rates > start) & (rates < stop), 0]
    x = np.array([start, *inner, stop]) if stop > start else np.array([start])
    return replace(curve, points=np.column_stack([x, np.interp(x, rates, values)]))


def footer(means: pd.DataFrame, metric: str, covered: Coverage, *, reported: bool) -> str:
    """Return what a plot says below it: encoders' versions, what is left out, what dashes mean."""
    drawn = summary.on_curve(means, metric)
    labels = dict(zip(drawn["codec"], drawn["label"], strict=True))
    _, common = short_labels([str(label) for label in labels.values()])
    parts = [f"all {common}"] if common else []
    parts += versions(str(label) for label in labels.values())
    lossless = sorted({str(codec) for codec in means.loc[summary.lossless(means, metric), "codec"]})
    if lossless:
        parts.append(f"not drawn: {', '.join(lossless)} (lossless)")
    parts += [reason.removesuffix(".") for reason in covered.reasons([metric])]
    if column(metric).decibels:
        parts.append(f"decibels of the mean {column(column(metric).source).words}")
    if reported:
        parts.append(f"dashed: {REPORTED}, means over the whole dataset")
    return "\u00a0\u00b7 ".join(parts)


def draw(
    curves: Sequence[Curve], metric: str, *, scale: str, heading: str, small_print: str
) -> Figure:
    """Return a labelled figure of ``curves``; call it inside ``mpl.rc_context(sheet.RC)``.

    Parameters
    ----------
    curves
        At least one, each of at least one point.
    metric
        Column name; gives the y label and direction.
    scale
        ``linear`` or ``log``: of the rate axis.
    heading
        Dataset and image count.
    small_print
        Below the plot.
    """
    sheet = Sheet([["rd"]], height_in=_HEIGHT_IN, small_print=small_print)
    form = column(metric)
    sheet.panel("rd", heading, x=RATE, y=f"{form.title}, {form.better} is better")
    data = join(
        series(
            "rd",
            str(i),
            REPORTED if curve.reported else MEASURED,
            x=("bpp", curve.points[:, 0]),
            y=(metric, curve.points[:, 1]),
        )
        for i, curve in enumerate(curves)
    )
    for i, curve in enumerate(curves):
        marks = _MARKS if curve.reported else 0
        sheet.line(data, "rd", str(i), curve.style, label=curve.label, marks=marks)
    sheet.rate_axis("rd", scale)
    return sheet.finish()


@dataclass(frozen=True, slots=True)
class _Plot:
    """What the plots of one dataset and metric show."""

    stem: str
    heading: str
    metric: str
    curves: Sequence[Curve]
    small_print: str
    stamp: Stamp


def _plots(
    rows: pd.DataFrame | summary.Selection,
    provenance: Mapping[str, Any],
    references: Sequence[Reference],
    mark: str,
) -> Iterator[_Plot]:
    """Yield what is to be drawn, by dataset and metric."""
    chosen = summary.Selection.of(rows)
    every, coverages = summary.summarise(chosen), coverage(chosen)
    remarks = provenance.get("remarks") or ()
    style = styles(str(codec) for codec in every["codec"])
    stems = file_stems(sorted(coverages))
    for dataset, means in every.groupby("dataset", sort=True):
        name = str(dataset)
        stamp = of_record(provenance, datasets={name: pixels_of(provenance, name)})
        for metric, word in file_stems(curve_columns(means)).items():
            measured = [*measured_curves(means, metric, style).values()]
            if not measured:
                continue
            covered = coverages[name]
            fitting = [r for r in references if is_of(r, name) and covered.whole(metric)]
            reported = _reported_curves(fitting, metric, measured)
            about = footer(means, metric, covered, reported=bool(reported))
            yield _Plot(
                f"{stems[name]}_{word}",
                f"{name}{mark}, mean of {covered.images(metric)}",
                metric,
                [*measured, *reported],
                "\u00a0\u00b7 ".join(filter(None, (*remarks, about, stamp.small_print()))),
                stamp,
            )


def write_all(
    rows: pd.DataFrame | summary.Selection,
    out: Path,
    *,
    provenance: Mapping[str, Any],
    references: Sequence[Reference] = (),
    mark: str = "",
) -> list[Path]:
    """Write ``plots/<dataset>_<metric>_{linear,log}.{png,svg}`` below ``out``; return their paths.

    Parameters
    ----------
    rows
        One row per measured cell, the columns of ``rows.csv``; or what was selected of them.
    out
        Made if missing.
    provenance
        Plain data as of ``bench.measurement.provenance.record``.
    references
        Published curves; see ``reported_rates.undrawn``.
    mark
        Stands behind the name of every dataset in headings.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    folder = make_folder(out / "plots")
    written = []
    with mpl.rc_context(RC):
        for plot in _plots(rows, provenance, references, mark):
            for scale in SCALES:
                figure = draw(
                    plot.curves,
                    plot.metric,
                    scale=scale,
                    heading=plot.heading,
                    small_print=plot.small_print,
                )
                written += write_figure(
                    figure,
                    folder / f"{plot.stem}_{scale}",
                    ("png", "svg"),
                    title=plot.heading,
                    origin=plot.stamp.full(),
                )
    return written
