"""Tables and plots of complexity: parameters, kMAC a pixel, and what BD-rate they buy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from bench.analysis import summary
from bench.codec.complexity import HEIGHT, WIDTH
from bench.files import file_stems, make_folder, write_atomically
from bench.measurement.complexity import Line
from bench.measurement.results import Results
from bench.output import pareto
from bench.output.axes import log_axis
from bench.output.coverage import count_text, setting_text
from bench.output.csv_files import write_frame
from bench.output.figure import COMPUTED, join, series
from bench.output.figure_text import label_text
from bench.output.labels import short_names
from bench.output.plot_styles import styles
from bench.output.provenance import of_record, provenance_note
from bench.output.sheet import RC, Sheet, write_figure
from bench.output.table_formats import DOWN, Cell, Table, number

STEM = "complexity"
_PANEL = "complexity"
_HEIGHT_IN = 2.9
_COUNTED = (
    f"kMAC/px: thousand multiply-accumulates for each pixel of a picture of {WIDTH}x{HEIGHT}, "
    "counted by torch's FlopCounterMode on the network itself: convolutions and matrix products, "
    "GDN included."
)
_NOT_COUNTED = (
    "Not counted: the entropy coder, the densities behind its tables, activations, gains and "
    "quantisation. Speed is measured by `bench throughput`, and does not follow from these counts."
)
_BOTH = (
    "Both: analysis, entropy model and synthesis, each once. The entropy model runs on both sides."
)


def frame(lines: Sequence[Line]) -> pd.DataFrame:
    """Return a row for each network; NaN where a side cannot be told."""
    return pd.DataFrame(
        [
            {
                "codec": line.codec,
                "label": line.label,
                "settings": " ".join(line.settings),
                "points": len(line.settings),
                "width": WIDTH,
                "height": HEIGHT,
                "parameters": line.found.parameters,
                "encoder_parameters": line.found.encoder_parameters,
                "decoder_parameters": line.found.decoder_parameters,
                "encoder_kmac_per_pixel": line.found.encoder_kmac,
                "decoder_kmac_per_pixel": line.found.decoder_kmac,
                "kmac_per_pixel": line.found.both_kmac,
            }
            for line in lines
        ]
    )


def table(lines: Sequence[Line], record: Mapping[str, Any]) -> Table:
    """Return the table of some networks."""
    names = short_names(frame(lines))
    rows = []
    for line in lines:
        found = line.found
        counts = (found.parameters, found.encoder_parameters, found.decoder_parameters)
        macs = (found.encoder_kmac, found.decoder_kmac, found.both_kmac)
        texts = [f"{count / 1e6:.2f}" if count is not None else "" for count in counts]
        texts += [number(math.nan if value is None else value, 2) for value in macs]
        rows.append([Cell(names[line.codec]), Cell(_span(line)), *map(Cell, texts)])
    return Table(
        name=STEM,
        caption=f"Complexity of {count_text(len(rows), 'network')}",
        head=(
            *("Codec", "Settings", f"parameters (M) {DOWN}", "encoder", "decoder"),
            *("encoder (kMAC/px)", "decoder (kMAC/px)", f"both (kMAC/px) {DOWN}"),
        ),
        align="llrrrrrr",
        rows=rows,
        notes=[_COUNTED, _NOT_COUNTED, _BOTH, provenance_note(record)],
        group=True,
    )


def _span(line: Line) -> str:
    """Return the first and the last setting of a line, without what they share."""
    varying, held = summary.split_settings(list(line.settings))
    ends = [setting_text(values) for values in (varying[0], varying[-1])]
    if len(line.settings) == 1 or ends[0] == ends[1]:
        return ends[0] or setting_text(held)
    return f"{ends[0]} to {ends[1]}"


def write(
    lines: Sequence[Line], out: Path, record: Mapping[str, Any], results: Results | None = None
) -> list[Path]:
    """Write CSV, table and, with the results of a run, plots of BD-rate; return their paths.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    written = write_frame(frame(lines), make_folder(out), STEM)
    shown, folder = table(lines, record), make_folder(out / "tables")
    for suffix, text in ((".md", shown.markdown()), (".tex", shown.latex())):
        write_atomically(folder / f"{STEM}{suffix}", text.encode())
        written.append(folder / f"{STEM}{suffix}")
    if results is None:
        return written
    plots, stems = make_folder(out / "plots"), file_stems(results.datasets)
    with mpl.rc_context(RC):
        for dataset in results.datasets:
            found = points(lines, results, dataset)
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


def points(lines: Sequence[Line], results: Results, dataset: str) -> pd.DataFrame | None:
    """Return BD-rate against the decoder's kMAC a pixel, a series for each codec.

    A codec of several networks lies at the mean over its settings, as its curve does. None where
    no codec has both numbers.
    """
    deltas = results.bd_rates()
    mine = (deltas["dataset"] == dataset) & (deltas["metric"] == "psnr_db")
    deltas = deltas[mine & (deltas["method"] == "pchip")]
    if deltas.empty:
        return None
    anchor = str(deltas["anchor"].iloc[0])
    rates = {anchor: 0.0, **dict(zip(deltas["codec"], deltas["bd_rate_percent"], strict=True))}
    names, parts = short_names(results.rows), []
    for codec in dict.fromkeys(line.codec for line in lines):
        own = [line for line in lines if line.codec == codec]
        macs = [line.found.decoder_kmac for line in own for _ in line.settings]
        rate = float(rates.get(codec, math.nan))
        if None in macs or not math.isfinite(rate):
            continue
        mean = sum(value for value in macs if value is not None) / len(macs)
        x = ("decoder_kmac_per_pixel", [mean])
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
