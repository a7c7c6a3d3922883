"""What the second scale is worth, without training (beside Cui et al. 2021, Fig. 12).

The paper compares two networks, one trained with the asymmetric and one with the symmetric
Gaussian. The predictions of the asymmetric one alone can be made symmetric in two
ways, at the same latents, and the estimated bits compared:

* both scales set to their geometric mean, the mode kept: a Gaussian in the wrong place;
* a Gaussian of the same mean and variance as each predicted split normal.

Neither was trained for, so both bound from above what asymmetry saves; a network trained with
symmetric scales would do better than either.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.special import ndtr

from bench.codecs.agvae.paper.latents_of_files import Floats, Probe, Symbols, measured
from bench.figures.results import Context
from bench.figures.spec import Entry
from bench.image import Image
from bench.output.figure import ESTIMATED, Product, Skipped, join, select, series
from bench.output.plot_styles import series_style
from bench.output.sheet import GREY, Sheet

_VERSION = 1
_MASS_MIN = 1e-9
_TIED = "scales tied\nat the same mode"
_MATCHED = "Gaussian of the same\nmean and variance"


@dataclass(frozen=True, slots=True)
class Options:
    """What the set's file may say: images of the set's dataset."""

    images: tuple[str, ...]


def split_mass(symbols: Symbols) -> Floats:
    """Return the mass of each symbol's unit bin under its split normal, (N,)."""
    low, high = symbols.symbol - 0.5, symbols.symbol + 0.5
    left, right = symbols.left, symbols.right
    below = left * (ndtr(np.minimum(high, 0) / left) - ndtr(np.minimum(low, 0) / left))
    above = right * (ndtr(-np.maximum(low, 0) / right) - ndtr(-np.maximum(high, 0) / right))
    return np.asarray(2 / (left + right) * (below + above), dtype=np.float64)


def matched_mass(symbols: Symbols) -> Floats:
    """Return the mass of each symbol's bin under the Gaussian of the same mean and variance."""
    apart = symbols.right - symbols.left
    mean = np.sqrt(2 / np.pi) * apart
    sd = np.sqrt((1 - 2 / np.pi) * apart**2 + symbols.left * symbols.right)
    # The tail away from zero, so that nothing cancels.
    x = -np.abs(symbols.symbol - mean)
    return np.asarray(ndtr((x + 0.5) / sd) - ndtr((x - 0.5) / sd), dtype=np.float64)


def bits(mass: Floats) -> float:
    """Return the sum of -log2, in bits; no symbol costs more than the network's estimate allows."""
    return float(-np.log2(np.maximum(mass, _MASS_MIN)).sum())


def make(context: Context, entry: Entry, options: Options) -> Product:
    """Return the figure; see the module."""
    probe = Probe(context.figure_set.codec)
    if not probe.config.asymmetric:
        raise Skipped(f"{probe.codec.name} has symmetric scales: there is nothing to tie")
    frame, stamp = measured(context, entry, probe, options.images, measure, version=_VERSION)
    tied, matched = (select(frame, "cost", name)["y"] for name in (_TIED, _MATCHED))
    note = (
        f"Estimated bits of y on {', '.join(options.images)}, mean of the images' percentages, "
        f"nothing retrained. Tying the scales costs {tied.min():.2f} to {tied.max():.2f} %; a "
        f"Gaussian of the same mean and variance {matched.min():+.2f} to {matched.max():+.2f} %."
    )
    return Product(frame, stamp, draw(frame, stamp.small_print()), notes=(note,))


def measure(probe: Probe, images: dict[str, Image]) -> pd.DataFrame:
    """Return the cost of symmetry in percent of y's bits, and how unequal scales are, by level."""
    levels = np.arange(probe.config.levels)
    cost = np.zeros((2, len(levels), len(images)))
    apart = np.zeros((len(levels), len(images)))
    for i, level in enumerate(levels):
        for j, image in enumerate(images.values()):
            symbols = probe.symbols(image, float(level))
            own = split_mass(symbols)
            tied = np.sqrt(symbols.left * symbols.right)
            even = Symbols(symbols.residual, symbols.symbol, tied, tied, symbols.channel)
            cost[0, i, j] = 100 * (bits(split_mass(even)) / bits(own) - 1)
            cost[1, i, j] = 100 * (bits(matched_mass(symbols)) / bits(own) - 1)
            weight = -np.log2(np.maximum(own, _MASS_MIN))
            ratio = np.abs(np.log2(symbols.right / symbols.left))
            apart[i, j] = (ratio * weight).sum() / weight.sum()
    x = ("level", levels)
    y = ("more_bits_percent", cost.mean(2))
    ratio = 2 ** apart.mean(1)
    return join(
        [
            series("cost", _TIED, ESTIMATED, x=x, y=(y[0], y[1][0])),
            series("cost", _MATCHED, ESTIMATED, x=x, y=(y[0], y[1][1])),
            series("ratio", "scales", ESTIMATED, x=x, y=("scale_ratio", ratio)),
        ]
    )


def draw(data: pd.DataFrame, small_print: str) -> Figure:
    """Return the drawing of ``measure``'s rows."""
    sheet = Sheet(
        [["cost"], ["ratio"]],
        height_in=3.4,
        small_print=small_print,
        gridspec_kw={"height_ratios": [3, 2]},
    )
    levels = float(data["x"].max())
    top = sheet.panel(
        "cost",
        "(a) symmetry forced, network not retrained",
        x="level s",
        y="more bits for y (%)",
        xlim=(-0.2, levels * 1.06),
    )
    top.axhline(0, color=GREY, linewidth=0.5)
    top.margins(y=0.15)
    for index, name in enumerate((_TIED, _MATCHED)):
        sheet.line(data, "cost", name, series_style(index + 1, size=4), label=name)
    sheet.panel(
        "ratio",
        "(b) how unequal the scales are, weighted by bits",
        x="level s",
        y="larger / smaller",
        xlim=(-0.2, levels * 1.06),
    )
    sheet.line(data, "ratio", "scales", series_style(0, size=4))
    return sheet.finish()
