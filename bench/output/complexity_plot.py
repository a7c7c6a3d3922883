"""BD-rate against the decoder's kMAC a pixel, with the line of what nothing beats in both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from bench.codec.complexity import HEIGHT, WIDTH
from bench.files import file_stems, make_folder
from bench.measurement.complexity import STEM, Line, of_rows
from bench.measurement.results import Results
from bench.output import pareto
from bench.output.axes import log_axis
from bench.output.figure import COMPUTED, join, series
from bench.output.figure_text import label_text
from bench.output.labels import short_names
from bench.output.plot_styles import styles
from bench.output.provenance import of_record
from bench.output.sheet import RC, Sheet, write_figure

_PANEL = "complexity"
_HEIGHT_IN = 2.9


def write(
    lines: Sequence[Line], results: Results, out: Path, anchor: str | None = None
) -> list[Path]:
    """Write a plot for each dataset that has BD-rates of what was counted; return their paths."""
    plots, stems, written = make_folder(out / "plots"), file_stems(results.datasets), list[Path]()
    with mpl.rc_context(RC):
        for dataset in results.datasets:
            found = points(lines, results, dataset, anchor)
            if found is None:
                continue
            stamp = of_record(results.record, datasets={dataset: ""})
            written += write_figure(
                draw(found, dataset, stamp.small_print()),
                plots / f"{stems[dataset]}_{STEM}",
                ("png", "svg"),
                title=f"{dataset}: BD-rate and complexity",
                origin=stamp.full(),
            )
    return written


def points(
    lines: Sequence[Line], results: Results, dataset: str, anchor: str | None = None
) -> pd.DataFrame | None:
    """Return BD-rate against the decoder's kMAC a pixel, a series for each codec.

    A codec of several networks lies at the mean over its settings, as its curve does. None where
    no codec has both numbers.
    """
    deltas = results.bd_rates(anchor)
    mine = (deltas["dataset"] == dataset) & (deltas["metric"] == "psnr_db")
    deltas = deltas[mine & (deltas["method"] == "pchip")]
    if deltas.empty:
        return None
    anchor = str(deltas["anchor"].iloc[0])
    rates = {anchor: 0.0, **dict(zip(deltas["codec"], deltas["bd_rate_percent"], strict=True))}
    costs = of_rows(lines, results.rows[results.rows["dataset"] == dataset])
    names, parts = short_names(results.rows), []
    for codec in costs.codecs:
        macs, rate = costs.mean(codec, "decoder_kmac"), float(rates.get(codec, math.nan))
        if not (math.isfinite(macs) and math.isfinite(rate)):
            continue
        x = ("decoder_kmac_per_pixel", [macs])
        y = (f"BD-rate against {names.get(anchor, anchor)} (%)", [rate])
        more = {"codec": [codec], "label": [label_text(names[codec])]}
        parts.append(series(_PANEL, codec, COMPUTED, x=x, y=y, **more))
    return join(parts) if parts else None


def draw(data: pd.DataFrame, dataset: str, small_print: str) -> Figure:
    """Return the plot of ``points``, with the line of what nothing beats in both."""
    sheet = Sheet([[_PANEL]], height_in=_HEIGHT_IN, small_print=small_print)
    x_name = f"decoder, kMAC a pixel at {WIDTH}x{HEIGHT}"
    axes = sheet.panel(_PANEL, dataset, x=x_name, y=str(data["y_name"].iloc[0]))
    log_axis(axes, "x", data["x"].min(), data["x"].max(), before=0.15, after=0.25)
    axes.margins(y=0.2)
    axes.invert_yaxis()
    style = styles(data["codec"])
    for codec, label in zip(data["codec"], data["label"], strict=True):
        sheet.line(data, _PANEL, codec, style[codec], label=label)
    pareto.draw(axes, pareto.front(zip(data["x"], data["y"], strict=True)))
    return sheet.finish()
