"""One network, many rates: discrete levels and what lies between (Cui et al. 2021, Figs. 3, 4)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bench.analysis import summary
from bench.codecs.agvae.paper.latents_of_files import Probe, measured
from bench.figures.results import Context
from bench.figures.spec import Entry
from bench.image import Image
from bench.metrics import create as metric
from bench.output.coverage import coverage
from bench.output.figure import MEASURED, Product, Skipped, join, select, series
from bench.output.plot_styles import Style, series_style
from bench.output.sheet import GREY, RATE, Sheet
from bench.output.table_formats import number
from bench.rate_search import bits_per_pixel

_VERSION = 2


@dataclass(frozen=True, slots=True)
class DiscreteOptions:
    """What the set's file may say: whose stored rows, if not the set's dataset's."""

    dataset: str = ""


@dataclass(frozen=True, slots=True)
class ContinuousOptions:
    """What the set's file may say.

    Attributes
    ----------
    images
        Of the set's dataset; none named: all of it.
    step
        Between levels, 0.25 for quarter levels.
    """

    images: tuple[str, ...] = ()
    step: float = 0.5


def make_discrete(context: Context, _entry: Entry, options: DiscreteOptions) -> Product:
    """Return Fig. 3: the integer levels over a dataset, and over each of its images."""
    name = options.dataset or context.figure_set.dataset
    display, rows = context.rows_of_codecs(name, context.figure_set.codec)
    data = discrete_rows(rows)
    stamp = context.stamp_of_rows(display)
    covered = coverage(rows)[display]
    count = covered.images("psnr_db")
    figure = draw_discrete(data, f"{display}, {count}", stamp.small_print())
    mean = select(data, "rd", "mean")
    note = (
        f"One network at its {len(mean)} levels, {count} of {name}: "
        f"{mean['x'].min():.3f} to {mean['x'].max():.3f} bpp, "
        f"{mean['y'].min():.2f} to {mean['y'].max():.2f} dB (means of per-image values)."
    )
    return Product(data, stamp, figure, notes=(note, *covered.reasons(["psnr_db"])))


def discrete_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return mean and per-image curves over integer levels, from stored rows of one codec."""
    good = _at_integer_levels(summary.comparable(rows).dropna(subset="psnr_db"))
    if good.empty:
        raise Skipped("no integer levels among the stored rows", "Run `bench all` without -q.")
    means = _at_integer_levels(summary.on_curve(summary.summarise(rows), "psnr_db"))
    means = means.assign(bpp=means["bpp_psnr_db"])
    parts = [_rd("rd", str(image), part) for image, part in good.groupby("image", sort=True)]
    return join([*parts, _rd("rd", "mean", means)])


def _at_integer_levels(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the lines of the trained levels, whole and none below 0, with level as a column."""
    levels = [float(str(summary.parse_setting(text)["level"])) for text in frame["setting"]]
    return _trained(frame.assign(level=levels)).sort_values("level")


def _rd(panel: str, name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Return rate and PSNR of some levels as rows."""
    return series(
        panel,
        name,
        MEASURED,
        x=("bpp", frame["bpp"]),
        y=("psnr_db", frame["psnr_db"]),
        level=frame["level"].tolist(),
    )


def draw_discrete(data: pd.DataFrame, what: str, small_print: str) -> Figure:
    """Return the drawing of ``discrete_rows``."""
    sheet = Sheet([["rd"]], height_in=2.7, small_print=small_print)
    mean = select(data, "rd", "mean")
    axes = sheet.panel(
        "rd",
        f"one network, its {len(mean)} levels: {what}",
        x=RATE,
        y="PSNR-RGB (dB)",
        xlim=(0, 1.03 * data["x"].max()),
    )
    faint = Style("#BBBBBB", GREY, width=0.5)
    for image in data["series"].unique():
        if image != "mean":
            sheet.line(data, "rd", str(image), faint)
    sheet.line(data, "rd", "mean", Style("#0072B2", "#0072B2", "o", width=0.0, size=4))
    for row in mean.itertuples():
        axes.annotate(
            f"{row.level:g}",
            (row.x, row.y),
            xytext=(4, -6),
            textcoords="offset points",
            fontsize=6,
            color="#0072B2",
            fontweight="bold",
            zorder=6,
        )
    sheet.note("rd", "dots: mean, with the level s\ngrey: each image by itself")
    return sheet.finish()


def make_continuous(context: Context, entry: Entry, options: ContinuousOptions) -> Product:
    """Return Fig. 4: levels between the discrete ones, and their distance to chords."""
    probe = Probe(context.figure_set.codec)
    probe.log_table("gain_y.log_gain")  # without gains there is nothing between the levels
    dataset = context.dataset(options.images)
    known, frames, stamps = _stored(context, probe), {}, []
    for name in (item.name for item in dataset.items):  # each kept by itself: a run resumes
        measure = partial(measure_levels, known=known)
        frames[name], stamp = measured(
            context, entry, probe, [name], measure, version=_VERSION, step=options.step
        )
        stamps.append(stamp)
    last = max(stamps, key=lambda stamp: stamp.date)
    name, images = dataset.display_name, f"{len(frames)} images"
    pixels = dataset.provenance()["pixels_sha256"]
    stamp = replace(last, datasets={f"{name} ({images})": pixels})
    data = level_rows(frames)
    chord = select(data, "chord", "mean").query("level % 1 != 0")
    lowest = chord.sort_values("y").iloc[0]
    note = (
        f"Real files of {name}, mean of {images}, at steps of {options.step:g} level; below level "
        "0 gains are extrapolated. Of the mean curve, the lowest interpolated point lies "
        f"{number(lowest['y'], 3, sign=True)} dB above the chord of its neighbouring levels "
        f"(level {lowest['level']:g})."
    )
    figure = draw_levels(data, f"{name}, mean of {images}", stamp.small_print())
    return Product(data, stamp, figure, notes=(note,))


Known = Mapping[tuple[str, float], tuple[str, float]]
"""Image and level -> sha256 of the file and its PSNR."""


def _stored(context: Context, probe: Probe) -> Known:
    """Return the files of the codec that a run has measured already."""
    try:
        _, rows = context.rows_of(context.figure_set.dataset)
    except Skipped:
        return {}
    if not {"psnr_db", "bitstream_sha256"} <= set(rows.columns):
        return {}
    mine = rows[(rows["codec"] == probe.codec.name) & rows["psnr_db"].notna()]
    levels = [float(str(summary.parse_setting(text)["level"])) for text in mine["setting"]]
    found = zip(mine["image"], mine["bitstream_sha256"], mine["psnr_db"], levels, strict=True)
    return {(str(name), level): (str(file), float(psnr)) for name, file, psnr, level in found}


def measure_levels(
    probe: Probe, images: Mapping[str, Image], step: float, *, known: Known
) -> pd.DataFrame:
    """Return rate and PSNR of real files at every step of the level, from the lowest one on.

    A file that equals the one of ``known`` bit for bit has its PSNR, and is not decoded again.
    """
    psnr, points = metric("psnr"), []
    lowest = min(float(str(setting["level"])) for setting in probe.codec.ladder())
    for name, image in images.items():
        for level in map(float, np.arange(lowest, probe.config.levels - 1 + step / 2, step)):
            data = probe.encode(image, level)
            before = known.get((name, level))
            if before and before[0] == hashlib.sha256(data).hexdigest():
                quality = before[1]
            else:
                quality = float(psnr(image, probe.codec.decode(data)))
            points.append((level, bits_per_pixel(image, data), quality))
    return pd.DataFrame(points, columns=["level", "bpp", "psnr_db"])


def level_rows(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return ``measure_levels`` of each image and their mean as rows, with distances to chords."""
    every = pd.concat(frames.values())
    mean = every.groupby("level", sort=True).mean().reset_index()
    whole = _trained(mean)
    parts = [_rd("rd", image, frame) for image, frame in frames.items()]
    parts += [_above_chords(image, frame) for image, frame in frames.items()]
    parts += [_rd("rd", "mean", mean), _rd("rd", "mean, discrete", whole)]
    return join([*parts, _above_chords("mean", mean)])


def _trained(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the lines of the levels that were trained: whole and none below 0."""
    return frame[(frame["level"] == frame["level"].round()) & (frame["level"] >= 0)]


def _above_chords(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Return how far each point lies above the straight line between its trained levels."""
    whole, inside = _trained(frame), frame[frame["level"] >= 0]
    chord = np.interp(inside["bpp"], whole["bpp"], whole["psnr_db"])
    return series(
        "chord",
        name,
        MEASURED,
        x=("level", inside["level"]),
        y=("psnr_above_chord_db", inside["psnr_db"] - chord),
        level=inside["level"].tolist(),
    )


def draw_levels(data: pd.DataFrame, what: str, small_print: str) -> Figure:
    """Return the drawing of ``level_rows``."""
    sheet = Sheet(
        [["rd"], ["chord"]],
        height_in=4.0,
        small_print=small_print,
        gridspec_kw={"height_ratios": [3, 2]},
    )
    rd = select(data, "rd")
    sheet.panel(
        "rd",
        f"(a) {what}",
        x=RATE,
        y="PSNR-RGB (dB)",
        xlim=(0, 1.03 * rd["x"].max()),
    )
    low = sheet.panel(
        "chord",
        "(b) above the chord between discrete levels",
        x="level s",
        y="PSNR (dB)",
    )
    low.axhline(0, color=GREY, linewidth=0.6)
    faint = Style("#BBBBBB", GREY, width=0.5)
    small = series_style(0, width=0.8, size=2.5)
    for image in (name for name in rd["series"].unique() if not name.startswith("mean")):
        sheet.line(data, "rd", str(image), faint)
        sheet.line(data, "chord", str(image), faint)
    sheet.line(data, "rd", "mean", small)
    rings = replace(small, marker="o", width=0.0, size=4.2, filled=False)
    sheet.line(data, "rd", "mean, discrete", rings)
    sheet.line(data, "chord", "mean", small)
    below = " and below 0" if (rd["level"] < 0).any() else ""
    words = f"mean: rings at discrete levels,\ndots between them{below}"
    sheet.note("rd", f"{words}\ngrey: each image by itself")
    return sheet.finish()
