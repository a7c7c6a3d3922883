"""The plot of a family of variants: its curves, and their gaps to the codec they are variants of.

Variants lie so close together that their curves hide one another: below the curves stands quality
less the first one's at the same rate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
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
from bench.output.families import anchor_of, image_curves, stem_of
from bench.output.figure import MEASURED, join, series
from bench.output.plot_styles import Style
from bench.output.plots import Curve as DrawnCurve
from bench.output.plots import footer, measured_curves
from bench.output.provenance import of_record, pixels_of
from bench.output.sheet import GREY, RATE, RC, Sheet, write_figure


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
    chosen = summary.Selection(rows)
    every, coverages, anchor = summary.summarise(chosen), coverage(chosen), anchor_of(family, rows)
    stems, kept = file_stems(sorted(coverages)), chosen.comparable
    for name, means in ((str(key), frame) for key, frame in every.groupby("dataset", sort=True)):
        stamp = of_record(provenance, datasets={name: pixels_of(provenance, name)})
        for metric, word in file_stems(curve_columns(means)).items():
            curves = image_curves(kept[kept["dataset"] == name], metric)
            if anchor not in curves:
                continue
            title = f"{name}{mark}, mean of {coverages[name].images(metric)}"
            about = footer(means, metric, coverages[name], reported=False)
            below = "\u00a0\u00b7 ".join(filter(None, (about, stamp.small_print())))
            drawn = drawing(means, curves, anchor, metric)
            figure = draw(drawn, anchor, metric, heading=title, small_print=below)
            yield f"{stems[name]}_{stem_of(family)}_{word}", title, stamp.full(), figure


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is drawn of a family.

    Attributes
    ----------
    curves
        Codec -> its curve, label and style.
    gaps
        Codec -> ``equal_quality.quality_gaps`` to the anchor, of all but that.
    data
        Every point of the panels ``rd`` and ``gap``, gaps with the ends of their intervals.
    """

    curves: Mapping[str, DrawnCurve]
    gaps: Mapping[str, equal_quality.Floats]
    data: pd.DataFrame


def drawing(
    means: pd.DataFrame,
    curves: Mapping[str, Mapping[str, Curve]],
    anchor: str,
    metric: str,
    names: Mapping[str, str] = MappingProxyType({}),
) -> Drawing:
    """Return what ``draw`` draws.

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
    names
        Codec -> what it is called instead of its label.
    """
    drawn = {
        codec: replace(one, label=names.get(codec, one.label))
        for codec, one in measured_curves(means, metric).items()
    }
    gaps = {
        codec: equal_quality.quality_gaps(curves[anchor], curves[codec], metric)
        for codec in drawn
        if codec != anchor
    }
    parts = [
        series("rd", codec, MEASURED, x=("bpp", one.points[:, 0]), y=(metric, one.points[:, 1]))
        for codec, one in drawn.items()
    ]
    for codec, gap in gaps.items():
        x, y = ("bpp", gap[:, 0]), (f"{metric}_gap", gap[:, 1])
        parts.append(series("gap", codec, MEASURED, x=x, y=y, low=gap[:, 2], high=gap[:, 3]))
    return Drawing(drawn, gaps, join(parts))


def draw(drawn: Drawing, anchor: str, metric: str, *, heading: str, small_print: str) -> Figure:
    """Return curves and gaps of a family; call it inside ``mpl.rc_context(sheet.RC)``.

    Parameters
    ----------
    drawn
        Of a family in one dataset.
    anchor, metric
        As ``drawing`` was given.
    heading, small_print
        Above and below the plot.
    """
    sheet = Sheet([["rd"], ["gap"]], height_in=4.2, small_print=small_print)
    form, data = column(metric), drawn.data
    xlim = (0.0, 1.3 * float(data["x"].max()))
    sheet.panel("rd", f"(a) {heading}", x=RATE, y=form.title, xlim=xlim)
    against = drawn.curves[anchor].label.replace("\n", " ")
    low = sheet.panel("gap", f"(b) minus {against}, at equal rate", x=RATE, y=form.title, xlim=xlim)
    low.margins(y=0.13)  # labels find room above the highest point
    low.axhline(0, color=GREY, linewidth=0.6)
    for codec, one in drawn.curves.items():
        style = joined(one.style, len(one.points))
        sheet.line(data, "rd", codec, style)
        if len(drawn.gaps.get(codec, ())):
            sheet.line(data, "gap", codec, style, label=one.label)
            bars(low, drawn.gaps[codec], style)
    named = [(one.label, joined(one.style, len(one.points))) for one in drawn.curves.values()]
    sheet.words("rd", named)
    return sheet.finish()


def joined(style: Style, points: int) -> Style:
    """Return the style of a curve of so many points: markers alone where they are too few.

    A line through them would say what lies between, and lie far below a curve of more points.
    """
    return style if points >= MIN_POINTS[METHODS[0]] else replace(style, width=0.0)


def bars(axes: Axes, gaps: equal_quality.Floats, style: Style) -> None:
    """Draw the interval of each of ``equal_quality.quality_gaps``."""
    axes.vlines(gaps[:, 0], gaps[:, 2], gaps[:, 3], color=style.colour, linewidth=0.7, alpha=0.6)
