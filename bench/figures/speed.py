"""Speed against rate: decoding and encoding throughput beside BD-rate.

The times in the results' rows were taken while several processes ran and are not speeds. Speed
comes from ``bench throughput``, whose ``throughput.json`` lies beside the results.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from bench.analysis import summary
from bench.errors import UsageError
from bench.figures.results import Context
from bench.figures.spec import Entry
from bench.output.axes import log_axis
from bench.output.coverage import coverage
from bench.output.figure import MEASURED, Product, Skipped, join, series
from bench.output.figure_text import label_text
from bench.output.labels import lanes_text, short_names
from bench.output.plot_styles import Style
from bench.output.provenance import of_record
from bench.output.sheet import Sheet

FILE = "throughput.json"
_LANES = ("processes", "threads")
_WANTED = ("codec", "device", "batch", "direction", "phase", "mp_per_s", "busy", "label", *_LANES)
_PLACES = (".", "throughput", "../throughput")
_WAYS = ("encode", "decode")


@dataclass(frozen=True, slots=True)
class Options:
    """What the set's file may say.

    Attributes
    ----------
    metric
        Of the BD-rate.
    """

    metric: str = "psnr_db"


def make(context: Context, _entry: Entry, options: Options) -> Product:
    """Return the figure, or say which command measures speed."""
    folder = context.results.folder
    places = [folder / place / FILE for place in _PLACES]
    path = next((place for place in places if place.is_file()), places[0])
    measured, record = read(path)
    display, rows = context.rows_of(context.figure_set.dataset)
    deltas = summary.bd_table(rows)
    deltas = deltas[(deltas["metric"] == options.metric) & (deltas["method"] == "pchip")]
    rates = dict(zip(deltas["codec"], deltas["bd_rate_percent"], strict=True))
    anchor = summary.pick_anchor(rows["codec"].unique())
    rates[anchor] = 0.0
    finite = [codec for codec, rate in rates.items() if not math.isnan(rate)]
    known = measured[measured["codec"].isin(finite)]
    if known.empty:
        raise Skipped(
            f"{path} and the results of {display} have no codec in common",
            f"Measure the codecs of {folder}: bench throughput -c CODEC --out {folder}",
        )
    data = speed_rows(known, {str(codec): float(rate) for codec, rate in rates.items()})
    dataset = context.stamp_of_rows(display).datasets
    stamp = of_record(record or context.results.record, datasets=dataset)
    against = short_names(rows)[anchor]
    figure = draw(data, against, context.styles, stamp.small_print())
    alone = "BESIDE OTHER WORK" if known["busy"].any() else "alone on the machine"
    covered = coverage(rows)[display]
    note = (
        f"BD-rate against {against} on {display}, {covered.images(options.metric)}; speed from "
        f"{FILE}, {alone}, each codec with as many cores as made it fastest."
    )
    return Product(data, stamp, figure, notes=(note, *covered.reasons([options.metric])))


def read(path: Path) -> tuple[pd.DataFrame, Mapping[str, Any]]:
    """Return the rows of whole calls in ``throughput.json``, and the run record beside them.

    The file holds ``rows``, a list of objects with the columns of ``throughput.csv``, and
    ``record``.

    Raises
    ------
    Skipped
        If the file is not there.
    UsageError
        If it has another shape.
    """
    if not path.is_file():
        raise Skipped(
            f"no {path}: the times of the rows are no speeds, they were taken with other work "
            "running",
            f"Run: bench throughput --out {path.parent}",
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        frame = pd.DataFrame(content["rows"])[list(_WANTED)]
        record: dict[str, Any] = content.get("record", {})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is no throughput file ({type(error).__name__}: {error})",
            f"Wanted rows with {', '.join(_WANTED)}, as `bench throughput` writes them.",
        ) from error
    whole = frame["direction"].isin(_WAYS) & (frame["direction"] == frame["phase"])
    return frame[whole], record


def speed_rows(measured: pd.DataFrame, rates: Mapping[str, float]) -> pd.DataFrame:
    """Return the fastest configuration of each codec and device, per direction, as rows."""
    parts = []
    names = short_names(measured)
    for way in _WAYS:
        rows = measured[measured["direction"] == way].sort_values("mp_per_s")
        for row in rows.groupby(["codec", "device"]).tail(1).to_dict("records"):
            codec, batch = str(row["codec"]), row["batch"]
            name = f"{codec} {row['device']}" + (f" x{batch}" if batch != 1 else "")
            label = f"{label_text(names[codec])}\n{_runs_on(row)}"
            x, y = (f"{way}_mp_per_s", [row["mp_per_s"]]), ("bd_rate_percent", [rates[codec]])
            parts.append(series(way, name, MEASURED, x=x, y=y, codec=[codec], label=[label]))
    return join(parts)


def _runs_on(row: Mapping[Hashable, Any]) -> str:
    """Return ``2 threads``, or the GPU and its batch."""
    batch = f", batch {row['batch']}" if row["batch"] != 1 else ""
    if row["device"] != "cpu":
        return f"{row['device']}{batch}"
    return lanes_text(int(row["processes"]), int(row["threads"])) + batch


def draw(data: pd.DataFrame, anchor: str, style: Mapping[str, Style], small_print: str) -> Figure:
    """Return the drawing of ``speed_rows``."""
    sheet = Sheet([["encode"], ["decode"]], height_in=4.4, small_print=small_print)
    for panel, heading in (("encode", "(a) encoding"), ("decode", "(b) decoding")):
        axes = sheet.panel(
            panel, heading, x="megapixels a second", y=f"BD-rate against {anchor} (%)"
        )
        shown = data[data["panel"] == panel]
        log_axis(axes, "x", shown["x"].min(), shown["x"].max(), before=0.15, after=0.25)
        axes.margins(y=0.2)
        axes.invert_yaxis()
        for row in shown.itertuples():
            dot = replace(style[str(row.codec)], width=0.0, size=4.5)
            sheet.line(data, panel, str(row.series), dot, label=str(row.label))
    return sheet.finish()
