"""The SQLite file of results: its tables, who wrote it, and reading it wherever it lies."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from bench.errors import OutputError
from bench.measurement import untrusted

SCHEMA_VERSION = 2
_TABLES = {
    "runs": """CREATE TABLE runs (
  id INTEGER PRIMARY KEY, started TEXT NOT NULL, finished TEXT, record TEXT NOT NULL)""",
    "encodings": """CREATE TABLE encodings (
  key TEXT PRIMARY KEY, pixels TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
  codec TEXT NOT NULL, version TEXT NOT NULL, label TEXT NOT NULL, setting TEXT NOT NULL,
  bytes INTEGER, bitstream TEXT, encode_s REAL, decode_s REAL, error TEXT, run INTEGER NOT NULL)""",
    "scores": """CREATE TABLE scores (
  key TEXT NOT NULL, metric TEXT NOT NULL, version TEXT NOT NULL, value REAL, note TEXT,
  PRIMARY KEY (key, metric, version)) WITHOUT ROWID""",
    "bitstreams": "CREATE TABLE bitstreams (sha256 TEXT PRIMARY KEY, data BLOB NOT NULL)",
    "cells": """CREATE TABLE cells (
  run INTEGER NOT NULL, dataset TEXT NOT NULL, image TEXT NOT NULL, curve TEXT NOT NULL,
  setting TEXT NOT NULL, label TEXT NOT NULL, key TEXT, error TEXT,
  PRIMARY KEY (run, dataset, image, curve, setting)) WITHOUT ROWID""",
    "ceilings": """CREATE TABLE ceilings (
  pixels TEXT NOT NULL, label TEXT NOT NULL, psnr_db REAL NOT NULL,
  PRIMARY KEY (pixels, label)) WITHOUT ROWID""",
}


def connect_to_write(path: Path) -> sqlite3.Connection:
    """Return a connection to the database at ``path``, made or brought to today's schema.

    Raises
    ------
    OutputError
        If the file was written by a later version of bench, or by something else.
    sqlite3.Error
        If it cannot be opened or written.
    """
    db = sqlite3.connect(path, timeout=30, isolation_level=None)
    try:
        untrusted.refuse_programs(db, path)  # before anything is written that could start one
        db.execute("PRAGMA page_size=8192")  # of a new one: files take half as many writes
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("BEGIN IMMEDIATE")
        found = _version(db)
        if found == 1:
            _upgrade(db)
        elif found == 0 and not db.execute("SELECT 1 FROM sqlite_master").fetchone():
            for sql in _TABLES.values():
                db.execute(sql)
        db.execute(f"PRAGMA user_version={max(found, SCHEMA_VERSION)}")
        _check(db, path)
        db.execute("COMMIT")
    except BaseException:
        db.close()  # rolls back
        raise
    return db


def _upgrade(db: sqlite3.Connection) -> None:
    """Turn schema 1 into schema 2: encodings, scores, bitstreams and ceilings stay as they are.

    Its cells are of no run in particular, so no plan can be read from them: they are dropped.
    """
    db.execute("DROP TABLE IF EXISTS cells")
    db.execute("ALTER TABLE runs RENAME TO old_runs")
    for name in ("runs", "cells"):
        db.execute(_TABLES[name])
    db.execute("INSERT INTO runs SELECT id, started, NULL, COALESCE(record, '{}') FROM old_runs")
    db.execute("DROP TABLE old_runs")


def connect_to_read(path: Path, *, values: bool = True) -> sqlite3.Connection:
    """Return a connection to the database at ``path``, which must exist, for reading.

    Where nothing beside it can be written, SQLite cannot make the files through which readers and
    a writer see each other, and must be told that there is no writer. What a killed writer left
    there is not ignored: then the connection fails with SQLite's reason when it is used.

    Parameters
    ----------
    path
        The file.
    values
        Whether to look at every value's type, which takes longer the more there are; not for
        one that is checked by its hash.

    Raises
    ------
    OutputError
        If the file is not of today's schema, or holds anything that `bench all` does not write.
    sqlite3.Error
        If it cannot be read.
    """
    left_over = path.with_name(f"{path.name}-wal").exists()
    how = "mode=ro" if left_over or os.access(path.parent, os.W_OK) else "immutable=1"
    uri = f"{path.resolve().as_uri()}?{how}"
    db = sqlite3.connect(uri, timeout=30, uri=True, isolation_level=None)
    try:
        untrusted.limit_queries(db, path)
        _check(db, path, values=values)
    except BaseException:
        db.close()
        raise
    return db


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _check(db: sqlite3.Connection, path: Path, *, values: bool = True) -> None:
    """Refuse a file whose tables are not ours."""
    found = _version(db)
    if found == 0 and not db.execute("SELECT 1 FROM sqlite_master").fetchone():
        raise OutputError(f"{path.parent} holds no results", "Run `bench all` first.")
    if found == 1:
        raise OutputError(
            f"{path} was written by an earlier version of bench (schema 1)",
            "Run `bench all` again: what is stored in it is reused.",
        )
    if found > SCHEMA_VERSION:
        raise OutputError(
            f"{path} has schema {found}, wanted {SCHEMA_VERSION}",
            "It was written by a later version of bench; choose another --out.",
        )
    untrusted.refuse_programs(db, path)
    untrusted.check_tables(db, path, ";".join(_TABLES.values()), values=values)
