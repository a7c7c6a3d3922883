"""A locked baseline on disk: CSV with a JSON record beside it, a database of bench, or its folder.

``sample.csv`` holds the rows, ``sample.json`` the environment that made them, the ladders, the
speed ratios, and how many rows there are with their hash: two small text files whose difference a
reviewer can read. A row that cannot be true is refused, and so are rows that are not those of the
record: a baseline that lost its last lines would pass whatever it no longer holds.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import re
import tempfile
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.errors import BenchError, OutputError, UsageError
from bench.files import write_atomically
from bench.gate import scores
from bench.gate.row_checks import RESTORE, check_rows
from bench.gate.rows import AFTER_SCORES, BEFORE_SCORES, CellKey, Locked, Row, by_key
from bench.measurement.results import DATABASE, Results, load_results
from bench.measurement.sqlite import connect_to_read
from bench.registry import Spec

FORMAT_VERSION = 1

_INTEGERS = ("width", "height", "size_bytes")
_DIGITS = 9
_UNDEFINED = "undefined: "
_PART = re.compile(r" \(\d+ of \d+\)$")
_ERRORS = "surrogatepass"  # names of files that are no UTF-8 survive


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
        return of_results(load_results(path, unfinished=True))[0]
    if not path.is_file():
        raise UsageError(
            f"no baseline at {path}", f"Lock one: bench check --update --baseline {path}"
        )
    return read_csv(path) if path.suffix == ".csv" else _read_database(path)


def _read_database(path: Path) -> Locked:
    """Return the rows of a database, whatever it is called."""
    with tempfile.TemporaryDirectory(prefix="bench-check-") as folder:
        link = Path(folder) / DATABASE
        link.symlink_to(path.resolve())
        try:
            return replace(
                of_results(load_results(link.parent, unfinished=True))[0], source=str(path)
            )
        except BenchError as error:
            what = error.what.replace(str(link), str(path)).replace(folder, str(path))
            raise UsageError(what, "Give a .csv, .sqlite or a run's folder.") from error


def read_csv(path: Path) -> Locked:
    """Return the rows of a CSV and, from the JSON beside it, what made them.

    Raises
    ------
    UsageError
        If a column, a row or the format's version is not as ``write`` makes them, or if the rows
        are not those of the record.
    """
    record_path = path.with_suffix(".json")
    try:
        with path.open(newline="", encoding="utf-8", errors=_ERRORS) as file:
            reader = csv.reader(file, strict=True)
            columns = _score_columns(path, next(reader, []))
            rows = [_row(line, columns, f"{path}, line {reader.line_num}") for line in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(f"cannot read the baseline {path}: {error}", RESTORE) from error
    check_rows(rows, str(path))
    record = _read_record(record_path)
    wanted, found = record.get("rows"), _summary(rows, columns)
    if wanted != found:
        raise UsageError(
            f"{path} does not hold the rows that {record_path} was written for: "
            f"{_amount(found)}, wanted {_amount(wanted)}",
            "Restore both files, or remove them and lock the baseline again.",
        )
    return Locked(
        rows=by_key(rows),
        environment=record["environment"],
        ladders={k: tuple(v) for k, v in record["ladders"].items()},
        speed=record["speed"],
        source=str(path),
    )


def _score_columns(path: Path, header: Sequence[str]) -> list[str]:
    """Return the columns of scores of a header; refuse missing, doubled and unknown ones."""
    fixed = (*BEFORE_SCORES, *AFTER_SCORES)
    if missing := [name for name in fixed if name not in header]:
        raise UsageError(
            f"{path} is no baseline: it lacks the columns {', '.join(missing)}",
            "rows.csv of a run cannot be used; give the run's folder.",
        )
    columns = [name for name in header if name not in fixed]
    if len(set(header)) < len(header) or list(header) != [*BEFORE_SCORES, *columns, *AFTER_SCORES]:
        raise UsageError(f"{path} has doubled columns, or columns in another order", RESTORE)
    if not columns:
        raise UsageError(f"{path} has no column of scores", RESTORE)
    for column in columns:
        try:
            scores.of(column)
        except UsageError as error:
            raise UsageError(f"{path}: {error.what}", error.next_step) from None
    return columns


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(
            f"{path} is missing, which says what made the baseline and how many rows it has",
            "Restore it, or lock the baseline again.",
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"cannot read {path}: {error}", RESTORE) from error
    if not isinstance(record, dict) or record.get("format") != FORMAT_VERSION:
        raise UsageError(
            f"{path} is no record of a baseline of format {FORMAT_VERSION}",
            "It was written by another version of bench; lock the baseline again.",
        )
    for name in ("environment", "ladders", "speed", "rows"):
        if not isinstance(record.get(name), dict):
            raise UsageError(f"{path} lacks the part {name!r}", RESTORE)
    for curve, ladder in record["ladders"].items():
        if not (isinstance(ladder, list) and all(isinstance(s, str) for s in ladder)):
            raise UsageError(f"{path}: the ladder of {curve} is no list of settings", RESTORE)
    for name, fits in _ENVIRONMENT.items():
        if name in record["environment"] and not fits(record["environment"][name]):
            raise UsageError(f"{path}: {name!r} of its environment has another form", RESTORE)
    return record


def _is_table(value: object, of: type) -> bool:
    return isinstance(value, dict) and all(isinstance(entry, of) for entry in value.values())


def _is_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


_ENVIRONMENT: Mapping[str, Callable[[object], bool]] = {
    "versions": lambda value: _is_table(value, str),
    "cpu_flags": _is_list,
    "codecs": lambda value: _is_table(value, dict) or _is_list(value),
    "metrics": lambda value: _is_table(value, dict) or _is_list(value),
}
"""What the comparison of two environments relies on."""


def _row(line: Sequence[str], columns: Sequence[str], where: str) -> Row:
    """Return the row of one line; refuse a missing field and a number that is none."""
    names = (*BEFORE_SCORES, *columns, *AFTER_SCORES)
    if len(line) != len(names):
        raise UsageError(f"{where} has {len(line)} fields, wanted {len(names)}", RESTORE)
    values: dict[str, Any] = dict(zip(names, line, strict=True))
    texts = {column: values.pop(column) for column in columns}
    try:
        for name in _INTEGERS:
            values[name] = int(values[name]) if values[name] else None
        return Row(
            **values,
            scores={c: float(t) if _is_score(t) else None for c, t in texts.items()},
            undefined={
                c: t.removeprefix(_UNDEFINED) for c, t in texts.items() if t.startswith(_UNDEFINED)
            },
        )
    except ValueError as error:
        raise UsageError(f"{where}: {error}", RESTORE) from error


def _is_score(text: str) -> bool:
    return bool(text) and not text.startswith(_UNDEFINED)


def _summary(rows: Sequence[Row], columns: Sequence[str]) -> dict[str, Any]:
    """Return how many rows, curves and scores there are, and the hash of all of it."""
    digest = hashlib.sha256(json.dumps(list(columns)).encode())
    for row in rows:
        digest.update(json.dumps(_line(row, columns)).encode())
    return {
        "cells": len(rows),
        "curves": len({(row.dataset, row.curve) for row in rows}),
        "scores": list(columns),
        "sha256": digest.hexdigest(),
    }


def _amount(summary: object) -> str:
    if not isinstance(summary, dict):
        return "no rows"
    counts = f"{summary.get('cells')} rows of {summary.get('curves')} curves"
    return f"{counts}, hash {str(summary.get('sha256'))[:12]}"


def write(path: Path, locked: Locked) -> list[Path]:
    """Write the CSV and its JSON record; each appears whole or not at all.

    Raises
    ------
    UsageError
        If ``path`` does not end in ``.csv``, or a row cannot be true.
    OutputError
        If the folder cannot be written.
    """
    if path.suffix != ".csv":
        raise UsageError(
            f"a baseline is locked as .csv, found {path.name}", "Name it --baseline NAME.csv."
        )
    columns, rows = locked.columns, list(locked.rows.values())
    check_rows(rows, "now")
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*BEFORE_SCORES, *columns, *AFTER_SCORES])
    writer.writerows(_line(row, columns) for row in rows)
    record = {
        "format": FORMAT_VERSION,
        "environment": dict(locked.environment),
        "ladders": dict(locked.ladders),
        "rows": _summary(rows, columns),
        "speed": dict(locked.speed),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {path.parent}: {error.strerror}") from error
    json_path = path.with_suffix(".json")
    write_atomically(path, text.getvalue().encode(errors=_ERRORS))
    write_atomically(json_path, json.dumps(record, indent=1, sort_keys=True).encode() + b"\n")
    return [path, json_path]


def refuse_unlockable(locked: Locked, *, accept_failures: bool) -> None:
    """Refuse to lock rows that a later comparison could not be held against.

    Parameters
    ----------
    locked
        Today's rows.
    accept_failures
        Whether cells that fail may be locked as failing.

    Raises
    ------
    UsageError
        If there are no rows, a cell failed, or a score is missing without a reason.
    """
    rows, columns = list(locked.rows.values()), locked.columns
    failed = [row for row in rows if row.error]
    if not rows or len(failed) == len(rows):
        why = f": {failed[0].error}" if failed else ""
        raise UsageError(f"not locked: no cell has a file{why}")
    if failed and not accept_failures:
        first = failed[0]
        raise UsageError(
            f"not locked: {len(failed)} of {len(rows)} cells fail; the first, {first.codec} "
            f"{first.setting} on {first.image}: {first.error}",
            "Mend them, or lock them as failing: --accept-failures.",
        )
    for row in rows:
        for column in columns if not row.error else ():
            if (fault := row.fault(column)) and not fault.startswith(_UNDEFINED):
                where = f"{row.codec} {row.setting} on {row.image}"
                raise UsageError(f"not locked: {scores.of(column).title} of {where} is {fault}")


def _line(row: Row, columns: Sequence[str]) -> list[str]:
    """Return the fields of a row as the CSV has them."""
    values = [getattr(row, name) for name in BEFORE_SCORES]
    values += [_score(row, column) for column in columns]
    values += [getattr(row, name) for name in AFTER_SCORES]
    return ["" if value is None else str(value) for value in values]


def _score(row: Row, column: str) -> str:
    value = row.scores.get(column)
    if value is not None:
        return f"{value:.{_DIGITS}f}"
    return _UNDEFINED + row.undefined[column] if column in row.undefined else ""


_IDENTITIES = """
SELECT c.dataset, c.image, c.curve, c.setting, e.key, e.version, e.pixels
FROM cells c JOIN encodings e ON e.key = c.key
WHERE c.run = (SELECT MAX(id) FROM runs WHERE finished IS NOT NULL)
"""
_NOTES = "SELECT key, metric, version, note FROM scores WHERE value IS NULL AND note <> ''"


def of_results(results: Results) -> tuple[Locked, dict[CellKey, str]]:
    """Return the rows of a finished run, and the store's key of each.

    Raises
    ------
    BenchError
        If the run is not finished, or a row of it cannot be true.
    """
    folder = results.folder
    if results.database is None:
        raise UsageError(f"{folder} has no database", "Give a .csv, .sqlite or a run's folder.")
    if results.unfinished:
        raise UsageError(f"{folder} holds no finished run: {results.unfinished}")
    if imported := results.record.get("imported"):
        raise UsageError(
            f"{folder} holds imported results ({', '.join(imported)}), which nobody measured here",
            "Give a run that `bench all` measured.",
        )
    with closing(connect_to_read(results.database)) as db:
        identities = {tuple(line[:4]): line[4:] for line in db.execute(_IDENTITIES)}
        notes = {tuple(line[:3]): line[3] for line in db.execute(_NOTES)}
    metrics = results.record["scores"]
    pairs: list[tuple[Row, str]] = []
    for cell in results.rows.to_dict("records"):
        found = identities.get(tuple(cell[k] for k in ("dataset", "image", "codec", "setting")))
        if found is not None:  # a picture that cannot be read has no cell to compare
            reasons = {
                about["column"]: notes.get((found[0], name, about["version"]), "")
                for name, about in metrics.items()
            }
            pairs.append((_measured_row(cell, found[1], found[2], reasons), found[0]))
    rows = by_key(row for row, _ in pairs)
    check_rows((row for row, _ in pairs), str(folder))
    record = {
        **results.record,
        "metrics": {name: {"version": about["version"]} for name, about in metrics.items()},
        "codecs": {row.codec: {"version": row.version} for row in rows.values()},
    }
    return Locked(rows, record, source=str(folder)), {row.key: key for row, key in pairs}


def _measured_row(
    cell: Mapping[Hashable, Any], version: str, pixels: str, reasons: Mapping[str, str]
) -> Row:
    """Return a cell of results as a row, scores rounded as ``write`` rounds them.

    Parameters
    ----------
    cell
        A row of ``Results.rows``.
    version
        Of the codec's library.
    pixels
        Sha256 of the source's RGB bytes.
    reasons
        Column of each metric -> why it is not defined; empty where it is, or nothing is stored.
    """
    values = {c: None if math.isnan(cell[c]) else round(cell[c], _DIGITS) for c in reasons}
    return Row(
        dataset=_PART.sub("", cell["dataset"]),
        image=cell["image"],
        codec=Spec.parse(cell["codec"]).name,
        curve=cell["codec"],
        setting=cell["setting"],
        version=version,
        width=int(cell["width"]),
        height=int(cell["height"]),
        pixels_sha256=pixels,
        size_bytes=None if math.isnan(cell["bytes"]) else int(cell["bytes"]),
        scores=values,
        undefined={c: why for c, why in reasons.items() if why and values[c] is None},
        bitstream_sha256="" if cell["error"] else str(cell["bitstream_sha256"]),
        error=cell["error"],
    )
