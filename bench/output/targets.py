"""Bits at equal quality, of searched codecs: a table, a CSV file and lines for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench.analysis.at_targets import at_targets
from bench.files import file_stems
from bench.output.csv_files import write_frame
from bench.output.labels import short_names
from bench.output.provenance import provenance_note
from bench.output.table_formats import Cell, Table, number, plain_text
from bench.output.tables import write_tables

STEM = "targets"
NOTES = (
    (
        "Each file was searched to hit the target; the rate at the very target is interpolated in "
        "the logarithm between the two nearest files around it."
    ),
    (
        "Over the images on which every codec reaches the target; a codec that reaches it on none "
        "has no bits."
    ),
)
_INTERVAL = "In brackets: 95 % bootstrap interval over images."


def table(
    found: pd.DataFrame, names: Mapping[str, str], *, title: str, stem: str, notes: Sequence[str]
) -> Table:
    """Return the table of one dataset's ``at_targets``.

    Parameters
    ----------
    found
        Lines of one dataset.
    names
        Label -> what the tables call it.
    title, stem, notes
        Of the dataset's tables.
    """
    rows = []
    for line in found.to_dict("records"):
        texts = (
            line["target"],
            names.get(str(line["label"]), str(line["label"])),
            setting(line),
            number(float(line["bpp"]), 3),
            percent(line),
            number(float(line["bytes_percent"]), 1, sign=True),
            f"{line['images']:.0f} of {line['of']:.0f}",
        )
        rows.append([Cell(str(text)) for text in texts])
    intervals = [_INTERVAL] if found["low"].notna().any() else []
    return Table(
        name=f"{stem}-{STEM}",
        caption=f"{title}: bits at equal quality",
        head=("Target", "Codec", "Setting", "bpp", "bits (%)", "all bytes (%)", "Images"),
        align="lllrrrr",
        rows=rows,
        notes=[*NOTES, *intervals, *notes],
        group=True,
    )


def write_all(
    rows: pd.DataFrame, out: Path, *, provenance: Mapping[str, Any], anchor: str | None, mark: str
) -> list[Path]:
    """Write ``targets.csv`` and a table for each dataset; nothing where nothing was searched."""
    found = at_targets(rows, anchor)
    if found.empty:
        return []
    written = write_frame(found, out, STEM)
    names, stems = short_names(rows), file_stems(sorted(set(found["dataset"])))
    notes = [*(f"{line}." for line in provenance.get("remarks") or ()), provenance_note(provenance)]
    for name, group in found.groupby("dataset", sort=True):
        stem = stems[str(name)]
        one = table(group, names, title=f"{name}{mark}", stem=stem, notes=notes)
        written += write_tables([one], out / "tables" / f"{stem}_{STEM}")
    return written


def setting(line: Mapping[Any, Any]) -> str:
    """Return what the searches found; empty where nothing was searched or reached."""
    return line["setting"] if isinstance(line["setting"], str) else ""


def percent(line: Mapping[Any, Any]) -> str:
    """Return the bits against the anchor with their interval."""
    if line["codec"] == line["anchor"]:
        return "anchor"
    text = number(float(line["percent"]), 1, sign=True)
    if math.isnan(float(line["low"])):
        return text
    low, high = (number(float(line[end]), 1, sign=True) for end in ("low", "high"))
    return f"{text} [{low}, {high}]"


def _shown(line: Mapping[Any, Any]) -> str:
    text = percent(line)
    return text if text == "anchor" else text.replace(" [", " % [") if "[" in text else f"{text} %"


def lines(found: pd.DataFrame) -> list[str]:
    """Return what a terminal shows: a codec a line, the fewest bits first, below each target."""
    told = []
    width = max((len(str(codec)) for codec in found["codec"]), default=0)
    for (dataset, target), group in found.groupby(["dataset", "target"], sort=False):
        first = group.iloc[0]
        told.append(
            plain_text(
                f"{dataset}: bits at {target}, {first['images']:.0f} of {first['of']:.0f} images"
            )
        )
        for line in group.to_dict("records"):
            if not line["images"] or math.isnan(float(line["bpp"])):
                told.append(f"  {line['codec']:<{width}}  out of reach, or failed")
                continue
            told.append(
                f"  {line['codec']:<{width}}  {line['bpp']:6.3f} bpp  {_shown(line):>24}  "
                f"{setting(line)}".rstrip()
            )
    return told
