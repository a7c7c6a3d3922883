"""Rate-distortion curves as PNG and SVG: one plot per dataset, metric and rate axis."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bench.analysis import summary
from bench.analysis.published_curves import Reference, is_of, load_reference
from bench.files import file_stems, make_folder
from bench.metrics.columns import column, curve_columns
from bench.output.figure import MEASURED, REPORTED, join, series
from bench.output.label_placement import Points
from bench.output.plot_styles import Style, reported_style, short_labels, styles
from bench.output.provenance import Stamp, of_record, pixels_of
from bench.output.sheet import RATE, RC, Sheet, shortened, write_figure
from bench.output.table_formats import plain_text
from bench.output.tables import count_text

SCALES = ("linear", "log")
_HEIGHT_IN = 2.75
_LABEL_LETTERS, _LINE_LETTERS = 80, 21


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve as drawn: label, style, points (N, 2) of bpp and value by rising rate."""

    label: str
    style: Style
    points: Points
    reported: bool = False


def _label(text: str) -> str:
    """Return a curve's label in lines of a few words."""
    return textwrap.fill(shortened(plain_text(text), _LABEL_LETTERS), _LINE_LETTERS)


def measured_curves(means: pd.DataFrame, metric: str) -> list[Curve]:
    """Return the curves of one dataset's summary that have ``metric``."""
    style = styles(str(codec) for codec in means["codec"])
    kept = summary.on_curve(means, metric)
    labels, _ = short_labels(list(kept.groupby("codec", sort=True)["label"].first()))
    return [
        Curve(_label(label), style[str(codec)], summary.curve(points, str(codec), metric))
        for label, (codec, points) in zip(labels, kept.groupby("codec", sort=True), strict=True)
    ]


def _reported_curves(
    references: Sequence[Reference], dataset: str, metric: str, measured: Sequence[Curve]
) -> list[Curve]:
    """Return the published curves of this plot, cut to the rates that were measured."""
    low = min(float(curve.points[0, 0]) for curve in measured)
    high = max(float(curve.points[-1, 0]) for curve in measured)
    fitting = [r for r in references if metric in r.points and is_of(r, dataset)]
    whole = [
        Curve(
            f"{_label(reference.name)}\n{REPORTED}",
            reported_style(i),
            np.asarray(sorted(reference.points[metric]), dtype=np.float64).reshape(-1, 2),
            reported=True,
        )
        for i, reference in enumerate(fitting)
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


def footer(means: pd.DataFrame, metric: str, *, reported: bool) -> str:
    """Return what a plot says below it: shared words, encoders' versions, what is not drawn."""
    drawn = summary.on_curve(means, metric)
    labels = dict(zip(drawn["codec"], drawn["label"], strict=True))
    _, common = short_labels([str(label) for label in labels.values()])
    parts = [f"all {common}"] if common else []
    versions: dict[str, list[str]] = {}
    for codec, label in labels.items():
        version = re.search(r"\(([^()]*)\)\s*$", str(label))
        if version:
            versions.setdefault(version[1], []).append(str(codec))
    parts += [f"{', '.join(codecs)}: {version}" for version, codecs in versions.items()]
    lossless = sorted({str(codec) for codec in means.loc[summary.lossless(means, metric), "codec"]})
    if lossless:
        parts.append(f"not drawn: {', '.join(lossless)} (lossless)")
    if reported:
        parts.append(f"dashed: {REPORTED}")
    return " \u00b7 ".join(parts)


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
        sheet.line(data, "rd", str(i), curve.style, label=curve.label)
    sheet.rate_axis("rd", scale)
    return sheet.finish()


def _figures(
    rows: pd.DataFrame,
    stamps: Mapping[str, Stamp],
    display_names: Mapping[str, str],
    references: Sequence[Reference],
) -> Iterator[tuple[str, str, Stamp, Figure]]:
    """Yield file stem, heading, stamp and figure of every plot, one at a time."""
    every = summary.summarise(rows)
    counts = summary.metric_images(rows)
    stems = file_stems(sorted(stamps))
    for dataset, means in every.groupby("dataset", sort=True):
        name = str(dataset)
        for metric, word in file_stems(curve_columns(means)).items():
            measured = measured_curves(means, metric)
            if not measured:
                continue
            reported = _reported_curves(references, name, metric, measured)
            images = count_text(counts[name, metric], "image")
            heading = f"{display_names.get(name, name)}, mean of {images}"
            about = footer(means, metric, reported=bool(reported))
            small_print = " \u00b7 ".join(filter(None, (about, stamps[name].small_print())))
            for scale in SCALES:
                figure = draw(
                    [*measured, *reported],
                    metric,
                    scale=scale,
                    heading=heading,
                    small_print=small_print,
                )
                yield f"{stems[name]}_{word}_{scale}", heading, stamps[name], figure


def write_all(
    rows: pd.DataFrame,
    out: Path,
    *,
    provenance: Mapping[str, Any],
    display_names: Mapping[str, str] | None = None,
    references: Sequence[Reference | Path] = (),
) -> list[Path]:
    """Write ``plots/<dataset>_<metric>_{linear,log}.{png,svg}`` below ``out``; return their paths.

    Parameters
    ----------
    rows
        One row per measured cell, the columns of ``rows.csv``.
    out
        Made if missing.
    provenance
        Plain data as of ``bench.measurement.provenance.record``.
    display_names
        Dataset -> what titles call it.
    references
        Published curves, or JSON files for ``load_reference``.

    Raises
    ------
    OutputError
        If a file cannot be written.
    UsageError
        If a reference cannot be read.
    """
    curves = [r if isinstance(r, Reference) else load_reference(r) for r in references]
    folder = make_folder(out / "plots")
    stamps = {
        name: of_record(provenance, datasets={name: pixels_of(provenance, name)})
        for name in map(str, rows["dataset"].unique())
    }
    written = []
    with mpl.rc_context(RC):
        for stem, heading, stamp, figure in _figures(rows, stamps, display_names or {}, curves):
            written += write_figure(
                figure, folder / stem, ("png", "svg"), title=heading, origin=stamp.full()
            )
    return written
