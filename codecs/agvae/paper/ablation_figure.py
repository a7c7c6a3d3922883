"""One figure of the ablation: quality against the reference variant, and the drift of m m'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from bench.analysis import summary
from bench.analysis.equal_quality import quality_gaps
from bench.codecs.agvae.paper.ablation_curves import curves_of
from bench.files import file_stems, make_folder, write_atomically
from bench.output.coverage import coverage
from bench.output.csv_files import to_csv
from bench.output.family_plots import bars, joined
from bench.output.figure import COMPUTED, MEASURED, join, select, series
from bench.output.figure_text import label_text
from bench.output.labels import short_names
from bench.output.plot_styles import Style, styles
from bench.output.sheet import FORMATS, RATE, RC, Sheet, write_figure

_QUANTILES = {"5 %": 0.05, "median": 0.5, "95 %": 0.95}
_UNITS = ("y", "z")

Looks = Mapping[str, tuple[str, Style]]
"""Codec, or name of weights -> label and style."""


def write(
    rows: pd.DataFrame,
    codecs: Mapping[str, str],
    drift: pd.DataFrame,
    folder: Path,
    small_print: str,
) -> list[Path]:
    """Write ``ablation_DATASET.{pdf,svg,png,csv}``; return their paths.

    ``codecs`` is name of weights -> codec; the first codec is the reference. ``drift`` is
    ``gain_drift.products`` of the gained networks, perhaps empty.
    """
    written = []
    order, looks = list(dict.fromkeys(codecs.values())), _looks(rows, codecs)
    kept = summary.comparable(rows).dropna(subset="psnr_db")
    coverages = coverage(rows)
    stems = file_stems(sorted(str(name) for name in kept["dataset"].unique()))
    with mpl.rc_context(RC):
        for dataset, group in kept.groupby("dataset", sort=True):
            data = join([*_gaps(group, order), *_drifts(drift)])
            title = f"{dataset}, mean of {coverages[str(dataset)].images('psnr_db')}"
            figure = draw(data, order, looks, title, small_print)
            stem = make_folder(folder) / f"ablation_{stems[str(dataset)]}"
            written += write_figure(figure, stem, FORMATS, title=title, origin=small_print)
            written.append(stem.with_name(f"{stem.name}.csv"))
            write_atomically(written[-1], to_csv(data))
    return written


def _gaps(rows: pd.DataFrame, order: Sequence[str]) -> list[pd.DataFrame]:
    """Return each variant's PSNR less the reference's at the same rate, over the rate."""
    curves = {codec: curves_of(rows, codec, "psnr_db") for codec in order}
    parts = []
    for codec in order:
        gaps = quality_gaps(curves[order[0]], curves[codec], "psnr_db")
        interval = {"low": gaps[:, 2], "high": gaps[:, 3]}
        x, y = ("bpp", gaps[:, 0]), ("psnr_gap_db", gaps[:, 1])
        parts.append(series("gap", codec, MEASURED, x=x, y=y, **interval))
    return parts


def _drifts(drift: pd.DataFrame) -> list[pd.DataFrame]:
    """Return quantiles over channels of the departure of m m', by level, unit and network."""
    if not len(drift):
        return []
    parts = []
    for (network, unit), group in drift.groupby(["network", "unit"], sort=False):
        by_level = group.groupby("level")["departure_percent"]
        for name, quantile in _QUANTILES.items():
            values = by_level.quantile(quantile)
            parts.append(
                series(
                    f"drift_{unit}",
                    f"{network}, {name}",
                    COMPUTED,
                    x=("level", values.index.to_numpy()),
                    y=("departure_percent", values.to_numpy()),
                )
            )
    return parts


def _looks(rows: pd.DataFrame, codecs: Mapping[str, str]) -> Looks:
    """Return codec and weights -> label and style: wide and narrow in turn, where curves meet."""
    names, order = short_names(rows), list(dict.fromkeys(codecs.values()))
    style = styles(order)
    looks = {}
    for i, codec in enumerate(order):
        width, size = (0.8, 2.4) if i % 2 else (2.4, 4.6)
        looks[codec] = (label_text(names[codec]), replace(style[codec], width=width, size=size))
    return looks | {weights: looks[codec] for weights, codec in codecs.items()}


def draw(
    data: pd.DataFrame, order: Sequence[str], looks: Looks, heading: str, small_print: str
) -> Figure:
    """Return the figure; call it inside ``mpl.rc_context(RC)``."""
    units = [unit for unit in _UNITS if (data["panel"] == f"drift_{unit}").any()]
    mosaic = [["gap"], *[[f"drift_{unit}"] for unit in units]]
    sheet = Sheet(mosaic, height_in=2.1 + 1.7 * len(units), small_print=small_print)
    sheet.panel(
        "gap",
        f"(a) {heading}, against {looks[order[0]][0]}",
        x=RATE,
        y="PSNR gap (dB)",
    )
    drawn_series = set(data.loc[data["panel"] == "gap", "series"])
    for codec in order:
        if codec not in drawn_series:  # its rates lie outside of the reference's
            continue
        label, style = looks[codec]
        points = len(select(data, "gap", codec))
        sheet.line(data, "gap", codec, joined(style, points), label=label)
        if codec != order[0]:
            mine = select(data, "gap", codec)[["x", "y", "low", "high"]]
            bars(sheet.axes["gap"], mine.to_numpy(float), style)
    sheet.axes["gap"].margins(x=0.12, y=0.15)
    for letter, unit in zip("bc", units, strict=False):
        panel = f"drift_{unit}"
        sheet.panel(
            panel,
            f"({letter}) m m' of {unit} against its mean over the levels",
            x="level",
            y="departure (%)",
        )
        _draw_drift(sheet, data, panel, looks)
    return sheet.finish()


def _draw_drift(sheet: Sheet, data: pd.DataFrame, panel: str, looks: Looks) -> None:
    """Draw the median of each network with its name, and the 5 and 95 % quantiles without."""
    for name in dict.fromkeys(data.loc[data["panel"] == panel, "series"]):
        network, _, quantile = name.rpartition(", ")
        label, style = looks[network]
        if quantile == "median":
            sheet.line(data, panel, name, style, label=label)
        else:
            thin = replace(style, marker="", width=style.width / 2, dashes=(3, 1))
            sheet.line(data, panel, name, thin)
    sheet.axes[panel].margins(x=0.25, y=0.1)
    sheet.note(panel, "lines: median over channels\ndashed: 5 and 95 %", x=0.02, y=0.97)
