"""Two trained variants against each other (Cui et al. 2021, Figs. 10 and 12).

``make`` compares variants that were trained and measured here; it refuses, with the commands that
make them, where they were not. ``make_reported`` draws what others published on the same question.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Options:
    """What the set's file may say.

    Attributes
    ----------
    pairs
        (codec, codec it is compared with); the first pair that has results is drawn.
    names
        What the two are called.
    metric
        ``psnr_db`` or ``ms_ssim_db``.
    """

    pairs: tuple[tuple[str, str], ...]
    names: tuple[str, str]
    metric: str = "psnr_db"


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
    asked = rate_distortion.Options(
        (first, second), metric=options.metric, anchor=second, max_bpp=math.inf
    )
    lines, _ = rate_distortion.measured_lines(rows, asked, context.styles)
    if len(lines) < 2:
        raise Skipped(f"{first} or {second} has no {options.metric} on {dataset}")
    covered = coverage(rows)[display]
    count = covered.images(options.metric)
    data = pair_rows(rows, (lines[first], lines[second]), (first, second), options)
    stamp = context.stamp_of_rows(display)
    looks = (lines[first].style, lines[second].style)
    figure = draw(data, looks, options, f"{display}, {count}", stamp.small_print())
    table = _table(entry, rows, first, second, f"{display}, {count}")
    labels = f"{options.names[0]}: {lines[first].name}; {options.names[1]}: {lines[second].name}."
    return Product(data, stamp, figure, table, (labels, *covered.reasons([options.metric])))


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


def pair_rows(
    rows: pd.DataFrame,
    lines: tuple[rate_distortion.Line, rate_distortion.Line],
    codecs: tuple[str, str],
    options: Options,
) -> pd.DataFrame:
    """Return both curves, and first minus second at equal rate, at the points of one of them.

    They are those of the curve that has fewer: what lies between three points is not known.
    """
    named = zip(options.names, lines, strict=True)
    parts = [
        series(
            "rd",
            name,
            MEASURED,
            x=("bpp", line.points[:, 0]),
            y=(options.metric, line.points[:, 1]),
        )
        for name, line in named
    ]
    first, second = (_curves(rows, codec, options.metric) for codec in codecs)
    fewer_first = len(lines[0].points) < len(lines[1].points)
    if fewer_first:
        gain = quality_gaps(second, first, options.metric)
    else:
        gain = quality_gaps(first, second, options.metric) * (1, -1, -1, -1)
    if len(gain):
        interval = {"low": gain[:, 2:].min(1), "high": gain[:, 2:].max(1)}
        x, y = ("bpp", gain[:, 0]), (f"{options.metric}_gain", gain[:, 1])
        parts.append(series("gain", options.names[0], MEASURED, x=x, y=y, **interval))
    return join(parts)


def _curves(rows: pd.DataFrame, codec: str, metric: str) -> dict[str, Curve]:
    kept = summary.comparable(rows)
    return summary.image_curves(kept[kept["codec"] == codec], metric)


def draw(
    data: pd.DataFrame, looks: tuple[Style, Style], options: Options, what: str, small_print: str
) -> Figure:
    """Return the drawing of ``pair_rows``."""
    sheet = Sheet(
        [["rd"], ["gain"]],
        height_in=4.0,
        small_print=small_print,
        gridspec_kw={"height_ratios": [3, 2]},
    )
    x = RATE
    end = float(data["x"].max())
    sheet.panel("rd", f"(a) {what}", x=x, y=column(options.metric).title, xlim=(0, 1.25 * end))
    low = sheet.panel(
        "gain",
        f"(b) {options.names[0]} minus {options.names[1]}, at equal rate",
        x=x,
        y="dB",
        xlim=(0, 1.25 * end),
    )
    low.axhline(0, color=GREY, linewidth=0.6)
    for name, style in zip(options.names, looks, strict=True):
        drawn = joined(style, len(select(data, "rd", name)))
        sheet.line(data, "rd", name, drawn, label=name)
    gain = select(data, "gain")
    if len(gain):
        sheet.line(data, "gain", options.names[0], joined(looks[0], len(gain)))
        bars(low, gain[["x", "y", "low", "high"]].to_numpy(float), looks[0])
    return sheet.finish()


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
