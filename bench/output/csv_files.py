"""Frames on disk: CSV with stable columns and full precision, Parquet where pyarrow is there."""

from __future__ import annotations

import importlib
from io import BytesIO
from pathlib import Path

import pandas as pd

from bench.analysis.summary import error_text
from bench.errors import OutputError
from bench.files import write_atomically
from bench.metrics.columns import file_columns

_TEXT = (
    *("dataset", "image", "codec", "label", "setting", "bitstream_sha256", "error"),
    *("anchor", "metric", "method", "note", "cause"),
)


def row_columns(rows: pd.DataFrame) -> list[str]:
    """Return the columns of ``rows.csv``, those of the metrics in between."""
    return [
        *("dataset", "image", "codec", "label", "setting", "bytes", "bpp"),
        *file_columns(rows),
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


def read_csv(path: Path) -> pd.DataFrame:
    """Return what ``to_csv`` wrote: equal floats, text columns as text, no error as ``""``.

    Raises
    ------
    OutputError
        If the file is missing or not such a table.
    """
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        numbers = {name: _numbers(frame[name]) for name in frame.columns if name not in _TEXT}
    except (OSError, ValueError) as error:
        raise OutputError(
            f"cannot read {path} as a table ({' '.join(str(error).split())})",
            "Run `bench tables` to write it again.",
        ) from error
    return frame.assign(**numbers)


def _numbers(column: pd.Series) -> pd.Series:
    """Return a column of texts as floats, the empty ones NaN."""
    values = [float(text) if text else float("nan") for text in column]
    return pd.Series(values, index=column.index, dtype=float)


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
