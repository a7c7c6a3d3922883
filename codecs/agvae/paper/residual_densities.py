"""A channel's residuals with both fitted densities, Gaussian and split normal.

The residuals y - mu, before rounding, of the channel that carries most bits, over all positions of
some images. Both densities are fitted by maximum likelihood; a third curve is the mean of the
densities that the entropy model itself predicted, one per residual: what the coder believed.

Over all positions a channel mixes many scales, so it is symmetric and has heavy tails whatever the
model. The second panel shows where asymmetry is: the quarter of the residuals for which the
network predicts the most unequal scales, each over sqrt(s_l s_r) and mirrored so that the wider
side is on the right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from bench.codecs.agvae.paper.latents_of_files import Floats, Probe, measured
from bench.codecs.agvae.paper.two_scales import split_mass
from bench.figures.results import Context
from bench.figures.spec import Entry
from bench.image import Image
from bench.output.figure import COMPUTED, MEASURED, Product, join, select, series
from bench.output.plot_styles import series_style
from bench.output.sheet import Sheet

_VERSION = 3
_SKEWED = 0.25
"""Share of the residuals that the second panel shows."""

_REACH = 4.0
_BINS = {"all": 80, "skewed": 40}
_HISTOGRAM = "histogram"
_PREDICTED = "mean of predicted\ndensities"


@dataclass(frozen=True, slots=True)
class Options:
    """What the set's file may say.

    Attributes
    ----------
    images
        Of the set's dataset.
    level
        Of the gain units.
    """

    images: tuple[str, ...]
    level: float = 4.0


@dataclass(frozen=True, slots=True)
class SplitNormal:
    """A fitted split normal: mode, scale to its left, scale to its right."""

    mode: float
    left: float
    right: float

    def density(self, x: Floats) -> Floats:
        """Return the density at ``x``, any shape."""
        return split_density(x - self.mode, self.left, self.right)

    @property
    def entropy_bits(self) -> float:
        """Differential entropy, which is minus the mean log2-likelihood at the fitted maximum."""
        return float(np.log2(np.sqrt(np.pi / 2) * (self.left + self.right)) + 0.5 * np.log2(math.e))


def split_density(x: Floats, left: Floats | float, right: Floats | float) -> Floats:
    """Return the split normal of mode 0: sqrt(2 / pi) / (s_l + s_r) exp(-x^2 / (2 s^2))."""
    scale = np.where(x < 0, left, right)
    height = np.sqrt(2 / np.pi) / (np.asarray(left) + np.asarray(right))
    return np.asarray(height * np.exp(-0.5 * (x / scale) ** 2), dtype=np.float64)


def fit_split_normal(x: Floats) -> SplitNormal:
    """Return the split normal of maximum likelihood.

    For a given mode the scales have a closed form, and the likelihood falls with
    cbrt(S_l) + cbrt(S_r), where S are sums of squares on either side (John, "The three-parameter
    two-piece normal family of distributions", 1982); the mode is found among the quantiles.
    """
    ordered = np.sort(x)
    modes = np.quantile(ordered, np.linspace(0.01, 0.99, 197))
    cut = np.searchsorted(ordered, modes)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    squares = np.concatenate([[0.0], np.cumsum(ordered**2)])
    below = squares[cut] - 2 * modes * sums[cut] + cut * modes**2
    count = len(ordered) - cut
    above = squares[-1] - squares[cut] - 2 * modes * (sums[-1] - sums[cut]) + count * modes**2
    low, high = np.cbrt(np.maximum(below, 1e-12)), np.cbrt(np.maximum(above, 1e-12))
    best = int(np.argmin(low + high))
    spread = (low[best] + high[best]) / len(ordered)
    return SplitNormal(
        float(modes[best]),
        float(low[best] * np.sqrt(spread)),
        float(high[best] * np.sqrt(spread)),
    )


def make(context: Context, entry: Entry, options: Options) -> Product:
    """Return the figure; see the module."""
    probe = Probe(context.figure_set.codec)
    frame, stamp = measured(
        context, entry, probe, options.images, measure, version=_VERSION, level=options.level
    )
    shown = frame[frame["series"] == _HISTOGRAM].set_index("panel")
    every, skewed = (shown.loc[panel].iloc[0] for panel in ("all", "skewed"))
    note = (
        f"{', '.join(options.images)} at level {options.level:g}; channel {every['channel']:.0f}, "
        f"which carries most bits. Over all its {every['count']:.0f} residuals the split normal "
        f"gains {every['bits_gained']:.4f} bits a residual over the Gaussian; over the "
        f"{skewed['count']:.0f} that the network predicts to be most skewed, "
        f"{skewed['bits_gained']:.3f}."
    )
    return Product(frame, stamp, draw(frame, stamp.small_print()), notes=(note,))


def measure(probe: Probe, images: dict[str, Image], level: float) -> pd.DataFrame:
    """Return histogram and densities of the channel that carries most bits."""
    found = [probe.symbols(image, level) for image in images.values()]
    names = ("residual", "left", "right", "channel")
    residual, left, right, channel = (
        np.concatenate([getattr(part, name) for part in found]) for name in names
    )
    cost = np.concatenate([-np.log2(np.maximum(split_mass(part), 1e-9)) for part in found])
    chosen = int(np.bincount(channel, cost).argmax())
    mine = channel == chosen
    x, left, right = residual[mine], left[mine], right[mine]
    ratio = np.abs(np.log(right / left))
    most = ratio >= np.quantile(ratio, 1 - _SKEWED)
    width = np.sqrt(left * right)[most]
    low, high = (part[most] / width for part in (np.minimum(left, right), np.maximum(left, right)))
    mirrored = np.where(right > left, x, -x)[most] / width
    return join(
        [
            *_densities("all", x, left, right, chosen),
            *_densities("skewed", mirrored, low, high, chosen),
        ]
    )


def _densities(
    panel: str, x: Floats, left: Floats, right: Floats, channel: int
) -> list[pd.DataFrame]:
    """Return histogram and three densities of residuals with their predicted scales, as rows."""
    mean, sd = float(x.mean()), float(x.std())
    reach = _REACH * sd
    edges = np.linspace(-reach, reach, _BINS[panel] + 1)
    counts, _ = np.histogram(x, edges)
    middle = (edges[:-1] + edges[1:]) / 2
    split = fit_split_normal(x)
    gaussian = np.exp(-0.5 * ((middle - mean) / sd) ** 2) / (sd * np.sqrt(2 * np.pi))
    predicted = np.array([split_density(np.full_like(left, m), left, right).mean() for m in middle])
    fitted = f"split normal fit: mode {split.mode:.2f},\nscales {split.left:.2f}, {split.right:.2f}"
    values = {
        _HISTOGRAM: (MEASURED, counts / (len(x) * (edges[1] - edges[0]))),
        f"Gaussian fit: mean {mean:.2f},\nscale {sd:.2f}": (COMPUTED, gaussian),
        fitted: (COMPUTED, split.density(middle)),
        _PREDICTED: (COMPUTED, predicted),
    }
    gained = 0.5 * np.log2(2 * np.pi * math.e * sd**2) - split.entropy_bits
    return [
        series(
            panel,
            name,
            status,
            x=("residual" if panel == "all" else "residual_over_scale", middle),
            y=("density", density),
            channel=[channel] * len(middle),
            count=[len(x)] * len(middle),
            bits_gained=[gained] * len(middle),
        )
        for name, (status, density) in values.items()
    ]


def draw(data: pd.DataFrame, small_print: str) -> Figure:
    """Return the drawing of ``measure``'s rows."""
    sheet = Sheet([["all"], ["skewed"]], height_in=4.4, small_print=small_print)
    channel = int(data["channel"].iloc[0])
    wording = {
        "all": (f"(a) all residuals of channel {channel}", "residual y - mu (quantisation steps)"),
        "skewed": (
            "(b) those predicted to be most skewed, mirrored",
            "residual over sqrt(s_l s_r), wider side right",
        ),
    }
    for panel, (heading, x) in wording.items():
        shown = select(data, panel)
        counted = select(data, panel, _HISTOGRAM)
        width = float(counted["x"].iloc[1] - counted["x"].iloc[0])
        reach = float(counted["x"].max()) + width / 2
        axes = sheet.panel(panel, heading, x=x, y="density", xlim=(-reach, reach))
        if panel == "all":
            axes.set_yscale("log")
            axes.set_ylabel("density (log scale)")
            axes.yaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            lowest = counted.loc[counted["y"] > 0, "y"].min()
            axes.set_ylim(0.5 * lowest, 15 * shown["y"].max())  # names stand above the curves
        else:
            axes.set_ylim(0, 1.4 * shown["y"].max())
        gid = f"{panel}|{_HISTOGRAM}"
        axes.bar(counted["x"], counted["y"], width, color="#CCCCCC", gid=gid, zorder=1)
        named = []
        styles = [series_style(index, marker="", width=1.0) for index in (2, 1, 0)]
        for name, style in zip(shown["series"].unique()[1:], styles, strict=True):
            sheet.line(data, panel, str(name), style)
            named.append((str(name).replace("\n", " "), style))
        sheet.words(panel, named)
    return sheet.finish()
