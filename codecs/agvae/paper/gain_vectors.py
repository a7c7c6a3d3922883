"""Gain vectors over channels and levels, and how constant the product m m' is.

The paper derives its interpolation from the assumption that m_s m'_s is the same vector for all
levels (eq. 7). Nothing in the loss enforces it; the second panel shows what training left of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure

from bench.codecs.agvae.paper.latents_of_files import Floats, Probe
from bench.figures.results import Context
from bench.figures.spec import Entry
from bench.measurement import provenance
from bench.output.curve_labels import SMALL_PT
from bench.output.figure import COMPUTED, Product, join, select, series
from bench.output.provenance import of_record
from bench.output.sheet import GREY, Sheet

_SHARE = 0.98


@dataclass(frozen=True, slots=True)
class Options:
    """What the set's file may say: nothing."""


def make(context: Context, _entry: Entry, _options: Options) -> Product:
    """Return the figure; see the module."""
    probe = Probe(context.figure_set.codec)
    data = rows(probe)
    record = provenance.record()
    stamp = of_record(record, datasets={"images": "none"}, weights=probe.weights)
    drift = select(data, "drift")
    reach = _reach(drift["y"].to_numpy())
    beyond = drift.loc[drift["y"].abs() > reach, "channel"].nunique()
    spread = select(data, "gain").groupby("x")["y"].agg(lambda part: part.max() - part.min())
    note = (
        f"{probe.manifest.name}: over the levels gains rise by a factor of "
        f"{2 ** spread.median():.1f} in the median channel ({2 ** spread.min():.1f} to "
        f"{2 ** spread.max():.1f}). m m' departs from its mean over the levels by "
        f"{_percent(drift['y'].abs().median()):.1f} % in the median and by less than "
        f"{_percent(reach):.0f} % in {100 * _SHARE:g} % of all cases; {beyond} of "
        f"{drift['channel'].nunique()} channels go beyond the scale of (b)."
    )
    return Product(data, stamp, draw(data, stamp.small_print()), notes=(note,))


def _percent(log2: float) -> float:
    return 100 * (2 ** float(log2) - 1)


def _reach(drift: Floats) -> float:
    """Return the end of the colour scale: a few channels that are never used may lie far out."""
    return max(float(np.quantile(np.abs(drift), _SHARE)), 1e-6)


def rows(probe: Probe) -> pd.DataFrame:
    """Return log2 m, and log2 m m' less its mean over the levels, by level and channel."""
    log_m = probe.log_table("gain_y.log_gain") / np.log(2)
    product = log_m + probe.log_table("gain_y.log_inverse") / np.log(2)
    drift = product - product.mean(0)
    order = np.argsort(-log_m.mean(0), kind="stable")
    rank = np.arange(1, len(order) + 1)
    parts = []
    for panel, name, table in (("gain", "log2_gain", log_m), ("drift", "log2_drift", drift)):
        parts += [
            series(
                panel,
                f"level {level}",
                COMPUTED,
                x=("rank", rank),
                y=(name, values[order].round(6)),  # float32 has no more
                channel=order.tolist(),
            )
            for level, values in enumerate(table)
        ]
    return join(parts)


def draw(data: pd.DataFrame, small_print: str) -> Figure:
    """Return the two heat maps."""
    sheet = Sheet([["gain"], ["drift"]], height_in=3.4, small_print=small_print)
    headings = {
        "gain": "(a) gain m of the latent y",
        "drift": "(b) departure of m m' from its mean over levels",
    }
    for panel, heading in headings.items():
        axes = sheet.panel(panel, heading, x="channel, by mean gain", y="level s")
        table = np.stack([part["y"].to_numpy() for _, part in _levels(data, panel)])
        if panel == "gain":
            _map(axes, table, "cividis", Normalize(), "log₂ m")
        else:
            reach = _reach(table)
            _map(axes, table, "PuOr", TwoSlopeNorm(0, -reach, reach), "log₂ (m m' / mean)")
    return sheet.finish()


def _levels(data: pd.DataFrame, panel: str) -> list[tuple[str, pd.DataFrame]]:
    shown = select(data, panel)
    return [(str(name), shown[shown["series"] == name]) for name in shown["series"].unique()]


def _map(axes: Axes, table: Floats, colours: str, norm: Normalize, label: str) -> None:
    """Draw a heat map, level 0 at the bottom, with its colour bar."""
    axes.grid(visible=False)
    shown = axes.imshow(
        table,
        aspect="auto",
        origin="lower",
        cmap=colours,
        norm=norm,
        interpolation="nearest",
        extent=(0.5, table.shape[1] + 0.5, -0.5, len(table) - 0.5),
    )
    figure = axes.figure
    beyond = "neither" if norm.vmin is None or np.abs(table).max() <= norm.vmax else "both"
    bar = figure.colorbar(shown, ax=axes, pad=0.015, fraction=0.05, extend=beyond)
    bar.set_label(label, fontsize=SMALL_PT, labelpad=2)
    bar.ax.tick_params(labelsize=SMALL_PT, length=2, width=0.5, color=GREY)
    bar.outline.set_linewidth(0.4)
