"""One figure of the ablation: quality against the reference variant, and the drift of m m'."""

from __future__ import annotations

from collections.abc import Sequence
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
from bench.output.families import bars
from bench.output.figure import COMPUTED, MEASURED, join, select, series
from bench.output.plot_styles import styles
from bench.output.sheet import FORMATS, RATE, RC, Sheet, write_figure

_QUANTILES = {"5 %": 0.05, "median": 0.5, "95 %": 0.95}
_UNITS = ("y", "z")


def write(
    rows: pd.DataFrame, order: Sequence[str], drift: pd.DataFrame, folder: Path, small_print: str
) -> list[Path]:
    """Write ``ablation_DATASET.{pdf,svg,png,csv}``; return their paths.

    The first codec of ``order`` is the reference; ``drift`` is ``gain_drift.products`` of the
    gained networks, perhaps empty.
    """
    written = []
    kept = summary.comparable(rows).dropna(subset="psnr_db")
    coverages = coverage(rows)
    stems = file_stems(sorted(str(name) for name in kept["dataset"].unique()))
    with mpl.rc_context(RC):
        for dataset, group in kept.groupby("dataset", sort=True):
            data = join([*_gaps(group, order), *_drifts(drift)])
            title = f"{dataset}, mean of {coverages[str(dataset)].images('psnr_db')}"
            figure = draw(data, order, title, small_print)
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


def draw(data: pd.DataFrame, order: Sequence[str], heading: str, small_print: str) -> Figure:
    """Return the figure; call it inside ``mpl.rc_context(RC)``."""
    units = [unit for unit in _UNITS if (data["panel"] == f"drift_{unit}").any()]
    mosaic = [["gap"], *[[f"drift_{unit}"] for unit in units]]
    sheet = Sheet(mosaic, height_in=2.1 + 1.7 * len(units), small_print=small_print)
    sheet.panel(
        "gap",
        f"(a) {heading}, against {order[0]}",
        x=RATE,
        y="PSNR gap (dB)",
    )
    style = styles(order)
    drawn_series = set(data.loc[data["panel"] == "gap", "series"])
    for codec in order:
        if codec not in drawn_series:  # its rates lie outside of the reference's
            continue
        sheet.line(data, "gap", codec, style[codec], label=codec)
        if codec != order[0]:
            mine = select(data, "gap", codec)[["x", "y", "low", "high"]]
            bars(sheet.axes["gap"], mine.to_numpy(float), style[codec])
    for letter, unit in zip("bc", units, strict=False):
        panel = f"drift_{unit}"
        sheet.panel(
            panel,
            f"({letter}) m m' of {unit} against its mean over the levels",
            x="level",
            y="departure (%)",
        )
        _draw_drift(sheet, data, panel)
    return sheet.finish()


def _draw_drift(sheet: Sheet, data: pd.DataFrame, panel: str) -> None:
    names = list(dict.fromkeys(data.loc[data["panel"] == panel, "series"]))
    networks = list(dict.fromkeys(name.rpartition(", ")[0] for name in names))
    style = styles(networks)
    for name in names:
        network, _, quantile = name.rpartition(", ")
        middle = quantile == "median"
        drawn = replace(style[network], marker="")
        if not middle:
            drawn = replace(drawn, width=0.7, dashes=(3, 1))
        label = f"{network}, median" if middle else quantile
        sheet.line(data, panel, name, drawn, label=label if len(networks) < 3 or middle else "")
