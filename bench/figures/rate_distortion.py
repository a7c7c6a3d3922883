"""Rate-distortion against classical and learned codecs (Cui et al. 2021, Fig. 7), and beyond Kodak.

Two panels: the curves, and what each gains over an anchor at equal rate. Twenty decibels of range
hide half a decibel of difference; the second panel shows it. Both show the rates and qualities that
were measured here; of a published curve they show the points that lie there.

Published curves are means over a whole dataset, so they are drawn only where every image of it was
measured. MS-SSIM in decibels is that of the mean for both kinds, as everywhere in this suite.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from bench.analysis import bjontegaard, summary
from bench.analysis.published_curves import Reference, is_of
from bench.analysis.published_names import find
from bench.figures import published
from bench.figures.results import Context
from bench.figures.spec import Entry
from bench.metrics.columns import column
from bench.output.coverage import coverage
from bench.output.figure import MEASURED, REPORTED, Product, Skipped, join, select, series
from bench.output.figure_text import label_text
from bench.output.labels import short_labels
from bench.output.plot_styles import Style
from bench.output.sheet import RATE, Key, Sheet
from bench.output.table_formats import Cell, Table, number

Points = NDArray[np.float64]
_GRID = 64
_MARKS = 5  # markers on a line that has many points
_MARGIN = 1.42  # of the rate axis: room for labels
_ROOM = 0.04  # of an axis, below and above what it shows


@dataclass(frozen=True, slots=True)
class Options:
    """What the set's file may say.

    Attributes
    ----------
    measured
        Codecs of the results to draw; those without results are named in the caption.
    datasets
        Candidates; the first that has results is taken. Default: the set's.
    reported
        Ids of published curves; see ``bench list --references``.
    metric
        ``psnr_db`` or ``ms_ssim_db``.
    anchor
        Codec of the second panel.
    max_bpp
        The rate axis ends here at the latest; measured points beyond are not drawn.
    gain_range
        The second panel's axis ends here at the latest, dB; curves that stay below are named there
        in words.
    """

    measured: tuple[str, ...]
    datasets: tuple[str, ...] = ()
    reported: tuple[str, ...] = ()
    metric: str = "psnr_db"
    anchor: str = "bpg"
    max_bpp: float = 1.6
    gain_range: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Range:
    """What the first panel shows: rates up to ``max_bpp``, values from ``low`` to ``high``."""

    max_bpp: float
    low: float
    high: float

    def of(self, points: Points) -> Points:
        """Return those of ``points``, (N, 2), that lie in it."""
        x, y = points.T
        inside = (x <= self.max_bpp) & (y >= self.low) & (y <= self.high)
        return np.asarray(points[inside], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Line:
    """A curve: label, style, status, points (N, 2) of bpp and value, rates rising."""

    name: str
    style: Style
    status: str
    points: Points


def make(context: Context, entry: Entry, options: Options) -> Product:
    """Return the figure and the table of BD-rates; see the module."""
    dataset = _dataset(context, options)
    display, rows = context.rows_of(dataset)
    rows = rows[rows["codec"].isin([*options.measured, options.anchor])]
    covered = coverage(rows)[display] if len(rows) else None
    lines, missing = measured_lines(rows, options, context.styles)
    anchor = next((line for codec, line in lines.items() if codec == options.anchor), None)
    if anchor is None or covered is None:
        context.rows_of_codecs(dataset, options.anchor)  # says what is missing
        raise Skipped(f"{options.anchor} has no {options.metric} in the results of {dataset}")
    ours = list(lines.values())
    shown = shown_range(ours, options)
    reported: list[Line] = []
    notes = [f"{', '.join(missing)}: no results here."] if missing else []
    notes += covered.reasons([options.metric])
    if display == dataset and covered.whole(options.metric):
        references = _references(context, options, dataset)
        reported, beyond = within(reported_lines(references, options), shown)
        notes += [*_sources(references), *beyond]
    elif options.reported or context.references:
        notes.append(
            "Reported curves are left out: they are means over all images of "
            f"{dataset}, and ours are over {covered.images(options.metric)}"
            f"{display.removeprefix(dataset)}."
        )
    count = covered.images(options.metric)
    stamp = context.stamp_of_rows(display)
    drawn = [*ours, *reported]
    data = join([*_curve_rows(drawn, shown, options), *gain_rows(drawn, anchor, shown, options)])
    figure = draw(data, drawn, anchor, shown, options, f"{display}, {count}", stamp.small_print())
    table = bd_table(entry, drawn, anchor, options, f"{display}, {count}")
    return Product(data, stamp, figure, table, (_means(options), *notes))


def _references(context: Context, options: Options, dataset: str) -> list[Reference]:
    """Return the published curves of a dataset that have the metric: the set's, then others."""
    named = [find(name).reference() for name in options.reported]
    found = {
        one.name: one
        for one in [*named, *context.references]
        if is_of(one, dataset) and options.metric in one.points
    }
    return list(found.values())


def _sources(references: Sequence[Reference]) -> list[str]:
    """Return where the drawn published curves come from: a sentence for each way of reading."""
    by_reading: dict[str, list[str]] = {}
    for one in references:
        source, mark, read = one.source.removesuffix(")").rpartition(" (")
        if not (mark and one.source.endswith(")")):
            source, read = one.source, ""
        by_reading.setdefault(read, []).append(f"{one.name}: {source}")
    return [
        f"Reported, not measured{f', {read}' if read else ''}: {'; '.join(curves)}."
        for read, curves in by_reading.items()
    ]


def _means(options: Options) -> str:
    form = column(options.metric)
    if form.decibels:
        return f"{form.title}: {form.definition} Measured and reported alike."
    return "Values are means of per-image PSNR at means of per-image rates."


def _dataset(context: Context, options: Options) -> str:
    """Return the first candidate that has results."""
    candidates = options.datasets or (context.figure_set.dataset,)
    for name in candidates:
        try:
            context.rows_of(name)
        except Skipped:
            continue
        return name
    context.rows_of(candidates[0])
    raise AssertionError  # the line above raised


def measured_lines(
    rows: pd.DataFrame, options: Options, style: Mapping[str, Style]
) -> tuple[dict[str, Line], list[str]]:
    """Return codec -> curve of the codecs that have results, and those that have none."""
    codecs = list(dict.fromkeys([*options.measured, options.anchor]))
    means = summary.summarise(rows[rows["codec"].isin(codecs)])
    usable = summary.on_curve(means, options.metric)
    found = [codec for codec in codecs if codec in set(usable["codec"])]
    firsts = usable.drop_duplicates("codec").set_index("codec")["label"]
    labels, _ = short_labels([str(firsts[codec]) for codec in found])
    lines = {}
    for codec, label in zip(found, labels, strict=True):
        points = summary.curve(usable, codec, options.metric)
        lines[codec] = Line(label, style[codec], MEASURED, points)
    return lines, [codec for codec in options.measured if codec not in found]


def reported_lines(references: Sequence[Reference], options: Options) -> list[Line]:
    """Return published curves as they are drawn."""
    looks = published.looks(one.name for one in references)
    return [
        Line(one.name, looks[one.name], REPORTED, np.asarray(one.points[options.metric]))
        for one in references
    ]


def shown_range(ours: Sequence[Line], options: Options) -> Range:
    """Return the rates from zero and the values that the measured curves reach, with a margin."""
    points = np.vstack([line.points for line in ours])
    points = points[points[:, 0] <= options.max_bpp]
    low, high = float(points[:, 1].min()), float(points[:, 1].max())
    margin = _ROOM * (high - low or 1.0)
    return Range(float(points[:, 0].max()), low - margin, high + 2 * margin)


def within(reported: Sequence[Line], shown: Range) -> tuple[list[Line], list[str]]:
    """Return the published curves that have a point in the range, and who has none, in words."""
    found = [line for line in reported if len(shown.of(line.points))]
    absent = [line.name for line in reported if not len(shown.of(line.points))]
    told = [f"{', '.join(absent)}: outside of what was measured."] if absent else []
    return found, told


def _curve_rows(lines: list[Line], shown: Range, options: Options) -> list[pd.DataFrame]:
    """Return the points of the curves that are drawn, as rows."""
    found = []
    for line in lines:
        points = shown.of(line.points)
        x, y = ("bpp", points[:, 0]), (options.metric, points[:, 1])
        found.append(series("rd", line.name, line.status, x=x, y=y))
    return found


def gain_rows(
    lines: list[Line], anchor: Line, shown: Range, options: Options
) -> list[pd.DataFrame]:
    """Return each curve minus the anchor at equal rate: pchip over log rate, both curves."""
    found = []
    for line in lines:
        gain = difference(line.points, anchor.points)
        gain = gain[gain[:, 0] <= shown.max_bpp]
        if line is anchor or not len(gain):
            continue
        x, y = ("bpp", gain[:, 0]), (f"{options.metric}_gain", gain[:, 1])
        found.append(series("gain", line.name, line.status, x=x, y=y))
    return found


def _interpolated(points: Points) -> PchipInterpolator:
    return PchipInterpolator(np.log(points[:, 0]), points[:, 1])


def draw(
    data: pd.DataFrame,
    lines: list[Line],
    anchor: Line,
    shown: Range,
    options: Options,
    what: str,
    small_print: str,
) -> Figure:
    """Return the drawing of the curves and of their gains."""
    dashed = [(line.name, line.style) for line in lines if line.status == REPORTED]
    sheet = Sheet(
        [["rd"], ["gain"]],
        height_in=5.5,
        small_print=small_print,
        key=Key(REPORTED, dashed),
        gridspec_kw={"height_ratios": [6, 5]},
    )
    wide = (0.0, shown.max_bpp * _MARGIN)
    inside, below = _gains(data, lines, options)
    sheet.panel(
        "rd",
        f"(a) {what}",
        x=RATE,
        y=column(options.metric).title,
        xlim=wide,
        ylim=(shown.low, shown.high),
    )
    sheet.panel(
        "gain",
        f"(b) gain over {anchor.name.partition(',')[0]} at equal rate",
        x=RATE,
        y=f"difference in {column(options.metric).title}",
        xlim=wide,
        ylim=_gain_limits(data, inside, options, words=bool(below)),
    )
    rates = select(data, "rd", anchor.name)["x"]
    sheet.level("gain", 0, (rates.min(), rates.max()), anchor.style, label_text(anchor.name))
    for line in lines:
        few = line.status == MEASURED  # reported curves lie on each other: a key names them
        label = label_text(line.name) if few else ""
        sheet.line(data, "rd", line.name, line.style, label=label, marks=0 if few else _MARKS)
        if line.name in inside:
            sheet.line(data, "gain", line.name, line.style, label=label, marks=_MARKS)
    if below:
        sheet.note("gain", "below: " + "; ".join(below))
    return sheet.finish()


def _gains(
    data: pd.DataFrame, lines: Sequence[Line], options: Options
) -> tuple[list[str], list[str]]:
    """Return the names of the gains that are drawn, and in words those that stay below."""
    inside, below = [], []
    for line in lines:
        gain = select(data, "gain", line.name)["y"]
        if len(gain) and options.gain_range and gain.max() < options.gain_range[0]:
            below.append(f"{line.name} {number(gain.max(), 1)} to {number(gain.min(), 1)} dB")
        elif len(gain):
            inside.append(line.name)
    return inside, below


def _gain_limits(
    data: pd.DataFrame, names: Sequence[str], options: Options, *, words: bool
) -> tuple[float, float] | None:
    """Return the ends of the second panel's axis: of its curves and zero, with room for words."""
    gains = select(data, "gain")
    values = [0.0, *gains.loc[gains["series"].isin(names), "y"]]
    low, high = options.gain_range or (-math.inf, math.inf)
    low, high = max(low, min(values)), min(high, max(values))
    if low == high:
        return None
    room = _ROOM * (high - low)
    return low - (6 if words else 2) * room, high + 2 * room


def bd_table(entry: Entry, lines: list[Line], anchor: Line, options: Options, what: str) -> Table:
    """Return BD-rates of the drawn curves against the anchor."""
    base = _bd_curve(anchor.points)
    cells = []
    for line in lines:
        if line is anchor:
            continue
        delta = bjontegaard.compare(base, _bd_curve(line.points))
        row = (
            line.name,
            line.status,
            _percent(delta.bd_rate_percent, sign=True),
            _percent(delta.overlap_percent),
            delta.note,
        )
        cells.append([Cell(text) for text in row])
    return Table(
        name=entry.id,
        caption=f"BD-rate against {anchor.name}, {column(options.metric).title}, {what}",
        head=("curve", "status", "BD-rate (%)", "overlap (%)", "note"),
        align="llrrl",
        rows=cells,
        notes=("Piecewise cubic Hermite interpolation; negative: fewer bits.", _means(options)),
    )


def _bd_curve(points: Points) -> bjontegaard.Curve:
    return bjontegaard.Curve(tuple(points[:, 0].tolist()), tuple(points[:, 1].tolist()))


def _percent(value: float | None, *, sign: bool = False) -> str:
    return number(math.nan if value is None else value, 1, sign=sign) or "n/a"


def difference(first: Points, second: Points) -> Points:
    """Return rates and first - second at equal rate, (N, 2), over the rates that both have."""
    low, high = max(first[0, 0], second[0, 0]), min(first[-1, 0], second[-1, 0])
    if low >= high or min(len(first), len(second)) < 2:
        return np.empty((0, 2))
    rates = np.geomspace(low, high, _GRID)
    gain = _interpolated(first)(np.log(rates)) - _interpolated(second)(np.log(rates))
    return np.column_stack([rates, gain])
