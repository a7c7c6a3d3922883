"""A family of variants: its own tables and plot, against the codec that they are variants of.

Variants lie so close together that their curves hide one another, and some have few points. So
beside the curves the plot shows quality less the first one's at the same rate, and beside the
Bjontegaard rate the table has the rate at equal quality, at the points that were measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis import equal_quality, summary
from bench.analysis.bjontegaard import METHODS, MIN_POINTS, Curve
from bench.files import file_stems, make_folder
from bench.metrics.columns import column, curve_columns
from bench.output.coverage import coverage
from bench.output.figure import MEASURED, join, series
from bench.output.labels import short_names
from bench.output.plot_styles import Style
from bench.output.plots import footer, measured_curves
from bench.output.provenance import of_record, pixels_of
from bench.output.sheet import GREY, RATE, RC, Sheet, write_figure
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
        curves = _curves(kept, metric)
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


def _curves(kept: pd.DataFrame, metric: str) -> dict[str, dict[str, Curve]]:
    """Return codec -> image -> curve of one dataset's comparable rows; no codec without a curve."""
    found = {
        str(codec): summary.image_curves(points, metric)
        for codec, points in kept.groupby("codec", sort=True)
    }
    return {codec: curves for codec, curves in found.items() if curves}


def write_plots(
    families: Mapping[str, pd.DataFrame], out: Path, *, provenance: Mapping[str, Any], mark: str
) -> list[Path]:
    """Write ``plots/<dataset>_family-<name>_<metric>.{png,svg}`` below ``out``; return their paths.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    written = []
    with mpl.rc_context(RC):
        for family, rows in families.items():
            for stem, title, origin, figure in _figures(family, rows, provenance, mark):
                path = make_folder(out / "plots") / stem
                written += write_figure(figure, path, ("png", "svg"), title=title, origin=origin)
    return written


def _figures(
    family: str, rows: pd.DataFrame, provenance: Mapping[str, Any], mark: str
) -> Iterator[tuple[str, str, str, Figure]]:
    """Yield stem, title, origin and drawing, by dataset and metric."""
    every, coverages, anchor = summary.summarise(rows), coverage(rows), anchor_of(family, rows)
    stems, kept = file_stems(sorted(coverages)), summary.comparable(rows)
    for name, means in ((str(key), frame) for key, frame in every.groupby("dataset", sort=True)):
        stamp = of_record(provenance, datasets={name: pixels_of(provenance, name)})
        for metric, word in file_stems(curve_columns(means)).items():
            curves = _curves(kept[kept["dataset"] == name], metric)
            if anchor not in curves:
                continue
            title = f"{name}{mark}, mean of {coverages[name].images(metric)}"
            about = footer(means, metric, coverages[name], reported=False)
            below = "\u00a0\u00b7 ".join(filter(None, (about, stamp.small_print())))
            figure = draw(means, curves, anchor, metric, heading=title, small_print=below)
            yield f"{stems[name]}_{stem_of(family)}_{word}", title, stamp.full(), figure


def draw(
    means: pd.DataFrame,
    curves: Mapping[str, Mapping[str, Curve]],
    anchor: str,
    metric: str,
    *,
    heading: str,
    small_print: str,
) -> Figure:
    """Return curves and gaps of a family; call it inside ``mpl.rc_context(sheet.RC)``.

    Parameters
    ----------
    means
        One dataset's summary.
    curves
        Codec -> image -> curve.
    anchor
        Codec that the gaps are against.
    metric
        Column name.
    heading, small_print
        Above and below the plot.
    """
    sheet = Sheet([["rd"], ["gap"]], height_in=4.2, small_print=small_print)
    form, drawn = column(metric), measured_curves(means, metric)
    gaps = {
        codec: equal_quality.quality_gaps(curves[anchor], curves[codec], metric)
        for codec in drawn
        if codec != anchor
    }
    parts = [
        series("rd", codec, MEASURED, x=("bpp", one.points[:, 0]), y=(metric, one.points[:, 1]))
        for codec, one in drawn.items()
    ] + [
        series("gap", codec, MEASURED, x=("bpp", gap[:, 0]), y=(f"{metric}_gap", gap[:, 1]))
        for codec, gap in gaps.items()
    ]
    data = join(parts)
    xlim = (0.0, 1.3 * float(data["x"].max()))
    sheet.panel("rd", f"(a) {heading}", x=RATE, y=form.title, xlim=xlim)
    against = drawn[anchor].label.replace("\n", " ")
    low = sheet.panel("gap", f"(b) less {against}, at equal rate", x=RATE, y=form.title, xlim=xlim)
    low.axhline(0, color=GREY, linewidth=0.6)
    for codec, one in drawn.items():
        style = joined(one.style, len(one.points))
        sheet.line(data, "rd", codec, style)
        if len(gaps.get(codec, ())):
            sheet.line(data, "gap", codec, style, label=one.label)
            bars(low, gaps[codec], style)
    sheet.words("rd", [(one.label, one.style) for one in drawn.values()])
    return sheet.finish()


def joined(style: Style, points: int) -> Style:
    """Return the style of a curve of so many points: markers alone where they are too few.

    A line through them would say what lies between, and lie far below a curve of more points.
    """
    return style if points >= MIN_POINTS[METHODS[0]] else replace(style, width=0.0)


def bars(axes: Axes, gaps: equal_quality.Floats, style: Style) -> None:
    """Draw the interval of each of ``equal_quality.quality_gaps``."""
    axes.vlines(gaps[:, 0], gaps[:, 2], gaps[:, 3], color=style.colour, linewidth=0.7, alpha=0.6)
