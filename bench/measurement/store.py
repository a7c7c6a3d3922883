"""Rows that survive: one SQLite file per output folder, one writer, one transaction per cell.

* ``encodings``: what a codec did to some pixels at some setting, keyed by ``encoding_key``;
  a failure is a row with its error.
* ``scores``: (encoding, metric, metric version) -> value, or NULL with the reason.
* ``bitstreams``: the bytes by sha256, so that a new metric is scored without encoding again.
* ``runs``: each plan that was begun: its record (datasets, metrics, commit, versions, machine),
  when it started and, once every one of its cells is stored, when it finished.
* ``cells``: (run, dataset, image, curve, setting) -> encoding: what a plan asks for.
* ``ceilings``: PSNR of a curve's colour conversion alone, per image.

Results are those of one plan (see ``results``); what other plans left is only reused.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Self

from bench.errors import OutputError
from bench.measurement.encoding import Cell, Encoding
from bench.measurement.sqlite import connect_to_read, connect_to_write

DATABASE = "bench.sqlite"

TARGET = "target"
"""Name of a searched setting's target, and of the score that says by how much it is missed."""

TARGET_BPP = "target_bpp"
"""Name of the score that says the rate at the very target."""

COMPLETE = """(
  COALESCE(c.error, e.error) IS NOT NULL OR (e.key IS NOT NULL AND (
    SELECT COUNT(*) FROM json_each(:scores) m JOIN scores s
      ON s.key = c.key AND s.metric = m.key AND s.version = json_extract(m.value, '$.version')
  ) = (SELECT COUNT(*) FROM json_each(:scores))))"""
"""SQL: whether a cell ``c`` with the encoding ``e`` is measured, by the ``scores_of`` its run.

A record names every image, so that reading it anew for each cell would take the square of them.
"""


def scores_of(db: sqlite3.Connection, run: int) -> str | None:
    """Return what the record of a run says of its metrics, as JSON; see ``COMPLETE``."""
    query = "SELECT json_extract(record, '$.scores') FROM runs WHERE id = ?"
    found: str | None = db.execute(query, (run,)).fetchone()[0]
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _inode(path: Path) -> tuple[int, int] | None:
    with contextlib.suppress(OSError):
        found = path.stat()
        return found.st_dev, found.st_ino
    return None


class Store:
    """The database of one output folder; a context manager that holds the folder's lock.

    Parameters
    ----------
    folder
        Made if missing; holds ``bench.sqlite``.
    writing
        Take the lock that keeps a second writer out. A killed process gives it back.

    Raises
    ------
    OutputError
        If the folder cannot be written, another run holds it, or the file is not ours.
    """

    def __init__(self, folder: Path, *, writing: bool = True) -> None:
        self.folder = folder
        self.path = folder / DATABASE
        self._lock: IO[str] | None = None
        self._db: sqlite3.Connection = None  # type: ignore[assignment] # set below
        self._writing = writing
        self._file: tuple[int, int] | None = None
        self.run_id = 0
        self._joined = False
        if not writing and not self.path.is_file():
            raise OutputError(f"{folder} holds no results", "Run `bench all` first.")
        try:
            if writing:
                self._take_lock()
                self._db = connect_to_write(self.path)
                self._file = _inode(self.path)
            else:
                self._db = connect_to_read(self.path)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError | sqlite3.Error):
                raise self._failed(error) from error
            raise

    def _take_lock(self) -> None:
        """Keep other writers out for as long as this process lives."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self.folder / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(
                f"another bench is writing to {self.folder}",
                "Wait for it, or choose another --out.",
            ) from error

    def _failed(self, error: Exception) -> OutputError:
        doing = "write results to" if self._writing else "read"
        if not isinstance(error, OSError | sqlite3.OperationalError):
            return OutputError(
                f"cannot {doing} {self.path}: {error}",
                "It is damaged or not ours: move it away, or choose another --out.",
            )
        if not self._writing:
            return OutputError(f"cannot read {self.path}: {error}", "Run `bench all` again.")
        return OutputError(
            f"cannot write results to {self.folder}: {error}; what was stored before is intact",
            "Make room or choose another --out; the next run continues from there.",
        )

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Turn errors of file and database into one line for the reader."""
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            told = error.__cause__ if isinstance(error.__cause__, sqlite3.Error) else error
            raise self._failed(told) from error  # pandas wraps SQLite's error in its own

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and give the lock back."""
        if self._db:
            self._db.close()
        if self._lock:
            self._lock.close()

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Store all that is stored meanwhile in one transaction: all of it, or nothing."""
        with self._transaction():
            self._joined = True
            try:
                yield
            finally:
                self._joined = False

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._joined:
            yield self._db
            return
        with self.guard():
            if _inode(self.path) != self._file:  # SQLite would go on writing to nowhere
                raise OutputError(
                    f"{self.folder} was removed or replaced during the run",
                    "What was measured is lost; run again.",
                )
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def start_run(self, record: Mapping[str, Any], cells: Iterable[Cell] = ()) -> None:
        """Begin a plan: its record and all its cells, in one transaction."""
        with self._transaction() as db:
            cursor = db.execute(
                "INSERT INTO runs (started, record) VALUES (?, ?)", (_now(), json.dumps(record))
            )
            self.run_id = int(cursor.lastrowid or 0)
            db.executemany(
                "INSERT OR REPLACE INTO cells VALUES (?,?,?,?,?,?,?,?)",
                [
                    (
                        *(self.run_id, c.dataset, c.image, c.curve, c.setting, c.label),
                        *(c.key or None, c.error or None),
                    )
                    for c in cells
                ],
            )

    def finish_run(self) -> None:
        """Mark the plan as finished, and forget the cells of the plans before it.

        Raises
        ------
        OutputError
            If cells of it are not stored: then it is not finished.
        """
        with self._transaction() as db:
            planned, measured = self.progress(self.run_id)
            if measured < planned:
                raise OutputError(
                    f"the run ended early: {measured} of {planned} cells are stored in {self.path}",
                    "Run the same command again to continue.",
                )
            db.execute("UPDATE runs SET finished = ? WHERE id = ?", (_now(), self.run_id))
            db.execute("DELETE FROM cells WHERE run < ?", (self.run_id,))

    def progress(self, run: int) -> tuple[int, int]:
        """Return how many cells a plan has, and how many of them are complete.

        A cell is complete when it failed, or when its encoding has a score (or the reason why
        there is none) of each metric of the plan.
        """
        planned, measured = self._db.execute(
            f"SELECT COUNT(*), COALESCE(SUM({COMPLETE}), 0) FROM cells c"  # noqa: S608 - ours
            " LEFT JOIN encodings e ON e.key = c.key WHERE c.run = :run",
            {"run": run, "scores": scores_of(self._db, run)},
        ).fetchone()
        return int(planned), int(measured)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection, in a state that no writer changes meanwhile."""
        with self.guard():
            if self._db.in_transaction:
                yield self._db
                return
            self._db.execute("BEGIN")
            try:
                yield self._db
            finally:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")

    def put(self, encoding: Encoding) -> None:
        """Store one encoding with its bitstream and scores in one transaction."""
        digest = hashlib.sha256(encoding.data).hexdigest() if encoding.data is not None else None
        with self._transaction() as db:
            if encoding.data is not None:
                db.execute(
                    "INSERT OR REPLACE INTO bitstreams VALUES (?, ?)", (digest, encoding.data)
                )
            db.execute(
                "INSERT OR REPLACE INTO encodings VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    encoding.key,
                    encoding.pixels,
                    encoding.width,
                    encoding.height,
                    encoding.codec,
                    encoding.version,
                    encoding.label,
                    encoding.setting,
                    len(encoding.data) if encoding.data is not None else None,
                    digest,
                    encoding.encode_s,
                    encoding.decode_s,
                    encoding.error or None,
                    self.run_id,
                ),
            )
            self._put_scores(db, encoding)

    def _put_scores(self, db: sqlite3.Connection, encoding: Encoding) -> None:
        db.executemany(
            "INSERT OR REPLACE INTO scores VALUES (?,?,?,?,?)",
            [
                (encoding.key, name, version, value, note or None)
                for name, (version, value, note) in encoding.scores.items()
            ],
        )
        if encoding.ceiling_db is not None:
            db.execute(
                "INSERT OR REPLACE INTO ceilings VALUES (?,?,?)",
                (encoding.pixels, encoding.label, encoding.ceiling_db),
            )

    def put_scores(self, encoding: Encoding) -> None:
        """Add scores to an encoding that is stored already."""
        with self._transaction() as db:
            self._put_scores(db, encoding)

    def adopt(self, tables: Mapping[str, Iterable[tuple[Any, ...]]]) -> None:
        """Store rows of another database as they are, in one transaction: table -> rows."""
        with self._transaction() as db:
            for table, rows in tables.items():
                for row in rows:
                    marks = ",".join("?" * len(row))
                    db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", row)  # noqa: S608

    def fill_scores(self, metrics: Mapping[str, str], note: str) -> None:
        """Give this plan's encodings that lack a score the reason why: metric -> version."""
        with self._transaction() as db:
            for metric, version in metrics.items():
                db.execute(
                    "INSERT OR IGNORE INTO scores SELECT DISTINCT e.key, ?, ?, NULL, ? FROM cells c"
                    " JOIN encodings e ON e.key = c.key WHERE c.run = ? AND e.error IS NULL",
                    (metric, version, note, self.run_id),
                )

    def fail_cells(self, encoding: Encoding) -> None:
        """Let the cells of this plan fail whose stored encoding could not be scored.

        The encoding stays as it is for other plans; the next plan tries to score it again.
        """
        with self._transaction() as db:
            db.execute(
                "UPDATE cells SET error = ? WHERE run = ? AND key = ?",
                (encoding.error, self.run_id, encoding.key),
            )

    def _query(self, query: str, *values: str) -> list[Any]:
        with self.guard():
            return self._db.execute(query, values).fetchall()

    def encoded(self) -> dict[str, str]:
        """Return key -> error (empty where it succeeded) of every stored encoding."""
        return dict(self._query("SELECT key, COALESCE(error, '') FROM encodings"))

    def scored(self) -> set[tuple[str, str, str]]:
        """Return (key, metric, version) of every stored score."""
        return set(self._query("SELECT key, metric, version FROM scores"))

    def with_ceiling(self) -> set[tuple[str, str]]:
        """Return (pixels, label) of every stored ceiling."""
        return set(self._query("SELECT pixels, label FROM ceilings"))

    def bitstream(self, key: str) -> bytes:
        """Return the bytes of a stored encoding.

        Raises
        ------
        OutputError
            If they are missing or no longer have the hash they were stored under.
        """
        found = self._query(
            "SELECT b.sha256, b.data FROM encodings e JOIN bitstreams b ON b.sha256 = e.bitstream "
            "WHERE e.key = ?",
            key,
        )
        for digest, data in found:
            if isinstance(data, bytes) and hashlib.sha256(data).hexdigest() == digest:
                return data
        raise OutputError(
            f"{self.path} lost the bitstream of {key[:12]}", "Remove the file and run again."
        )
