"""Results from elsewhere: whatever is not what the suite writes is refused in one line."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.errors import OutputError
from bench.measurement.untrusted import (
    MAX_TEXT,
    check_record,
    check_rows,
    check_tables,
    limit_queries,
    parse_json,
    read_json,
    refuse_programs,
)

SCHEMA = """CREATE TABLE cells (image TEXT NOT NULL, bytes INTEGER, bpp REAL, data BLOB,
  PRIMARY KEY (image)) WITHOUT ROWID"""
ENDLESS = "WITH RECURSIVE r(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM r) SELECT MAX(x) FROM r"
GOOD = "INSERT INTO cells VALUES ('a.png', 3, 0.5, x'00')"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a stranger's database lies."""
    return tmp_path / "bench.sqlite"


def make(path: Path, *statements: str) -> None:
    """Write a database."""
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


@pytest.fixture
def opened(path: Path) -> Iterator[Any]:
    """A function that opens the database as the suite does."""
    connections = []

    def connect() -> sqlite3.Connection:
        db = sqlite3.connect(path)
        connections.append(db)
        limit_queries(db, path)
        refuse_programs(db, path)
        check_tables(db, path, SCHEMA)
        return db

    yield connect
    for db in connections:
        db.close()


def test_our_own_is_read(path: Path, opened: Any):
    """A file as the suite writes it is read, and cannot be written."""
    make(path, SCHEMA, GOOD)

    db = opened()
    assert [("a.png", 3)] == db.execute("SELECT image, bytes FROM cells").fetchall()
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        db.execute("DELETE FROM cells")


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        (["CREATE VIEW cells AS SELECT 1 AS image"], "the view 'cells'"),
        (
            [f"CREATE VIEW cells AS {ENDLESS}"],
            "the view 'cells'",
        ),
        (
            [SCHEMA, "CREATE TRIGGER t AFTER INSERT ON cells BEGIN DELETE FROM cells; END"],
            "the trigger 't'",
        ),
        ([SCHEMA, "CREATE INDEX i ON cells (abs(bytes))"], "the index 'i'"),
        (["CREATE VIRTUAL TABLE cells USING fts5(image)"], "is a virtual table"),
        (["CREATE TABLE runs (id)"], "lacks the table cells"),
        (["CREATE TABLE cells (image TEXT)"], "column image of cells"),
        ([SCHEMA.replace("bpp REAL", "bpp TEXT")], "column bpp of cells"),
        ([SCHEMA.replace("bytes INTEGER", "bytes INTEGER AS (7)")], "column bytes of cells"),
        ([SCHEMA, "INSERT INTO cells VALUES ('a', 'x', 1, NULL)"], "column bytes of cells has"),
        ([SCHEMA, "INSERT INTO cells VALUES ('a', 1, x'00', NULL)"], "column bpp of cells has"),
        ([SCHEMA, "INSERT INTO cells VALUES (x'ff', 1, 1, NULL)"], "column image of cells has"),
        ([SCHEMA, "INSERT INTO cells VALUES ('a', 1, 1, 'text')"], "column data of cells has"),
        (
            [SCHEMA, f"INSERT INTO cells VALUES ('{'a' * (MAX_TEXT + 1)}', 1, 1, NULL)"],
            "column image of cells has another type or is too long",
        ),
    ],
)
def test_other_schemas_and_types(path: Path, opened: Any, statements: list[str], told: str):
    """Views, triggers, virtual tables, foreign columns, types and lengths: one line."""
    make(path, *statements)

    with pytest.raises(OutputError, match=told) as caught:
        opened()
    assert "\n" not in str(caught.value)


def test_null_where_there_must_be_a_value(path: Path, opened: Any):
    """A table whose text says NOT NULL and whose rows say otherwise is refused."""
    loose = SCHEMA.replace("TEXT NOT NULL", "TEXT").replace(
        "PRIMARY KEY (image)) WITHOUT ROWID", "x)"
    )
    make(path, loose, "INSERT INTO cells (image) VALUES (NULL)")

    with pytest.raises(OutputError, match="column image of cells"):
        opened()


def test_an_endless_query_ends(path: Path, opened: Any):
    """The budget of a connection ends a query that has no end."""
    make(path, SCHEMA, GOOD)

    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        opened().execute(ENDLESS).fetchone()


@pytest.mark.parametrize(
    "text",
    ["{", "[" * 100_000, '{"a":' * 100_000, '{"a": ' + "9" * 10_000 + "}", ""],
)
def test_json_that_is_none(text: str, tmp_path: Path):
    """Cut, deeply nested, or with a number of 10,000 digits: one line."""
    path = tmp_path / "run.json"
    path.write_text(text)

    with pytest.raises(OutputError, match="cannot read the record in"):
        read_json(path)


def test_json_as_editors_leave_it(tmp_path: Path):
    """A byte order mark is fine; a number that is none is nothing."""
    path = tmp_path / "run.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": NaN, "b": -Infinity}')

    assert {"a": None, "b": None} == read_json(path)


@pytest.mark.parametrize(
    "record",
    [
        [],
        "text",
        None,
        {"datasets": []},
        {"datasets": {"kodak": 3}},
        {"unavailable": [["one"]]},
        {"unavailable": {"avif": "no"}},
        {"unavailable": [["one", 2]]},
        {"unavailable": [7]},
        {"scores": {"psnr": {"column": "psnr_db"}}},
        {"scores": {"psnr": {"column": ["psnr_db"], "version": "1"}}},
        {"scores": {"psnr": {"column": "bpp", "version": "1"}}},
        {"scores": {m: {"column": "x", "version": "1"} for m in ("a", "b")}},
        {"ceilings": [{"codec": "jpeg"}]},
        {"ceilings": [[1, 2, 3, 4, 5]]},
        {"cells": {"planned": 4}},
        {"cells": {"planned": "4", "measured": 2}},
        {"later": "yesterday"},
        {"later": {"started": "x"}},
        {"datasets": {"kodak": {"duplicates": {"a": "b"}}}},
        {"datasets": {"kodak": {"duplicates": {"a": []}}}},
        {"datasets": {"kodak": {"images": "all"}}},
        {"datasets": {"kodak": {"folder": 7}}},
        {"versions": "1"},
        {"notes": [1]},
        {"metrics": 4},
        {"commit": 7},
        {"cpu": "x" * (MAX_TEXT + 1)},
        {"other": json.loads("[" * 40 + "]" * 40)},
    ],
)
def test_records_of_another_shape(record: object, tmp_path: Path):
    """An entry that readers rely on has its type, or the record is refused."""
    with pytest.raises(OutputError, match="record"):
        check_record(record, tmp_path / "run.json")


def test_a_record_of_ours(tmp_path: Path):
    """What a run records is returned as it is, what it does not record may be missing."""
    record = {"datasets": {"sample": {"images": 4}}, "unavailable": [["avif", "no"]], "gpu": None}

    assert record == check_record(record, tmp_path)
    assert {} == check_record(parse_json("{}", tmp_path), tmp_path)


def rows(**changes: object) -> pd.DataFrame:
    """Return two rows as a run measures them, with changes to the first."""
    row: dict[str, object] = {
        "dataset": "sample",
        "image": "a",
        "codec": "jpeg",
        "label": "jpeg",
        "error": "",
        "setting": '{"quality":5}',
        "bytes": 10.0,
        "bpp": 0.5,
        "psnr_db": 30.0,
        "ms_ssim": 0.9,
    }
    return pd.DataFrame([row | changes, row | {"image": "b"}])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"bytes": 0.0}, "bytes"),
        ({"bytes": -4.0}, "bytes"),
        ({"bpp": float("inf")}, "bpp"),
        ({"bpp": 1e300}, "bpp"),
        ({"bpp": -0.5}, "bpp"),
        ({"psnr_db": 1e200}, "psnr_db"),
        ({"ms_ssim": 15.04}, "ms_ssim"),
        ({"image": None}, "image"),
        ({"error": b"bytes"}, "error"),
        ({"label": "x" * (MAX_TEXT + 1)}, "label"),
        ({"setting": "quality=5"}, "setting"),
        ({"setting": "[" * 50_000}, "setting"),
        ({"setting": "[1]"}, "setting"),
        ({"setting": '{"quality": {"a": 1}}'}, "setting"),
        ({"setting": '{"quality": NaN}'}, "setting"),
    ],
)
def test_rows_that_cannot_be(changes: dict[str, object], told: str, tmp_path: Path):
    """A size of 0, an infinite rate, decibels under ms_ssim, a setting that is none: one line."""
    with pytest.raises(OutputError, match=f"rows.csv is not what .*{told}"):
        check_rows(rows(**changes), tmp_path / "rows.csv")


def test_rows_of_ours(tmp_path: Path):
    """Failures without a size, infinite PSNR and undefined scores are what a run stores."""
    frame = rows(bytes=float("nan"), bpp=float("nan"), psnr_db=float("nan"), error="refused: x")
    frame.loc[1, "psnr_db"] = float("inf")

    assert frame is check_rows(frame, tmp_path)
    with pytest.raises(OutputError, match="the column codec is missing"):
        check_rows(frame.drop(columns="codec"), tmp_path)
