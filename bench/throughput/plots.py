"""Two plots a dataset: rate, distortion and speed in one; throughput against batch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from bench.analysis import summary
from bench.analysis.at_targets import at_targets
from bench.errors import UsageError
from bench.files import file_stems, make_folder
from bench.measurement.results import load_results
from bench.output import pareto
from bench.output.axes import log_axis
from bench.output.figure import MEASURED, join, series
from bench.output.figure_text import label_text
from bench.output.labels import lanes_text, short_names
from bench.output.plot_styles import styles
from bench.output.provenance import of_record, pixels_of
from bench.output.sheet import RC, Sheet, write_figure
from bench.throughput.measure import Result
from bench.throughput.rows import Row, frame
from bench.throughput.runner import DECODE, DIRECTIONS
from bench.throughput.tables import BUSY, fastest

FORMATS = ("png", "svg")
_HEIGHT_IN = 2.9


def plain_name(dataset: str) -> str:
    """Return a dataset's name without the number of images: ``kodak`` of ``kodak (8 of 24)``."""
    return dataset.partition(" (")[0]


def bd_rates(results: Path, dataset: str) -> tuple[str, str, dict[str, float]]:
    """Return what the rates are, the anchor, and codec -> rate in percent, of a run.

    They are BD-rates (PSNR); of a run that searched and has none, the bits of all files at the
    middle one of its targets.

    Raises
    ------
    UsageError
        If the folder has no results of the dataset, or these have no rate at equal quality.
    OutputError
        If they cannot be read.
    """
    rows = load_results(results).rows
    rows = rows[[plain_name(str(name)) == plain_name(dataset) for name in rows["dataset"]]]
    if rows.empty:
        raise UsageError(
            f"{results} has no results of {plain_name(dataset)}",
            f"Run: bench all -d {plain_name(dataset)} --out {results}, or leave --results out.",
        )
    deltas = summary.bd_table(rows)
    deltas = deltas[(deltas["metric"] == "psnr_db") & (deltas["method"] == "pchip")]
    known = deltas[deltas["bd_rate_percent"].notna()]
    if len(known):
        return "BD-rate", *_by_codec(known, "bd_rate_percent")
    found = at_targets(rows)
    found = found[found["bytes_percent"].notna()]
    if len(found) and (names := list(found["target"].unique())):
        target = names[(len(names) - 1) // 2]
        return f"bits at {target}", *_by_codec(found[found["target"] == target], "bytes_percent")
    note = str(deltas["note"].iloc[0]) if len(deltas) else "PSNR was not measured of two codecs"
    raise UsageError(
        f"{results} has no BD-rate of {plain_name(dataset)}: {note}",
        "Measure at least four settings of two codecs there, or leave --results out.",
    )


def _by_codec(found: pd.DataFrame, column: str) -> tuple[str, dict[str, float]]:
    """Return the anchor, and codec -> rate with the anchor's."""
    anchor = str(found["anchor"].iloc[0])
    pairs = zip(found["codec"], found[column], strict=True)
    return anchor, {str(codec): float(rate) for codec, rate in pairs} | {anchor: 0.0}


def write(
    result: Result, out: Path, record: Mapping[str, Any], results: Path | None = None
) -> list[Path]:
    """Write the plots of every dataset as PNG and SVG to ``out``/plots; return their paths.

    With ``results``, a folder that ``bench all`` wrote, they show BD-rate instead of PSNR.

    Raises
    ------
    UsageError, OutputError
        If the results cannot be used, or a file cannot be written.
    """
    folder = make_folder(out / "plots")
    datasets = list(dict.fromkeys(row.dataset for row in result.rows))
    stems = file_stems(datasets)
    written = []
    with mpl.rc_context(RC):
        for dataset in datasets:
            stamp = of_record(record, datasets={dataset: pixels_of(record, dataset)})
            for name, figure in _figures(result, dataset, stamp.small_print(), results):
                stem = folder / f"{stems[dataset]}_{name}"
                written += write_figure(
                    figure, stem, FORMATS, title=f"{dataset}: {name}", origin=stamp.full()
                )
    return written


def _figures(
    result: Result, dataset: str, small_print: str, results: Path | None
) -> Iterator[tuple[str, Figure]]:
    """Yield name and figure; one that would be empty is left out."""
    rows = [row for row in result.rows if row.dataset == dataset]
    busy = any(row.busy for row in rows)
    points = quality_points(rows, result, dataset, results)
    if points is not None:
        yield (
            "rate_distortion_speed",
            _draw_quality(points, _heading(dataset, busy=busy), small_print),
        )
    curves = batch_curves(rows)
    if curves is not None:
        yield "batch", _draw_batch(curves, _heading(dataset, busy=busy), small_print)


def _heading(dataset: str, *, busy: bool) -> str:
    return f"{dataset}, {BUSY}" if busy else dataset


def quality_points(
    rows: Sequence[Row], result: Result, dataset: str, results: Path | None
) -> pd.DataFrame | None:
    """Return decode MP/s against quality: a series for each codec, setting and device.

    Quality is ``bd_rates`` where ``results`` are given, else PSNR with the bpp in the label. A
    codec that has none (lossless, or no curve) is left out.
    """
    known = {(q.codec, q.setting): q for q in result.quality if q.dataset == dataset}
    names = short_names(frame(result.rows))
    what, anchor, rates = bd_rates(results, dataset) if results else ("", "", {})
    y_name = f"{what} against {names.get(anchor, anchor)} (%)" if results else "PSNR-RGB (dB)"
    parts = []
    for (codec, setting, device), fast in fastest(rows).items():
        quality = known.get((codec, setting))
        y = rates.get(codec, math.nan) if results else getattr(quality, "psnr_db", math.nan)
        if not math.isfinite(y):
            continue
        name = f"{codec} {device}" if device != "cpu" else codec
        label = label_text(names[codec]) + (f"\n{device}" if device != "cpu" else "")
        label += "" if results or quality is None else f"\n{quality.bpp:.2f} bpp"
        x = ("decode_mp_per_s", [row.mp_per_s for row in fast])
        parts.append(
            series(
                DECODE,
                f"{name} {setting}",
                MEASURED,
                x=x,
                y=(y_name, [y] * len(fast)),
                codec=[codec] * len(fast),
                label=[label] * len(fast),
                cores=[lanes_text(row.processes, row.threads) for row in fast],
            )
        )
    return join(parts) if parts else None


def batch_curves(rows: Sequence[Row]) -> pd.DataFrame | None:
    """Return MP/s against batch by direction: each codec and device with the most cores it had.

    None where every codec has one size of batch: there is no curve.
    """
    parts, names = [], short_names(frame(rows))
    batches: set[tuple[str, str, int]] = {(row.codec, row.device, row.batch) for row in rows}
    if len(batches) == len({key[:2] for key in batches}):
        return None
    for way in DIRECTIONS:
        whole = [row for row in rows if row.direction == way == row.phase]
        for key in dict.fromkeys((row.codec, row.setting, row.device) for row in whole):
            mine = [row for row in whole if (row.codec, row.setting, row.device) == key]
            most = max(row.processes * row.threads for row in mine)
            drawn = [row for row in mine if row.processes * row.threads == most]
            codec, setting, device = key
            lanes = lanes_text(drawn[0].processes, drawn[0].threads)
            parts.append(
                series(
                    way,
                    f"{codec} {setting} {device}",
                    MEASURED,
                    x=("batch", [row.batch for row in drawn]),
                    y=(f"{way}_mp_per_s", [row.mp_per_s for row in drawn]),
                    codec=[codec] * len(drawn),
                    label=[f"{label_text(names[codec])}\n{device if device != 'cpu' else lanes}"]
                    * len(drawn),
                )
            )
    return join(parts) if parts else None


def _names(data: pd.DataFrame, panel: str) -> list[tuple[str, str, str]]:
    """Return series, codec and label of what a panel shows."""
    shown = data[data["panel"] == panel].drop_duplicates("series")
    return list(zip(shown["series"], shown["codec"], shown["label"], strict=True))


def _draw_quality(data: pd.DataFrame, heading: str, small_print: str) -> Figure:
    """Return the plot of ``quality_points``: a line joins the numbers of cores."""
    sheet = Sheet([[DECODE]], height_in=_HEIGHT_IN, small_print=small_print)
    y_name = str(data["y_name"].iloc[0])
    cores = " or ".join(dict.fromkeys(data["cores"]))
    x_name = f"decoding, megapixels a second ({cores})"
    axes = sheet.panel(DECODE, heading, x=x_name, y=y_name)
    log_axis(axes, "x", data["x"].min(), data["x"].max(), before=0.15, after=0.15)
    axes.margins(y=0.2)
    if y_name.endswith("(%)"):
        axes.invert_yaxis()
        fastest_first = pareto.front(zip(-data["x"], data["y"], strict=True))
        pareto.draw(axes, [(-x, y) for x, y in fastest_first])
    style = styles(data["codec"])
    for name, codec, label in _names(data, DECODE):
        sheet.line(data, DECODE, name, replace(style[codec], width=0.8, size=4), label=label)
    return sheet.finish()


def _draw_batch(data: pd.DataFrame, heading: str, small_print: str) -> Figure:
    """Return the plot of ``batch_curves``."""
    sheet = Sheet([["encode"], ["decode"]], height_in=2 * _HEIGHT_IN - 0.6, small_print=small_print)
    sizes = sorted({int(size) for size in data["x"]})
    style = styles(data["codec"])
    for way in DIRECTIONS:
        axes = sheet.panel(way, f"{way}, {heading}", x="images a batch", y="megapixels a second")
        log_axis(axes, "x", data["x"].min(), data["x"].max(), before=0.2, after=0.2)
        axes.xaxis.set_major_locator(FixedLocator(sizes))
        speeds = data.loc[data["panel"] == way, "y"]
        log_axis(axes, "y", speeds.min(), speeds.max(), before=0.1, after=0.1)
        for name, codec, label in _names(data, way):
            sheet.line(data, way, name, replace(style[codec], width=0.8), label=label)
    return sheet.finish()
