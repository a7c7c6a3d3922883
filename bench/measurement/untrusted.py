"""Results from elsewhere: what a file must be before anything in it is used.

A folder of results may come from anybody. Its database may hold views and triggers named like our
tables, its columns other types than ours, its record any JSON. Whatever is not exactly what
``bench all`` writes is refused in one line. The bounds are far beyond what a run produces.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import OutputError
from bench.metrics.columns import RECORDED, learn, metric_columns
from bench.metrics.columns import column as column_of

if TYPE_CHECKING:
    import pandas as pd

MAX_TEXT = 64 << 10
"""Longest name, setting or error text, in bytes."""

MAX_RECORD = 64 << 20
"""Largest run record, in bytes."""

MAX_TABLE = 1 << 30
"""Largest ``rows.csv``, in bytes."""

MAX_VALUE = 1e9
"""Largest rate, width or height; of a score and a file's size it is a thousand times that.

PSNR of equal pictures is infinite, which is allowed.
"""

_MAX_DEPTH = 12
_STEP = 10_000  # instructions of SQLite's virtual machine between two looks at the budget
_BASE_STEPS, _STEPS_A_BYTE = 10_000, 2e-3  # 10^8 instructions (seconds) and 20 for each byte
_STORED_AS = {
    "TEXT": "'text'",
    "INTEGER": "'integer'",
    "REAL": "'real', 'integer'",
    "BLOB": "'blob'",
}
_SHAPES: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(
        ("versions", "notes", "datasets", "scores", "cells", "later", "families", "imported"), dict
    ),
    **dict.fromkeys(("codec_words", "metric_words"), dict),
    "rungs": list,
    **dict.fromkeys(("unavailable", "curves", "messages", "differences", "ceilings"), list),
    **dict.fromkeys(("merged", "left_out"), list),
    **dict.fromkeys(("metrics", "codecs"), (list, dict)),
    **dict.fromkeys(
        ("started", "finished", "date", "commit", "cpu", "gpu", "system", "machine"), str
    ),
}

# What readers rely on in each entry of a list or table, and in single parts; in brackets: optional.
_ENTRIES: Mapping[str, Mapping[str, Any] | int] = {
    "datasets": {"(folder)": str, "(images)": (dict, int), "(duplicates)": dict},
    "scores": {"column": str, "version": str, "(about)": dict},
    "unavailable": 2,
    "imported": {"(words)": str},
    "merged": dict.fromkeys(("(name)", "(date)", "(cpu)", "(gpu)", "(commit)"), str),
    "ceilings": {
        **dict.fromkeys(("dataset", "codec", "label"), str),
        "(ceiling_psnr_db)": (int, float, str),  # "inf"
        "images": int,
    },
}
_PARTS: Mapping[str, Mapping[str, Any]] = {
    "cells": {"planned": int, "measured": int},
    "later": {"started": str, "planned": int, "measured": int},
}
_ROWS = frozenset(
    {
        *("dataset", "image", "codec", "label", "setting", "bytes", "bpp", "key"),
        *("encode_s", "decode_s", "bitstream_sha256", "error", "width", "height"),
    }
)


def _refused(path: Path, why: str, next_step: str = "") -> OutputError:
    return OutputError(
        f"{path} is not what `bench all` writes: {why}",
        next_step or "Ask for the original file, or run `bench all`.",
    )


def limit_queries(db: sqlite3.Connection, path: Path) -> None:
    """Make a connection to a file read-only and end any query that takes more than seconds.

    The budget grows with the file, so that a large honest one is read.
    """
    size = sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
    left = [_BASE_STEPS + _STEPS_A_BYTE * size]

    def out_of_budget() -> bool:
        left[0] -= 1
        return left[0] < 0

    db.set_progress_handler(out_of_budget, _STEP)
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, min(size + (1 << 20), 1_000_000_000))
    db.execute("PRAGMA query_only=ON")


def refuse_programs(db: sqlite3.Connection, path: Path) -> None:
    """Check that a database holds plain tables alone: nothing that runs when it is used.

    Raises
    ------
    OutputError
        If the file holds a view, a trigger, a virtual table or an index that is not SQLite's own.
    sqlite3.Error
        If it is damaged or no database.
    """
    for pragma in ("trusted_schema=OFF", "cell_size_check=ON"):
        db.execute(f"PRAGMA {pragma}")
    for kind, name, page in db.execute("SELECT type, name, rootpage FROM sqlite_schema"):
        own = str(name).lower().startswith("sqlite_")
        if kind != "table" and not (kind == "index" and own):
            fix = f'Remove it (`DROP {str(kind).upper()} "{name}"`), if the file is your own.'
            raise _refused(path, f"it holds the {kind} {str(name)[:80]!r}", fix)
        if not isinstance(page, int) or page < 1:
            raise _refused(path, f"{str(name)[:80]!r} is a virtual table")


def check_tables(db: sqlite3.Connection, path: Path, schema: str, *, values: bool = True) -> None:
    """Check that every table of ``schema`` is there, with its columns, types and keys.

    ``values``: whether to look at every value as well.

    Raises
    ------
    OutputError
        If a table or column is missing, is computed, has another key, or holds a value of another
        type or a text of more than ``MAX_TEXT`` bytes.
    """
    with closing(sqlite3.connect(":memory:")) as ours:
        ours.executescript(schema)
        names = [name for (name,) in ours.execute("SELECT name FROM sqlite_schema WHERE sql > ''")]
        wanted = {name: _columns(ours, name) for name in names}
    for table, columns in wanted.items():
        found = _columns(db, table)
        if not found:
            raise _refused(path, f"it lacks the table {table}")
        for column, about in columns.items():
            if found.get(column) != about:
                raise _refused(path, f"column {column} of {table} is missing or of another kind")
        tests = {name: _bad(name, *about) for name, about in columns.items()}
        if values and _any(db, table, " OR ".join(tests.values())):
            guilty = next(name for name, test in tests.items() if _any(db, table, test))
            raise _refused(
                path, f"a value in column {guilty} of {table} has another type or is too long"
            )


def _columns(db: sqlite3.Connection, table: str) -> dict[str, tuple[str, bool, int, int]]:
    """Return column -> declared type, whether NULL is refused, place in the key, whether hidden."""
    rows = db.execute(f"PRAGMA table_xinfo({table})")
    return {name: (kind, bool(full), key, hidden) for _, name, kind, full, _, key, hidden in rows}


def _bad(column: str, kind: str, full: bool, key: int, _hidden: int) -> str:
    """Return the condition under which a value is not of its column's type."""
    types = _STORED_AS[kind] + ("" if full or key else ", 'null'")
    long = MAX_RECORD if column == "record" else MAX_TEXT
    test = f"typeof({column}) NOT IN ({types})"
    return f"{test} OR length(CAST({column} AS BLOB)) > {long}" if kind == "TEXT" else test


def _any(db: sqlite3.Connection, table: str, condition: str) -> bool:
    query = f"SELECT 1 FROM {table} WHERE {condition} LIMIT 1"  # noqa: S608 - names of our schema
    return db.execute(query).fetchone() is not None


def read_json(path: Path) -> Any:  # noqa: ANN401 - any JSON
    """Return the content of a JSON file of at most ``MAX_RECORD`` bytes.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    OutputError
        If it cannot be read, is too large or no JSON.
    """
    try:
        if path.stat().st_size > MAX_RECORD:
            raise _refused(path, f"it has more than {MAX_RECORD >> 20} MiB")
        return parse_json(path.read_text(encoding="utf-8-sig"), path)
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"cannot read {path}: {error}", "Remove it.") from error


def parse_json(text: str, path: Path) -> Any:  # noqa: ANN401 - any JSON
    """Return parsed JSON; NaN, which is none, becomes None (a ceiling may be infinite).

    Raises
    ------
    OutputError
        If it is no JSON, or nested too deeply.
    """
    try:
        return json.loads(text, parse_constant={"Infinity": math.inf}.get)
    except (ValueError, RecursionError) as error:
        raise OutputError(f"cannot read the record in {path}: {error}", "Remove it.") from error


def check_record(record: Any, path: Path) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """Return a run record whose known entries have their shapes.

    Raises
    ------
    OutputError
        If it is no table, an entry has another shape, or a text is too long.
    """
    if not isinstance(record, dict):
        raise _refused(path, "its record is not a JSON object")
    if part := _misfit(record):
        raise _refused(path, f"{part!r} in its record has another shape")
    _check_texts(record, path, 0)
    for name, score in (record.get("scores") or {}).items():
        if about := score.get("about"):
            if not _fits(about, RECORDED):
                raise _refused(path, "'scores' in its record has another shape")
            learn(name, score["column"], about)
    return record


def _misfit(record: Mapping[str, Any]) -> str:
    """Return a part of a record that has another shape than readers rely on; empty: none."""
    for key, shape in _SHAPES.items():
        found, entries = record.get(key), _ENTRIES.get(key)
        if found is None:
            continue
        if not isinstance(found, shape):
            return key
        parts: Any = record[key]
        listed = parts.values() if isinstance(parts, dict) else parts
        if entries is not None and not all(_fits(entry, entries) for entry in listed):
            return key
    for key, wanted in _PARTS.items():
        if record.get(key) and not _fits(record[key], wanted):
            return key
    if key := _without_words(record):
        return key
    for about in (record.get("datasets") or {}).values():
        groups = (about.get("duplicates") or {}).values()
        if not all(isinstance(names, list) and names for names in groups):
            return "duplicates"
    columns = [about["column"] for about in (record.get("scores") or {}).values()]
    return "scores" if len({*columns, *_ROWS}) < len(columns) + len(_ROWS) else ""


def _without_words(record: Mapping[str, Any]) -> str:
    """Return a part of a record that must hold lists of texts and does not; empty: none."""
    words = [("families", members) for members in (record.get("families") or {}).values()]
    words += [(key, record.get(key) or []) for key in ("left_out", "rungs")]
    for key in ("codec_words", "metric_words"):
        words.append((key, list((record.get(key) or {}).values())))
    return next((key for key, listed in words if not _is_words(listed)), "")


def _is_words(entry: object) -> bool:
    return isinstance(entry, list) and all(isinstance(word, str) for word in entry)


def _fits(entry: object, shape: Mapping[str, Any] | int) -> bool:
    """Whether an entry is a list of so many texts, or an object with parts of these types.

    A part whose name is in brackets may be missing.
    """
    if isinstance(shape, int):
        return isinstance(entry, list) and len(entry) == shape and _is_words(entry)
    parts = entry if isinstance(entry, dict) else {}
    return isinstance(entry, dict) and all(
        isinstance(parts.get(key.strip("()")), kind)
        or (key.startswith("(") and parts.get(key.strip("()")) is None)
        for key, kind in shape.items()
    )


def _check_texts(value: object, path: Path, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise _refused(path, "its record is nested too deeply")
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise _refused(path, f"a text of its record has {len(value)} characters")
    items = [*value.keys(), *value.values()] if isinstance(value, dict) else value
    if isinstance(items, list):
        for item in items:
            _check_texts(item, path, depth + 1)


def check_rows(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return measured rows whose texts, settings, sizes and scores are what they can be.

    Parameters
    ----------
    rows
        The columns of ``rows.csv``.
    path
        Where they were read, for the message.

    Raises
    ------
    OutputError
        If a column is missing, a setting is no plain JSON object, a rate or size is not positive
        and finite, or a score is beyond any metric's range.
    """
    import numpy as np

    for column in ("dataset", "image", "codec", "label", "setting", "bytes", "bpp", "error"):
        if column not in rows:
            raise _refused(path, f"the column {column} is missing")
        if column in {"bytes", "bpp"}:
            values = rows[column].to_numpy(dtype=float)
            known = values[~np.isnan(values)]
            if not np.all((known > 0) & (known < MAX_VALUE * (1e3 if column == "bytes" else 1))):
                raise _refused(path, f"a value of {column} is not a positive number in range")
        elif any(not isinstance(v, str) or len(v) > MAX_TEXT for v in rows[column].unique()):
            raise _refused(path, f"a value of {column} is no text, or is too long")
    for setting in rows["setting"].unique():
        check_setting(setting, path)
    for name in rows.select_dtypes("number"):
        values = rows[name].to_numpy(dtype=float)
        if np.any(np.abs(values[np.isfinite(values)]) > 1e3 * MAX_VALUE):
            raise _refused(path, f"a value of {name} is out of range")
    _check_scores(rows, path)
    return rows


def _check_scores(rows: pd.DataFrame, path: Path) -> None:
    """Refuse a score outside of what its metric can give."""
    for name in metric_columns(rows):
        low, high = column_of(name).limits
        if ((rows[name] > high + 1e-6) | (rows[name] < low - 1e-6)).any():
            raise _refused(path, f"a value of {name} lies outside {low:g} to {high:g}")


def check_setting(text: str, path: Path) -> None:
    """Refuse a setting that is not a JSON object of plain values."""
    shown = text if len(text) < 80 else f"{text[:77]}..."
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _refused(path, f"the setting {shown!r} is not a JSON object")
    for value in found.values():
        number = isinstance(value, float) and not math.isfinite(value)
        if number or not isinstance(value, str | int | float | bool | None):
            raise _refused(path, f"the setting {shown!r} holds other than plain values")
