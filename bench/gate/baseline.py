"""A locked baseline on disk: CSV with a JSON record beside it, a database of bench, or its folder.

``sample.csv`` holds the rows, ``sample.json`` the environment that made them, the ladders and the
speed ratios: two small text files whose difference a reviewer can read.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from bench.errors import OutputError, UsageError
from bench.files import write_atomically
from bench.gate.rows import COLUMNS, Locked, Row, by_key
from bench.measurement.sqlite import connect_to_read
from bench.measurement.store import SCHEMA_VERSION

FORMAT_VERSION = 1

_INTEGERS = ("width", "height", "size_bytes")
_FLOATS = ("psnr_db", "ms_ssim")
_DIGITS = 9
_PART = re.compile(r" \(\d+ of \d+\)$")


def read(path: Path) -> Locked:
    """Return the rows and the environment at ``path``.

    Parameters
    ----------
    path
        ``.csv`` as ``write`` makes it, ``.sqlite``, or the output folder of a run.

    Raises
    ------
    UsageError
        If nothing is there, or it is something else.
    """
    if path.is_dir():
        return read_database(path / "bench.sqlite")
    if not path.is_file():
        raise UsageError(
            f"no baseline at {path}", f"Lock one: bench check --update --baseline {path}"
        )
    return read_csv(path) if path.suffix == ".csv" else read_database(path)


def read_csv(path: Path) -> Locked:
    """Return the rows of a CSV and, from the JSON beside it, what made them.

    Raises
    ------
    UsageError
        If a column, a number or the format's version is not as ``write`` makes them.
    """
    record = _read_record(path.with_suffix(".json"))
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = set(COLUMNS) - set(reader.fieldnames or ())
            if missing:
                raise UsageError(
                    f"{path} is no baseline: it lacks the columns {', '.join(sorted(missing))}",
                    "rows.csv of a run cannot be used; give the run's folder.",
                )
            rows = [_row(line) for line in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(f"cannot read the baseline {path}: {error}", "Lock it again.") from error
    return Locked(
        rows=by_key(rows),
        environment=record.get("environment", {}),
        ladders={k: tuple(v) for k, v in record.get("ladders", {}).items()},
        speed=record.get("speed", {}),
        source=str(path),
    )


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {error}", "Lock the baseline again.") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT_VERSION:
        raise UsageError(
            f"{path} is no record of a baseline of format {FORMAT_VERSION}",
            "It was written by another version of bench; lock the baseline again.",
        )
    return record


def _row(line: Mapping[str, str]) -> Row:
    values: dict[str, Any] = {name: line[name] for name in COLUMNS}
    for names, kind in ((_INTEGERS, int), (_FLOATS, float)):
        for name in names:
            values[name] = kind(values[name]) if values[name] else None
    return Row(**values)


def write(path: Path, locked: Locked) -> list[Path]:
    """Write the CSV and its JSON record; each appears whole or not at all.

    Raises
    ------
    UsageError
        If ``path`` does not end in ``.csv``.
    OutputError
        If the folder cannot be written.
    """
    if path.suffix != ".csv":
        raise UsageError(
            f"a baseline is locked as .csv, found {path.name}", "Name it --baseline NAME.csv."
        )
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in locked.rows.values():
        writer.writerow([_text(getattr(row, name)) for name in COLUMNS])
    record = {
        "format": FORMAT_VERSION,
        "environment": dict(locked.environment),
        "ladders": dict(locked.ladders),
        "speed": dict(locked.speed),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {path.parent}: {error.strerror}") from error
    json_path = path.with_suffix(".json")
    write_atomically(path, text.getvalue().encode())
    write_atomically(json_path, json.dumps(record, indent=1, sort_keys=True).encode() + b"\n")
    return [path, json_path]


def _stored_row(line: Sequence[Any]) -> Row:
    """Return a row with scores rounded as ``write`` rounds them, so that they compare equal."""
    values = dict(zip(COLUMNS, line[:-1], strict=False))
    values["dataset"] = _PART.sub("", values["dataset"])
    for name in _FLOATS:
        if values[name] is not None:
            values[name] = round(values[name], _DIGITS)
    return Row(**values)


def _text(value: float | str | None) -> str:
    if value is None:
        return ""
    return f"{value:.{_DIGITS}f}" if isinstance(value, float) else str(value)


_QUERY = """
SELECT c.dataset, c.image, e.codec, c.curve, c.setting, e.version, e.width, e.height, e.pixels,
  e.bytes, (SELECT s.value FROM scores s WHERE s.key = e.key AND s.metric = 'psnr'
            ORDER BY s.version DESC LIMIT 1),
  (SELECT s.value FROM scores s WHERE s.key = e.key AND s.metric = 'ms_ssim'
   ORDER BY s.version DESC LIMIT 1),
  COALESCE(e.bitstream, ''), '', COALESCE(c.error, e.error, ''), e.key
FROM cells c LEFT JOIN encodings e ON e.key = c.key
WHERE e.key IS NOT NULL ORDER BY c.dataset, c.image, c.curve, e.bytes
"""
_METRICS = "SELECT metric, MAX(version) FROM scores GROUP BY metric"


def read_database(path: Path) -> Locked:
    """Return the rows of a database that ``bench all`` wrote, and the record of its last run.

    Raises
    ------
    UsageError
        If there is none, or it has another schema.
    """
    return read_stored(path)[0]


def read_stored(path: Path) -> tuple[Locked, dict[tuple[str, str, str, str], str]]:
    """Return what ``read_database`` does, and the store's key of each row.

    Raises
    ------
    UsageError
        If there is no such database, or it has another schema.
    """
    if not path.is_file():
        raise UsageError(f"{path.parent} holds no results", "Run `bench all` first.")
    try:
        with closing(connect_to_read(path)) as db:
            found = db.execute("PRAGMA user_version").fetchone()[0]
            if found != SCHEMA_VERSION:
                raise UsageError(f"{path} has schema {found}, wanted {SCHEMA_VERSION}")
            lines = db.execute(_QUERY).fetchall()
            last = db.execute("SELECT record FROM runs ORDER BY id DESC LIMIT 1").fetchone()
            metrics = dict(db.execute(_METRICS).fetchall())
    except sqlite3.Error as error:
        raise UsageError(
            f"{path} is not a database of bench: {error}", "Give a .csv, .sqlite or a run's folder."
        ) from error
    pairs = [(_stored_row(line), line[-1]) for line in lines]
    record = json.loads(last[0]) if last and last[0] else {}
    record["metrics"] = {name: {"version": version} for name, version in metrics.items()}
    record.setdefault("codecs", {row.codec: {"version": row.version} for row, _ in pairs})
    locked = Locked(by_key(row for row, _ in pairs), record, source=str(path))
    return locked, {row.key: key for row, key in pairs}
