"""Rows that survive: one SQLite file per output folder, one writer, one transaction per cell.

* ``encodings``: what a codec did to some pixels at some setting, keyed by ``encoding_key``;
  a failure is a row with its error.
* ``scores``: (encoding, metric, metric version) -> value, or NULL with the reason.
* ``bitstreams``: the bytes by sha256, so that a new metric is scored without encoding again.
* ``cells``: (dataset, image, curve, setting) -> encoding: what the tables show.
* ``ceilings``: PSNR of a curve's colour conversion alone, per image.
* ``runs``: the record of each run (commit, versions, machine).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from bench.errors import OutputError
from bench.measurement.sqlite import connect_to_read, guarded
from bench.metrics.columns import known

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (id INTEGER PRIMARY KEY, started TEXT NOT NULL, record TEXT);
CREATE TABLE IF NOT EXISTS encodings (
  key TEXT PRIMARY KEY, pixels TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
  codec TEXT NOT NULL, version TEXT NOT NULL, label TEXT NOT NULL, setting TEXT NOT NULL,
  bytes INTEGER, bitstream TEXT, encode_s REAL, decode_s REAL, error TEXT, run INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS scores (
  key TEXT NOT NULL, metric TEXT NOT NULL, version TEXT NOT NULL, value REAL, note TEXT,
  PRIMARY KEY (key, metric, version)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bitstreams (sha256 TEXT PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS cells (
  dataset TEXT NOT NULL, image TEXT NOT NULL, curve TEXT NOT NULL, setting TEXT NOT NULL,
  label TEXT NOT NULL, key TEXT, error TEXT,
  PRIMARY KEY (dataset, image, curve, setting)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ceilings (
  pixels TEXT NOT NULL, label TEXT NOT NULL, psnr_db REAL NOT NULL,
  PRIMARY KEY (pixels, label)) WITHOUT ROWID;
"""


def encoding_key(
    pixels: str,
    width: int,
    height: int,
    codec: str,
    version: str,
    setting: str,
    format_version: int,
) -> str:
    """Return the sha256 that identifies one encoding: same key, same bytes."""
    parts = [pixels, width, height, codec, version, setting, format_version]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Encoding:
    """One row of ``encodings``, with its scores: metric name -> (version, value, note)."""

    key: str
    pixels: str
    width: int
    height: int
    codec: str
    version: str
    label: str
    setting: str
    data: bytes | None = None
    encode_s: float | None = None
    decode_s: float | None = None
    error: str = ""
    scores: dict[str, tuple[str, float | None, str]] = field(default_factory=dict)
    ceiling_db: float | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """What a table row stands for: an image of a dataset on a codec's curve at one setting."""

    dataset: str
    image: str
    curve: str
    setting: str
    label: str
    key: str = ""
    error: str = ""


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
        self.path = folder / "bench.sqlite"
        self._lock: IO[str] | None = None
        self._db: sqlite3.Connection = None  # type: ignore[assignment] # set below
        self._writing = writing
        self.run_id = 0
        if not writing and not self.path.is_file():
            raise OutputError(f"{folder} holds no results", "Run `bench all` first.")
        try:
            if writing:
                self._take_lock()
                self._db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
                self._make()
            else:
                self._db = connect_to_read(self.path)
                self._check_version()
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

    def _make(self) -> None:
        """Check whose file this is, then make the tables that are missing."""
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._check_version()
        self._db.executescript(_SCHEMA)
        self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def _check_version(self) -> None:
        """Refuse a file of another version of bench."""
        found = self._db.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, SCHEMA_VERSION):
            raise OutputError(
                f"{self.path} has schema {found}, wanted {SCHEMA_VERSION}",
                "It was written by another version of bench; choose another --out.",
            )
        if found == 0 and not self._writing:  # killed before its tables were made
            raise OutputError(f"{self.folder} holds no results", "Run `bench all` first.")

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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and give the lock back."""
        if self._db:
            self._db.close()
        if self._lock:
            self._lock.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self.guard():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def start_run(self, record: dict[str, Any]) -> None:
        """Record who measures what on which machine; later rows refer to it."""
        with self._transaction() as db:
            cursor = db.execute(
                "INSERT INTO runs (started, record) VALUES (?, ?)",
                (datetime.now(UTC).isoformat(timespec="seconds"), json.dumps(record)),
            )
            self.run_id = int(cursor.lastrowid or 0)

    @guarded
    def latest_run(self) -> dict[str, Any]:
        """Return the record of the last run, with its start; empty where there is none."""
        row = self._db.execute(
            "SELECT started, record FROM runs ORDER BY id DESC LIMIT 1"
        ).fetchone()
        return {"started": row[0], **json.loads(row[1])} if row else {}

    def put(self, encoding: Encoding) -> None:
        """Store one encoding with its bitstream and scores in one transaction."""
        digest = hashlib.sha256(encoding.data).hexdigest() if encoding.data is not None else None
        with self._transaction() as db:
            if encoding.data is not None:
                db.execute(
                    "INSERT OR IGNORE INTO bitstreams VALUES (?, ?)", (digest, encoding.data)
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

    def put_cells(self, cells: Iterable[Cell]) -> None:
        """Store which table rows exist; a newer codec version replaces the older one's row."""
        with self._transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO cells VALUES (?,?,?,?,?,?,?)",
                [
                    (
                        c.dataset,
                        c.image,
                        c.curve,
                        c.setting,
                        c.label,
                        c.key or None,
                        c.error or None,
                    )
                    for c in cells
                ],
            )

    @guarded
    def encoded(self) -> dict[str, str]:
        """Return key -> error (empty where it succeeded) of every stored encoding."""
        query = "SELECT key, COALESCE(error, '') FROM encodings"
        return dict(self._db.execute(query).fetchall())

    @guarded
    def scored(self) -> set[tuple[str, str, str]]:
        """Return (key, metric, version) of every stored score."""
        return set(self._db.execute("SELECT key, metric, version FROM scores").fetchall())

    @guarded
    def with_ceiling(self) -> set[tuple[str, str]]:
        """Return (pixels, label) of every stored ceiling."""
        return set(self._db.execute("SELECT pixels, label FROM ceilings").fetchall())

    @guarded
    def bitstream(self, key: str) -> bytes:
        """Return the bytes of a stored encoding.

        Raises
        ------
        OutputError
            If they are missing or no longer have the hash they were stored under.
        """
        row = self._db.execute(
            "SELECT b.sha256, b.data FROM encodings e JOIN bitstreams b ON b.sha256 = e.bitstream "
            "WHERE e.key = ?",
            (key,),
        ).fetchone()
        if row is None or hashlib.sha256(row[1]).hexdigest() != row[0]:
            raise OutputError(
                f"{self.path} lost the bitstream of {key[:12]}", "Remove the file and run again."
            )
        return bytes(row[1])

    @guarded
    def rows(self, metrics: dict[str, tuple[str, str]] | None = None) -> pd.DataFrame:
        """Return one row per cell, as ``rows.csv`` has them, plus width and height.

        Parameters
        ----------
        metrics
            Metric name -> (column, version). Default: the newest version of all that are stored.
        """
        import pandas as pd

        frame = pd.read_sql_query(
            "SELECT c.dataset, c.image, c.curve AS codec, c.label, c.setting, e.bytes,"
            " 8.0 * e.bytes / (e.width * e.height) AS bpp, c.key, e.encode_s, e.decode_s,"
            " e.bitstream AS bitstream_sha256, COALESCE(c.error, e.error, '') AS error,"
            " e.width, e.height FROM cells c LEFT JOIN encodings e ON e.key = c.key"
            " WHERE c.error IS NOT NULL OR e.key IS NOT NULL",
            self._db,
        )
        position = list(frame.columns).index("bpp") + 1
        for name, (column, version) in (metrics or self._stored_metrics()).items():
            values = dict(
                self._db.execute(
                    "SELECT key, value FROM scores WHERE metric = ? AND version = ?",
                    (name, version),
                ).fetchall()
            )
            frame.insert(position, column, frame["key"].map(values).astype(float))
            position += 1
        numbers = ["bytes", "bpp", "encode_s", "decode_s", "width", "height"]
        frame[numbers] = frame[numbers].astype(float)
        return frame.drop(columns="key")

    def _stored_metrics(self) -> dict[str, tuple[str, str]]:
        """Return name -> (column, newest version) of the metrics that have scores."""
        found = self._db.execute(
            "SELECT metric, MAX(version) FROM scores GROUP BY metric ORDER BY metric"
        ).fetchall()
        versions = dict(found)
        return {
            c.metric: (c.column, versions[c.metric])
            for c in known().values()
            if c.decibels is None and c.metric in versions
        }

    @guarded
    def ceilings(self) -> pd.DataFrame:
        """Return codec, label and mean no-codec ceiling in dB over the images of each curve."""
        import pandas as pd

        return pd.read_sql_query(
            "SELECT c.dataset, c.curve AS codec, c.label, AVG(x.psnr_db) AS ceiling_psnr_db,"
            " COUNT(*) AS images FROM (SELECT DISTINCT dataset, image, curve, label, key FROM cells"
            " WHERE key IS NOT NULL GROUP BY dataset, image, curve, label) c"
            " JOIN encodings e ON e.key = c.key"
            " JOIN ceilings x ON x.pixels = e.pixels AND x.label = c.label"
            " GROUP BY c.dataset, c.curve, c.label ORDER BY c.dataset, c.curve",
            self._db,
        )
