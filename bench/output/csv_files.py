"""Frames on disk: CSV with stable columns and full precision, Parquet where pyarrow is there."""

from __future__ import annotations

import importlib
from io import BytesIO
from pathlib import Path

import pandas as pd

from bench.analysis.summary import error_text
from bench.files import write_atomically
from bench.metrics.columns import file_columns


def row_columns(rows: pd.DataFrame) -> list[str]:
    """Return the columns of ``rows.csv``: metrics in between, what searches found where any did."""
    searched = ("found_setting", "target_miss", "target_bpp", "target_note")
    return [
        *("dataset", "image", "codec", "label", "setting", "bytes", "bpp"),
        *file_columns(rows),
        *(name for name in searched if name in rows.columns),
        *("encode_s", "decode_s", "bitstream_sha256", "error"),
    ]


def tidy_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return ``rows`` with exactly the columns of ``rows.csv``: sizes whole, errors text."""
    frame = rows.assign(error=error_text(rows)).reindex(columns=row_columns(rows))
    return frame.astype({"bytes": "Int64"})


def to_csv(frame: pd.DataFrame) -> bytes:
    """Return ``frame`` as CSV: ``inf`` as ``inf``, NaN empty, floats to the last digit.

    Half of a surrogate pair, as in a file name that is no UTF-8, is written as an escape.
    """
    text: str = frame.to_csv(index=False, lineterminator="\n")
    return text.encode(errors="backslashreplace")


def write_frame(frame: pd.DataFrame, folder: Path, stem: str) -> list[Path]:
    """Write ``stem.csv`` and, if pyarrow works here, ``stem.parquet``; return their paths."""
    csv = folder / f"{stem}.csv"
    write_atomically(csv, to_csv(frame))
    try:
        importlib.import_module("pyarrow")  # installed is not enough: it may want another NumPy
    except ImportError:
        return [csv]
    buffer = BytesIO()
    frame.to_parquet(buffer, index=False)
    parquet = folder / f"{stem}.parquet"
    write_atomically(parquet, buffer.getvalue())
    return [csv, parquet]
