"""How much each latent channel matters (Cui et al. 2021, Fig. 2).

One channel of the decoded latent is set to zero, the rest is synthesised, and the PSNR lost is the
channel's importance. For the most important channel, scaling instead of removing shows that PSNR
falls as soon as the channel leaves its own amplitude.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from bench.codecs.agvae.paper.latents_of_files import Probe
from bench.figures.results import Context
from bench.figures.spec import Entry
from bench.image import Image, pixels_sha256
from bench.metrics import create as metric
from bench.output.curve_labels import SMALL_PT
from bench.output.figure import COMPUTED, Product, join, select, series
from bench.output.plot_styles import series_style
from bench.output.sheet import GREY, Sheet

_VERSION = 1
_NEGLIGIBLE_DB = 0.01


@dataclass(frozen=True, slots=True)
class Options:
    """What the set's file may say.

    Attributes
    ----------
    image
        Of the set's dataset.
    level
        Of the file whose latents are changed.
    scales
        Factors on the most important channel.
    """

    image: str
    level: float = 4.0
    scales: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)


def make(context: Context, entry: Entry, options: Options) -> Product:
    """Return the figure; see the module."""
    probe = Probe(context.figure_set.codec)
    image = context.image(options.image)
    key = {
        "version": _VERSION,
        "network": probe.key,
        "pixels": pixels_sha256(image),
        "level": options.level,
        "scales": options.scales,
    }
    done = context.measure(entry.kind, key, partial(measure, probe, image, options))
    stamp = context.stamp_of(done, {options.image: image}, probe.weights)
    loss = select(done.frame, "loss")["y"].to_numpy()
    worst = int(select(done.frame, "loss")["channel"].iloc[0])
    few = int((loss >= _NEGLIGIBLE_DB).sum())
    note = (
        f"{options.image} at level {options.level:g}, the whole picture, every one of the "
        f"{len(loss)} channels: {few} cost {_NEGLIGIBLE_DB:g} dB or more, channel {worst} most "
        f"({loss[0]:.2f} dB)."
    )
    return Product(done.frame, stamp, draw(done.frame, stamp.small_print()), notes=(note,))


def measure(probe: Probe, image: Image, options: Options) -> pd.DataFrame:
    """Return the loss of every zeroed channel, largest first, and PSNR against the scale."""
    psnr, size = metric("psnr"), image.shape[:2]
    y_hat = probe.latents(probe.encode(image, options.level))

    def score(channel: int, factor: float) -> float:
        changed = y_hat.clone()
        changed[..., channel] *= factor
        return psnr(image, probe.reconstruct(changed, options.level, (size[0], size[1])))

    whole = psnr(image, probe.reconstruct(y_hat, options.level, (size[0], size[1])))
    active = y_hat.abs().amax((0, 1)) > 0
    loss = np.array(
        [whole - score(c, 0.0) if active[c] else 0.0 for c in range(probe.config.latent)]
    )
    order = np.argsort(-loss, kind="stable")
    parts = [
        series(
            "loss",
            "zeroed channel",
            COMPUTED,
            x=("rank", np.arange(1, len(order) + 1)),
            y=("psnr_loss_db", loss[order]),
            channel=order.tolist(),
        )
    ]
    for rank in (0, 4, len(order) // 8):
        channel = int(order[rank])
        values = [whole if f == 1 else score(channel, f) for f in options.scales]
        parts.append(
            series(
                "scale",
                f"channel {channel} (rank {rank + 1})",
                COMPUTED,
                x=("scale_factor", options.scales),
                y=("psnr_db", values),
                channel=[channel] * len(values),
            )
        )
    return join(parts)


def draw(data: pd.DataFrame, small_print: str) -> Figure:
    """Return the drawing of ``measure``'s rows."""
    sheet = Sheet([["loss"], ["scale"]], height_in=3.9, small_print=small_print)
    loss = select(data, "loss")
    top = sheet.panel(
        "loss",
        "(a) one latent channel set to zero",
        x="channel, by importance",
        y="PSNR loss (dB)",
        xlim=(0.8, 1.25 * len(loss)),
    )
    top.set_xscale("log")
    top.set_yscale("symlog", linthresh=_NEGLIGIBLE_DB, linscale=0.6)
    top.set_ylim(min(0.0, 1.2 * loss["y"].min()), 5 * max(loss["y"].max(), _NEGLIGIBLE_DB))
    for axis in (top.xaxis, top.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(NullLocator())
    style = series_style(0, width=0.6, size=3)
    sheet.line(data, "loss", "zeroed channel", style)
    top.axhline(_NEGLIGIBLE_DB, color=GREY, linewidth=0.5)
    first = loss.iloc[0]
    top.annotate(
        f"channel {first['channel']:.0f}: {first['y']:.2f} dB",
        (first["x"], first["y"]),
        xytext=(0, 5),
        textcoords="offset points",
        fontsize=SMALL_PT,
        color=style.text,
    )
    sheet.panel(
        "scale",
        "(b) one channel scaled before synthesis",
        x="scale factor on the channel",
        y="PSNR-RGB (dB)",
    )
    styles = [series_style(index, size=4) for index in (0, 2, 4)]
    for name, style in zip(select(data, "scale")["series"].unique(), styles, strict=True):
        sheet.line(data, "scale", str(name), style, label=str(name))
    return sheet.finish()
