"""Two trained variants against each other (Cui et al. 2021, Figs. 10 and 12).

``make`` compares variants that were trained and measured here; it refuses, with the commands that
make them, where they were not. ``make_reported`` draws what others published on the same question.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.analysis import equal_quality, summary
from bench.analysis.bjontegaard import Curve
from bench.analysis.equal_quality import quality_gaps
from bench.analysis.published_names import Published, find
from bench.figures import published, rate_distortion
from bench.figures.results import Context
from bench.figures.spec import Entry
from bench.metrics.columns import column
from bench.output.coverage import coverage
from bench.output.family_plots import bars, joined
from bench.output.figure import MEASURED, REPORTED, Product, Skipped, join, select, series
from bench.output.plot_styles import Style
from bench.output.provenance import of_record
from bench.output.sheet import GREY, RATE, Sheet
from bench.output.table_formats import Cell, Table, number

_MARKS = 5  # markers on a line that has many points
_RATE = RATE.replace(", ", ",\n")
_WIDTHS = ((2.6, 4.6), (0.8, 2.4))  # width and size of markers of the curve below, and upon it


@dataclass(frozen=True, slots=True)
class Options:
    """What the set's file may say.

    Attributes
    ----------
    pairs
        (codec, codec it is compared with); the first pair that has results is drawn.
    names
        What the two are called.
    metrics
        Quality columns, each with panels of its own; those that the results have are drawn.
    zoom
        Ends of a range of rates that is drawn larger, in bpp; empty for none.
    """

    pairs: tuple[tuple[str, str], ...]
    names: tuple[str, str]
    metrics: tuple[str, ...] = ("psnr_db", "ms_ssim_db")
    zoom: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class ReportedOptions:
    """What the set's file may say.

    Attributes
    ----------
    pairs
        Ids of ``[[pair]]``.
    curves
        (gained curve, curve of dedicated networks), ids of ``[[curve]]``.
    """

    pairs: tuple[str, ...]
    curves: tuple[tuple[str, str], ...]


def make(context: Context, entry: Entry, options: Options) -> Product:
    """Return the comparison of the first pair that has results; see the module."""
    first, second = _chosen(context, options)
    dataset = context.figure_set.dataset
    display, rows = context.rows_of_codecs(dataset, first, second)
    found = {metric: _both(rows, first, second, metric, context) for metric in options.metrics}
    lines = {metric: both for metric, both in found.items() if both}
    if not lines:
        raise Skipped(f"{first} or {second} has no {options.metrics[0]} on {dataset}")
    covered = coverage(rows)[display]
    data = join(
        pair_rows(rows, both, (first, second), metric, options) for metric, both in lines.items()
    )
    stamp = context.stamp_of_rows(display)
    one, other = next(iter(lines.values()))
    what = f"{display}, {covered.images(next(iter(lines)))}"
    figure = draw(data, (one.style, other.style), list(lines), options, what, stamp.small_print())
    table = _table(entry, rows, first, second, what)
    labels = f"{options.names[0]}: {one.name}; {options.names[1]}: {other.name}."
    return Product(data, stamp, figure, table, (labels, _BARS, *covered.reasons(list(lines))))


_BARS = "Differences are at equal rate; bars are 95 % bootstrap intervals over images."


def _both(
    rows: pd.DataFrame, first: str, second: str, metric: str, context: Context
) -> tuple[rate_distortion.Line, rate_distortion.Line] | None:
    """Return both curves of a metric; None where one codec has none."""
    asked = rate_distortion.Options((first, second), metric=metric, anchor=second, max_bpp=math.inf)
    lines, _ = rate_distortion.measured_lines(rows, asked, context.styles)
    return (lines[first], lines[second]) if len(lines) == 2 else None


def _chosen(context: Context, options: Options) -> tuple[str, str]:
    """Return the first pair with results, or say what the first pair of all does not have."""
    for pair in options.pairs:
        try:
            context.rows_of_codecs(context.figure_set.dataset, *pair)
        except Skipped:
            continue
        return pair
    context.rows_of_codecs(context.figure_set.dataset, *options.pairs[0])
    raise AssertionError  # the line above raised


def panel(kind: str, metric: str) -> str:
    """Return the key of a panel: those of PSNR have the plain name of their kind."""
    return kind if metric == "psnr_db" else f"{kind}_{metric}"


def pair_rows(
    rows: pd.DataFrame,
    lines: tuple[rate_distortion.Line, rate_distortion.Line],
    codecs: tuple[str, str],
    metric: str,
    options: Options,
) -> pd.DataFrame:
    """Return both curves, and first minus second at equal rate, at the points of one of them.

    They are those of the curve that has fewer: what lies between three points is not known.
    """
    parts = []
    for name, line in zip(options.names, lines, strict=True):
        x, y = line.points.T
        parts.append(series(panel("rd", metric), name, MEASURED, x=("bpp", x), y=(metric, y)))
        if options.zoom:  # one point more at either end, so that the line crosses the panel
            low, high = (np.searchsorted(x, end) for end in options.zoom)
            part = slice(max(low - 1, 0), high + 1)
            zoomed = {"x": ("bpp", x[part]), "y": (metric, y[part])}
            parts.append(series(panel("zoom", metric), name, MEASURED, **zoomed))
    first, second = (_curves(rows, codec, metric) for codec in codecs)
    fewer_first = len(lines[0].points) < len(lines[1].points)
    if fewer_first:
        gain = quality_gaps(second, first, metric)
    else:
        gain = quality_gaps(first, second, metric) * (1, -1, -1, -1)
    if len(gain):
        interval = {"low": gain[:, 2:].min(1), "high": gain[:, 2:].max(1)}
        at = {"x": ("bpp", gain[:, 0]), "y": (f"{metric}_gain", gain[:, 1])}
        key = panel("gain", metric)
        parts.append(series(key, options.names[0], MEASURED, **at, **interval))
    return join(parts)


def _curves(rows: pd.DataFrame, codec: str, metric: str) -> dict[str, Curve]:
    kept = summary.comparable(rows)
    return summary.image_curves(kept[kept["codec"] == codec], metric)


def draw(
    data: pd.DataFrame,
    looks: tuple[Style, Style],
    metrics: Sequence[str],
    options: Options,
    what: str,
    small_print: str,
) -> Figure:
    """Return the drawing of ``pair_rows`` of some metrics: side by side, the gains below."""
    kinds = ["rd", "zoom"] if options.zoom else ["rd"]
    beside = [[panel(kind, metric) for metric in metrics] for kind in kinds]
    below = [[panel("gain", metric)] * len(metrics) for metric in metrics]
    sheet = Sheet(
        [*beside, *below],
        height_in=1.75 * len(beside) + 1.25 * len(below),
        small_print=small_print,
        gridspec_kw={"height_ratios": [*[1.75] * len(beside), *[1.25] * len(below)]},
    )
    end = 1.04 * float(data["x"].max())
    letters = iter("abcdef")
    for metric in metrics:
        values = select(data, panel("rd", metric))["y"]
        low, high = float(values.min()), float(values.max())
        room = (high - low or 1.0) * np.array([-0.05, 0.5])  # names stand above the curves
        sheet.panel(
            panel("rd", metric),
            f"({next(letters)}) {what}",
            x=_RATE,
            y=column(metric).title,
            xlim=(0, end),
            ylim=(low + room[0], high + room[1]),
        )
        drawn = _draw_both(sheet, data, panel("rd", metric), looks, options.names)
        if metric == metrics[0]:
            sheet.words(panel("rd", metric), drawn)
    for metric in metrics if options.zoom else ():
        _zoom(sheet, data, metric, f"({next(letters)}) enlarged", looks, options)
    for metric in metrics:
        _gain(sheet, data, metric, next(letters), looks[0], options)
    return sheet.finish()


def _draw_both(
    sheet: Sheet,
    data: pd.DataFrame,
    key: str,
    looks: tuple[Style, Style],
    names: tuple[str, str],
) -> list[tuple[str, Style]]:
    """Draw the second curve wide and the first narrow upon it: both are seen where they meet.

    Returns
    -------
    list of (str, Style)
        The first name and the second, with the style that each was drawn in.
    """
    drawn = []
    for name, style, (width, size) in zip(names[::-1], looks[::-1], _WIDTHS, strict=True):
        as_drawn = joined(replace(style, width=width, size=size), len(select(data, "rd", name)))
        sheet.line(data, key, name, as_drawn)
        drawn.append((name, as_drawn))
    return drawn[::-1]


def _zoom(
    sheet: Sheet,
    data: pd.DataFrame,
    metric: str,
    heading: str,
    looks: tuple[Style, Style],
    options: Options,
) -> None:
    """Draw the curves over the chosen rates alone."""
    key = panel("zoom", metric)
    ends = [
        float(value)
        for name in options.names
        if len(part := select(data, key, name))
        for value in np.interp(options.zoom, part["x"], part["y"])
    ]
    room = 0.05 * (max(ends) - min(ends) or 1.0)
    sheet.panel(
        key,
        heading,
        x=_RATE,
        y=column(metric).title,
        xlim=(options.zoom[0], options.zoom[-1]),
        ylim=(min(ends) - room, max(ends) + room),
    )
    _draw_both(sheet, data, key, looks, options.names)


def _gain(
    sheet: Sheet, data: pd.DataFrame, metric: str, letter: str, look: Style, options: Options
) -> None:
    """Draw first minus second at equal rate, with intervals."""
    key, end = panel("gain", metric), 1.04 * float(data["x"].max())
    title = column(metric).title
    minus = f"({letter}) {options.names[0]} minus {options.names[1]}"
    axes = sheet.panel(key, minus, x="bits per pixel (bpp), equal for both", y=title, xlim=(0, end))
    axes.axhline(0, color=GREY, linewidth=0.6)
    gain = select(data, key)
    if len(gain):
        sheet.line(data, key, options.names[0], joined(look, len(gain)))
        bars(axes, gain[["x", "y", "low", "high"]].to_numpy(float), look)


def _table(entry: Entry, rows: pd.DataFrame, first: str, second: str, what: str) -> Table:
    """Return rates of the first against the second, with the interval over images."""
    deltas = summary.bd_table(rows, second)
    cells = []
    for row in deltas.to_dict(orient="records"):
        low, high = (number(float(row[key]), 2) for key in ("ci_low", "ci_high"))
        texts = (
            column(str(row["metric"])).title,
            str(row["method"]),
            number(float(row["bd_rate_percent"]), 2, sign=True),
            f"{low} to {high}" if low else "",
            str(row["note"]),
        )
        cells.append([Cell(text) for text in texts])
    for name in dict.fromkeys(map(str, deltas["metric"])):
        mine = _curves(rows, first, name)
        equal = equal_quality.compare(_curves(rows, second, name), mine, name)
        low, high = (number(value, 2, sign=True) for value in (equal.low, equal.high))
        texts = (
            column(name).title,
            "at equal quality",
            number(equal.percent, 2, sign=True),
            f"{low} to {high}" if low else "",
            f"at {equal.points} points",
        )
        cells.append([Cell(text) for text in texts])
    return Table(
        name=entry.id,
        caption=f"Rate of {first} against {second}, {what}",
        head=("metric", "method", "rate (%)", "95 % over images", "note"),
        align="llrrl",
        rows=cells,
    )


def make_reported(context: Context, _entry: Entry, options: ReportedOptions) -> Product:
    """Return the published comparisons of gained with dedicated networks, all dashed."""
    data = reported_rows(options)
    described = {"reported points": "bench list --references"}
    stamp = of_record(context.results.record, datasets=described)
    used = [find(name) for pair in options.curves for name in pair]
    origins = [(item.source, item.read) for item in map(published.pair, options.pairs)]
    origins += [(item.source, item.read) for item in used]
    sources = dict.fromkeys(f"{source} ({read})" for source, read in origins)
    short = dict.fromkeys(re.split(r"[,:]", source)[0] for source, _ in origins)
    figure = draw_reported(data, f"{REPORTED}: {', '.join(short)}; more in the caption")
    notes = ("Nothing here was measured by this suite. Sources: " + "; ".join(sources) + ".",)
    return Product(data, stamp, figure, notes=notes)


def reported_rows(options: ReportedOptions) -> pd.DataFrame:
    """Return published curves of pairs, and gained minus dedicated at equal rate, as rows."""
    parts = []
    for pair in options.pairs:
        found = published.pair(pair)
        dedicated, gained = (f"{found.name}, {half}" for half in published.HALVES)
        for name, points in ((dedicated, found.dedicated), (gained, found.gained)):
            x, y = ("bpp", points[:, 0]), ("psnr_db", points[:, 1])
            parts.append(series("rd", name, REPORTED, x=x, y=y, curve=[name] * len(points)))
        inside = np.isin(found.gained[:, 0], found.dedicated[:, 0])
        gain = found.gained[inside, 1] - found.dedicated[:, 1]
        x, y = ("bpp", found.dedicated[:, 0]), ("psnr_db_gain", gain)
        name = f"{found.name}\n(paper)"
        parts.append(series("gain", name, REPORTED, x=x, y=y, curve=[gained] * len(gain)))
    for first, second in options.curves:
        one, other = find(first), find(second)
        both = rate_distortion.difference(*map(_psnr, (one, other)))
        x, y = ("bpp", both[:, 0]), ("psnr_db_gain", both[:, 1])
        name = f"{one.name.partition(' + ')[0]}\n(QVRF)"
        parts.append(series("gain", name, REPORTED, x=x, y=y, curve=[one.name] * len(both)))
    return join(parts)


def _psnr(curve: Published) -> NDArray[np.float64]:
    """Return (N, 2) of bpp and PSNR of a curve that has it."""
    points = curve.values("psnr_db")
    if points is None:
        raise Skipped(f"{curve.name} was published without PSNR")
    return points


def draw_reported(data: pd.DataFrame, small_print: str) -> Figure:
    """Return the drawing of ``reported_rows``."""
    sheet = Sheet([["rd"], ["gain"]], height_in=4.5, small_print=small_print)
    x = "bits per pixel (bpp)"
    sheet.panel("rd", "(a) the paper's own networks, Kodak", x=x, y="PSNR-RGB (dB)", xlim=(0, 1.5))
    low = sheet.panel(
        "gain",
        "(b) one gained network minus dedicated networks",
        x=x,
        y="PSNR-RGB (dB)",
        xlim=(0, 1.75),
    )
    low.axhline(0, color=GREY, linewidth=0.6)
    looks = published.looks(str(name) for name in data["curve"].unique())
    for panel in ("rd", "gain"):
        shown = select(data, panel).drop_duplicates("series")
        for name, curve in zip(shown["series"], shown["curve"], strict=True):
            sheet.line(data, panel, str(name), looks[curve], label=str(name), marks=_MARKS)
    sheet.dashed("rd")
    sheet.dashed("gain", loc="lower left")
    return sheet.finish()
