"""Tables of complexity: parameters and kMAC a pixel, by themselves and beside BD-rates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench.analysis import summary
from bench.codec.complexity import HEIGHT, WIDTH
from bench.files import make_folder, write_atomically
from bench.measurement.complexity import COLUMNS, STEM, Costs, Line
from bench.output.coverage import count_text, setting_text
from bench.output.csv_files import write_frame
from bench.output.labels import short_names
from bench.output.provenance import provenance_note
from bench.output.table_formats import DOWN, Cell, Table, number

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
                **{column: getattr(line.found, name) for name, column in COLUMNS.items()},
            }
            for line in lines
        ]
    )


COUNTED = {"parameters": 1e-6, "encoder_kmac": 1.0, "decoder_kmac": 1.0}
"""Number of a ``Complexity`` that has a column beside the rates of a codec -> its scale there."""

HEADS = (f"parameters (M) {DOWN}", f"encoder (kMAC/px) {DOWN}", f"decoder (kMAC/px) {DOWN}")
"""Of these columns."""

NOTES = (_COUNTED, _NOT_COUNTED)


def _text(value: float) -> str:
    """Return a number of a network, which is never nothing."""
    return "<0.01" if 0 < value < 0.005 else number(value, 2)


def texts(costs: Costs, codec: str) -> list[str]:
    """Return what stands below ``HEADS``; empty texts where a codec has no network, or unknown."""
    found = []
    for name, scale in COUNTED.items():
        span = costs.span(codec, name)
        ends = [_text(scale * end) for end in span] if span else [""]
        found.append(" to ".join(dict.fromkeys(ends)))
    return found


def table(lines: Sequence[Line], record: Mapping[str, Any]) -> Table:
    """Return the table of some networks."""
    names = short_names(frame(lines))
    rows = []
    for line in lines:
        found = line.found
        counts = (found.parameters, found.encoder_parameters, found.decoder_parameters)
        macs = (found.encoder_kmac, found.decoder_kmac, found.both_kmac)
        texts = [_text(math.nan if count is None else count / 1e6) for count in counts]
        texts += [_text(math.nan if value is None else value) for value in macs]
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


def write(lines: Sequence[Line], out: Path, record: Mapping[str, Any]) -> list[Path]:
    """Write CSV and table; return their paths.

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
    return written
