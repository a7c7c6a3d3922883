"""Tables of what failed, which images the means lack, and which codecs cannot run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from bench.analysis import summary
from bench.output.table_formats import Cell, Table

if TYPE_CHECKING:
    from bench.output.tables import Dataset


def _lines(frame: pd.DataFrame, columns: Sequence[str]) -> list[list[Cell]]:
    """Return the texts of some columns as rows of cells."""
    return [[Cell(str(line[name])) for name in columns] for line in frame.to_dict("records")]


def failure_tables(data: Dataset, unavailable: Sequence[tuple[str, str]]) -> list[Table]:
    """Return what failed, which images the means lack and why, and which codecs cannot run."""
    failed, lost = summary.failures(data.rows), data.coverage.missing
    failed = failed.assign(label=[data.names[str(label)] for label in failed["label"]])
    share = [f"{c} of {a}" for c, a in zip(failed["cells"], failed["attempted"], strict=True)]
    return [
        Table(
            name=f"{data.stem}-failures",
            caption=f"{data.title}: failures",
            head=["Codec", "Failed", "Images", "Error"],
            align="lrll",
            rows=_lines(failed.assign(share=share), ["label", "share", "images", "error"]),
            notes=[] if len(failed) else ["No cell failed."],
        ),
        Table(
            name=f"{data.stem}-missing",
            caption=f"{data.title}: images left out of every mean",
            head=["Image", "Codec", "Settings", "Why"],
            align="llrl",
            rows=_lines(lost, ["image", "codec", "settings", "reason"]),
            notes=[] if len(lost) else ["Every image is in every mean."],
            group=True,
        ),
        Table(
            name=f"{data.stem}-unavailable",
            caption="Codecs that could not run here",
            head=["Codec", "Why"],
            align="ll",
            rows=[[Cell(name), Cell(reason)] for name, reason in unavailable],
            notes=[*([] if unavailable else ["Every codec could run."]), data.provenance],
        ),
    ]
