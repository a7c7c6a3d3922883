"""What a match says: sentences for a terminal, a table, and a CSV file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bench.files import file_stems
from bench.output.csv_files import write_frame
from bench.output.labels import name_of
from bench.output.table_formats import Cell, Table, number, plain_text
from bench.output.tables import write_tables
from bench.output.targets import NOTES, setting

STEM = "match"
AS_IS = "as-is"
COLUMNS = (
    *("dataset", "target", "codec", "label", "setting", "images", "of", "bytes", "anchor"),
    *("saved_bytes", "bytes_percent", "encode_s_mp", "encode_ratio", "sources", "lossy"),
)
_TIMES = (
    "Encoding is timed apart, one codec after another on one thread, at the settings that were "
    "found, over up to three photos; `bench throughput` measures speed better."
)


def remarks(found: pd.DataFrame) -> list[str]:
    """Return what must be known of the sources: which of them were lossy already."""
    told = []
    for name, group in found.groupby("dataset", sort=False):
        line = group.iloc[0]
        if line["lossy"]:
            told.append(
                f"{name}: {line['lossy']:.0f} of {line['sources']:.0f} files are JPEG, lossy "
                "already: every codec here loses more, and the distance is that from the files "
                "as they are, not from what the camera saw"
            )
    return told


def lines(found: pd.DataFrame) -> list[str]:
    """Return what a terminal shows: what equals what, then a codec a line."""
    told = []
    for (dataset, target), group in found.groupby(["dataset", "target"], sort=False):
        entries = group.to_dict("records")
        counted = f"{_count(entries)} of {entries[0]['of']:.0f} images"
        told.append(plain_text(f"{dataset}: at {target}, {counted}"))
        told.append(f"  {equation(entries)}")
        width = max(len(str(line["codec"])) for line in entries)
        told += [f"  {line['codec']:<{width}}  {_words(line)}" for line in entries]
    return told


def equation(entries: list[dict[Any, Any]]) -> str:
    """Return ``jpeg quality 80 = webp quality 75 (71 to 80)``, of the lines of one target."""
    equal = [f"{line['codec']} {setting(line)}" for line in entries if setting(line)]
    if entries[0]["anchor"] != AS_IS:
        equal = [_anchor_words(str(entries[0]["target"])), *equal]
    return " = ".join(equal) or "no codec reaches it"


def _count(entries: list[dict[Any, Any]]) -> str:
    return f"{max(float(line['images']) for line in entries if line['codec'] != AS_IS):.0f}"


def _anchor_words(target: str) -> str:
    anchor = target.partition(" of ")[2]
    return re.sub(r":(?=\w+=)", " ", anchor, count=1).replace("=", " ")


def _words(line: Mapping[Any, Any]) -> str:
    if math.isnan(float(line["bytes"])):
        return "out of reach, or failed"
    size = f"{line['bytes'] / 1e3:9.1f} KB a photo"
    if line["codec"] == line["anchor"]:
        return f"{size}, what the others are compared with"
    saved, share = float(line["saved_bytes"]) / 1e3, float(line["bytes_percent"])
    if math.isnan(saved):
        return size
    told = f"{size}, {'saves' if saved >= 0 else 'costs'} {abs(saved):.1f} KB"
    if not math.isnan(share):
        told += f" ({number(share, 1, sign=True)} % in all)"
    return told + slower(line)


def slower(line: Mapping[Any, Any]) -> str:
    """Return how the time of an encoder compares with the anchor's; empty where not timed."""
    ratio, seconds = float(line["encode_ratio"]), float(line["encode_s_mp"])
    if not math.isnan(ratio):
        word = "slower" if ratio >= 1 else "faster"
        return f", encodes {max(ratio, 1 / ratio):.3g} times {word}"
    return "" if math.isnan(seconds) else f", encodes a megapixel in {seconds:.3g} s"


def table(group: pd.DataFrame, *, title: str, stem: str) -> Table:
    """Return the table of one dataset and target."""
    rows = []
    for line in group.to_dict("records"):
        texts = (
            name_of(str(line["label"])),
            setting(line),
            number(float(line["bytes"]) / 1e3, 1),
            number(float(line["saved_bytes"]) / 1e3, 1, sign=True),
            number(float(line["bytes_percent"]), 1, sign=True),
            number(float(line["encode_ratio"]), 1),
            f"{line['images']:.0f} of {line['of']:.0f}",
        )
        rows.append([Cell(text) for text in texts])
    target = str(group.iloc[0]["target"])
    return Table(
        name=f"{stem}-{STEM}",
        caption=f"{title}: photographs at {target}",
        head=("Codec", "Setting", "KB a photo", "saved, KB", "bytes (%)", "time", "Images"),
        align="llrrrrr",
        rows=rows,
        notes=[*NOTES, _TIMES, *(f"{line}." for line in remarks(group))],
    )


def write(found: pd.DataFrame, folder: Path) -> list[Path]:
    """Write ``match.csv``, and a table for each dataset; return their paths."""
    written = write_frame(found, folder, STEM)
    stems = file_stems(sorted({str(name) for name in found["dataset"]}))
    for name, group in found.groupby("dataset", sort=True):
        stem = stems[str(name)]
        one = table(group, title=str(name), stem=stem)
        written += write_tables([one], folder / "tables" / f"{stem}_{STEM}")
    return written
