"""What the gain pair on the hyper-latent does (Cui et al. 2021, Fig. 5: HCVR against CVR).

The paper's comparison needs a second network trained without that pair. What one network can show
without training is shown: its tables, the share of side information, and the real bits it costs to
hold z's gains at one level while y's move. The last is an upper bound on what the pair is worth,
because a network trained without it would have adapted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bench.codecs.agvae.paper.latents_of_files import Floats, Probe, measured
from bench.figures.results import Context
from bench.figures.spec import Entry
from bench.image import Image
from bench.output.figure import COMPUTED, MEASURED, Product, join, select, series
from bench.output.plot_styles import series_style
from bench.output.sheet import GREY, Sheet

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Options:
    """What the set's file may say.

    Attributes
    ----------
    images
        Of the set's dataset.
    held
        Level at which z's gains are held.
    """

    images: tuple[str, ...]
    held: float = 4.0


def make(context: Context, entry: Entry, options: Options) -> Product:
    """Return the figure; see the module."""
    probe = Probe(context.figure_set.codec)
    tables = gain_rows(probe)
    frame, stamp = measured(
        context, entry, probe, options.images, measure, version=_VERSION, held=options.held
    )
    data = join([tables, frame])
    share, cost = select(data, "share")["y"], select(data, "cost")["y"]
    found = (
        f"Real files of {', '.join(options.images)}, mean: z takes {share.iloc[0]:.1f} % of the "
        f"file at level 0 and {share.iloc[-1]:.1f} % at the top; holding its gains at "
        f"level {options.held:g} costs up to {cost.max():.2f} % more bits."
    )
    bound = (
        "Panel (c) is an upper bound: nothing was retrained. The paper's comparison (HCVR against "
        "CVR) needs a network trained without the pair on z."
    )
    figure = draw(data, options.held, stamp.small_print())
    return Product(data, stamp, figure, notes=(found, bound))


def gain_rows(probe: Probe) -> pd.DataFrame:
    """Return median and 5 to 95 % range over channels of log2 gain and log2 inverse, per level."""
    parts = []
    for name, table in (("gain m", "log_gain"), ("inverse m'", "log_inverse")):
        log2 = probe.log_table(f"gain_z.{table}") / np.log(2)
        levels = np.arange(len(log2))
        for word, share in (("median", 50), ("5 %", 5), ("95 %", 95)):
            values: Floats = np.percentile(log2, share, axis=1)
            x, y = ("level", levels), ("log2_gain", values)
            parts.append(series("tables", f"{name} {word}", COMPUTED, x=x, y=y))
    return join(parts)


def measure(probe: Probe, images: dict[str, Image], held: float) -> pd.DataFrame:
    """Return z's share of the file and the cost of holding its gains, means over images."""
    levels = np.arange(probe.config.levels)
    share = np.zeros((len(images), len(levels)))
    cost = np.zeros_like(share)
    for i, image in enumerate(images.values()):
        for j, level in enumerate(levels):
            data = probe.encode(image, float(level))
            share[i, j] = 100 * probe.codec.ledger(data)["z"] / len(data)
            usual = probe.payload_bytes(image, float(level), float(level))
            cost[i, j] = 100 * (probe.payload_bytes(image, float(level), held) / usual - 1)
    x = ("level", levels)
    return join(
        [
            series("share", "z", MEASURED, x=x, y=("z_share_percent", share.mean(0))),
            series("cost", "z held", MEASURED, x=x, y=("more_bits_percent", cost.mean(0))),
        ]
    )


def draw(data: pd.DataFrame, held: float, small_print: str) -> Figure:
    """Return the drawing of ``gain_rows`` and ``measure``."""
    sheet = Sheet(
        [["tables", "tables"], ["share", "cost"]],
        height_in=3.8,
        small_print=small_print,
        gridspec_kw={"height_ratios": [6, 5]},
    )
    top = sheet.panel(
        "tables",
        "(a) gains of the hyper-latent z, over channels",
        x="level s",
        y="log₂ of gain and inverse",
    )
    for index, name in enumerate(("gain m", "inverse m'")):
        style = series_style(index, size=4)
        low, high = (select(data, "tables", f"{name} {word}") for word in ("5 %", "95 %"))
        top.fill_between(low["x"], low["y"], high["y"], color=style.colour, alpha=0.15, linewidth=0)
        edge = replace(style, marker="", width=0.4)
        sheet.line(data, "tables", f"{name} 5 %", edge)
        sheet.line(data, "tables", f"{name} 95 %", edge)
        sheet.line(data, "tables", f"{name} median", style, label=name)
    sheet.note("tables", "lines: median over channels\nbands: 5 to 95 %", x=0.02)
    sheet.panel("share", "(b) side information", x="level s", y="z, % of the file")
    sheet.line(data, "share", "z", series_style(0, size=4))
    sheet.axes["share"].set_ylim(bottom=0)
    sheet.panel("cost", f"(c) z's gains held at {held:g}", x="level s", y="more bits (%)")
    sheet.axes["cost"].axhline(0, color=GREY, linewidth=0.5)
    sheet.line(data, "cost", "z held", series_style(1, size=4))
    return sheet.finish()
