"""One network, many rates: discrete levels and what lies between (Cui et al. 2021, Figs. 3, 4)."""

from __future__ import annotations

from dataclasses import dataclass, replace

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

_VERSION = 1


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
        Of the set's dataset.
    step
        Between levels, 0.25 for quarter levels.
    """

    images: tuple[str, ...]
    step: float = 0.25


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
    """Return the lines of integer levels, by level, with the level as a column."""
    levels = [float(str(summary.parse_setting(text)["level"])) for text in frame["setting"]]
    frame = frame.assign(level=levels)
    return frame[frame["level"] == frame["level"].round()].sort_values("level")


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
    frame, stamp = measured(
        context, entry, probe, options.images, measure_levels, version=_VERSION, step=options.step
    )
    chord = select(frame, "chord")
    worst = chord.iloc[int(chord["y"].to_numpy().argmin())]
    note = (
        f"Real files of {', '.join(options.images)} at steps of {options.step:g} level. The "
        f"interpolated point furthest under the chord of its neighbouring levels lies "
        f"{-worst['y']:+.3f} dB under it ({worst['series']}, level {worst['level']:g})."
    )
    return Product(frame, stamp, draw_levels(frame, stamp.small_print()), notes=(note,))


def measure_levels(probe: Probe, images: dict[str, Image], step: float) -> pd.DataFrame:
    """Return rate and PSNR at every step of the level, and the distance to the chords."""
    psnr, parts = metric("psnr"), []
    levels = np.arange(0, probe.config.levels - 1 + step / 2, step)
    for name, image in images.items():
        pixels = image.shape[0] * image.shape[1]
        points = []
        for level in levels:
            data = probe.encode(image, float(level))
            points.append((8 * len(data) / pixels, psnr(image, probe.codec.decode(data))))
        frame = pd.DataFrame(points, columns=["bpp", "psnr_db"]).assign(level=levels)
        whole = frame[np.isclose(frame["level"], frame["level"].round())]
        parts += [
            _rd("rd", f"{name} continuous", frame),
            _rd("rd", f"{name} discrete", whole),
            _above_chords(name, frame, whole),
        ]
    return join(parts)


def _above_chords(name: str, frame: pd.DataFrame, whole: pd.DataFrame) -> pd.DataFrame:
    """Return how far each point lies above the straight line between its integer levels."""
    chord = np.interp(frame["bpp"], whole["bpp"], whole["psnr_db"])
    return series(
        "chord",
        name,
        MEASURED,
        x=("level", frame["level"]),
        y=("psnr_above_chord_db", frame["psnr_db"] - chord),
        level=frame["level"].tolist(),
    )


def draw_levels(data: pd.DataFrame, small_print: str) -> Figure:
    """Return the drawing of ``measure_levels``."""
    sheet = Sheet(
        [["rd"], ["chord"]],
        height_in=4.0,
        small_print=small_print,
        gridspec_kw={"height_ratios": [3, 2]},
    )
    rd = select(data, "rd")
    sheet.panel(
        "rd",
        "(a) discrete and interpolated levels, real files",
        x=RATE,
        y="PSNR-RGB (dB)",
        xlim=(0, 1.2 * rd["x"].max()),
    )
    low = sheet.panel(
        "chord",
        "(b) above the chord between discrete levels",
        x="level s",
        y="PSNR (dB)",
    )
    low.axhline(0, color=GREY, linewidth=0.6)
    for index, name in enumerate(select(data, "chord")["series"].unique()):
        style = series_style(index)
        small = replace(style, width=0.8, size=2.5)
        rings = replace(style, marker="o", width=0.0, size=4.2, filled=False)
        sheet.line(data, "rd", f"{name} continuous", small, label=str(name))
        sheet.line(data, "rd", f"{name} discrete", rings)
        sheet.line(data, "chord", str(name), small)  # (a) says which colour is which
    sheet.note("rd", "rings: discrete levels\ndots: interpolated between them")
    return sheet.finish()
