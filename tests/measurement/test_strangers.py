"""A folder of results from a stranger: every reader ends in one line, whatever lies in it."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench import cli, image
from bench.errors import BenchError
from bench.measurement.results import load_results
from bench.measurement.run import run

ENDLESS = "WITH RECURSIVE r(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM r)"
COPY = "ALTER TABLE {0} RENAME TO old; CREATE TABLE {0} AS SELECT * FROM old; DROP TABLE old"


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory, photo) -> Path:
    """A small run of somebody else."""
    base = tmp_path_factory.mktemp("honest")
    (base / "pictures").mkdir()
    image.save(np.ascontiguousarray(photo[:48, :64]), base / "pictures" / "a.png")
    run(
        datasets=[f"folder:{base / 'pictures'}"],
        codecs=["jpeg", "webp"],
        metrics=["psnr"],
        points=4,
        out=base / "run",
        jobs=1,
        download=False,
    )
    return base / "run"


@pytest.fixture
def folder(honest: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may spoil: the database alone."""
    (tmp_path / "run").mkdir()
    shutil.copy(honest / "bench.sqlite", tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def table(honest: Path, tmp_path: Path) -> Path:
    """A copy without a database: rows.csv and run.json."""
    (tmp_path / "run").mkdir()
    results = load_results(honest)
    results.rows.drop(columns=["width", "height"]).to_csv(tmp_path / "run/rows.csv", index=False)
    (tmp_path / "run" / "run.json").write_text(json.dumps(dict(results.record)))
    return tmp_path / "run"


def change(folder: Path, script: str) -> None:
    """Run SQL on the database, its checks of types and keys off where that helps a stranger."""
    with closing(sqlite3.connect(folder / "bench.sqlite")) as db:
        db.execute("PRAGMA foreign_keys=OFF")
        db.executescript(script)
        db.commit()


def rewrite(folder: Path, table: str, old: str, new: str) -> None:
    """Change the text of a table's definition behind SQLite's back."""
    change(
        folder,
        f"PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = replace(sql, '{old}', '{new}') "
        f"WHERE name = '{table}'; PRAGMA writable_schema=RESET",
    )


SCRIPTS = {
    "view instead of a table": f"DROP TABLE cells; CREATE VIEW cells AS {ENDLESS} SELECT x FROM r",
    "view beside the tables": f"CREATE VIEW more AS {ENDLESS} SELECT x FROM r",
    "trigger": "CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM cells; END",
    "endless trigger": f"CREATE TRIGGER t AFTER INSERT ON runs BEGIN SELECT max(x) FROM"
    f" ({ENDLESS} SELECT x FROM r); END",
    "index over an expression": "CREATE INDEX i ON encodings (abs(bytes))",
    "virtual table": "DROP TABLE scores; CREATE VIRTUAL TABLE scores USING fts5(key, metric)",
    "no table": "DROP TABLE encodings",
    "no key": COPY.format("encodings"),
    "no run": "DELETE FROM runs",
    "no cell": "DELETE FROM cells",
    "no encoding": "DELETE FROM encodings",
    "text in a size": "UPDATE encodings SET bytes = 'many'",
    "blob in an error": "UPDATE encodings SET error = x'ff00'",
    "blob in a name": "UPDATE cells SET image = x'ff00' || image",
    "text that is no UTF-8": "UPDATE cells SET image = image || CAST(x'ff' AS TEXT)",
    "text in a score": "UPDATE scores SET value = 'good'",
    "huge score": "UPDATE scores SET value = 1e300",
    "negative size": "UPDATE encodings SET bytes = -1",
    "size of nothing": "UPDATE encodings SET bytes = 0",
    "width of nothing": "UPDATE encodings SET width = 0",
    "huge width": "UPDATE encodings SET width = 9223372036854775807",
    "huge size": "UPDATE encodings SET bytes = 9223372036854775807",
    "long error": "UPDATE cells SET error = printf('%.*c', 100000, 'x')",
    "long setting": 'UPDATE cells SET setting = \'{"a":"\' || setting || hex(zeroblob(45000))',
    "setting that is none": "UPDATE cells SET setting = 'q' || setting",
    "nested setting": "UPDATE cells SET setting = '{\"a\":' || setting || '}'",
    "record that is none": "UPDATE runs SET record = 'none'",
    "record that is a list": "UPDATE runs SET record = '[1]'",
    "record that is empty": "UPDATE runs SET record = ''",
    "deep record": "UPDATE runs SET record = '{\"a\":' || printf('%.*c', 50000, '[')",
    "scores of no column": "UPDATE runs SET record = json_set(record, '$.scores.psnr', 1)",
    "scores in a column of rows": "UPDATE runs SET record = json_set(record,"
    " '$.scores.psnr.column', 'bpp')",
    "datasets that are none": "UPDATE runs SET record = json_set(record, '$.datasets', 'all')",
    "other version": "PRAGMA user_version = 77",
}


def typed(words: Sequence[str | Path], monkeypatch: pytest.MonkeyPatch) -> int:
    """Run ``bench`` with some words in this process; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["bench", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@pytest.fixture
def one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[[Path], None]:
    """Return a function that lets every reader read a folder, and checks how each ends."""

    def check(folder: Path) -> None:
        for words in (
            ["report", "--out", folder, "--html", tmp_path / "page.html"],
            ["tables", "--out", folder],
            ["plots", "--out", folder],
            ["figures", "--results", folder, "--out", tmp_path / "figures"],
            ["check", "--baseline", folder, "--against", folder],
        ):
            code = typed(words, monkeypatch)
            said = capsys.readouterr().err.strip().splitlines()

            assert 2 == code, (words[0], said)
            assert "Traceback" not in "".join(said)
            assert said[-1].startswith("bench: "), words[0]
        assert not (tmp_path / "page.html").exists()

    return check


@pytest.mark.parametrize("name", SCRIPTS)
def test_databases(folder: Path, one_line: Callable[[Path], None], name: str):
    """Views, triggers, endless queries, wrong types, broken schemas and records: one line each."""
    change(folder, SCRIPTS[name])

    one_line(folder)


@pytest.mark.parametrize(
    ("table", "old", "new"),
    [
        ("cells", "image TEXT", "image INTEGER"),
        ("encodings", "bytes INTEGER", "bytes AS (7)"),
        ("encodings", "CREATE TABLE", "CREATE VIEW"),
        ("runs", "CREATE TABLE runs", "CREATE TABLE sqlite_runs"),
        ("scores", "WITHOUT ROWID", ""),
    ],
)
def test_definitions_that_lie(
    folder: Path, one_line: Callable[[Path], None], table: str, old: str, new: str
):
    """A schema that says another thing than its pages hold: one line."""
    with contextlib.suppress(sqlite3.DatabaseError):  # SQLite noticed already
        rewrite(folder, table, old, new)

    one_line(folder)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_cut_files(folder: Path, one_line: Callable[[Path], None], share: float):
    """A database that was cut: one line."""
    path = folder / "bench.sqlite"
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])

    one_line(folder)


def test_log_of_another_database(folder: Path, honest: Path):
    """A write-ahead log from elsewhere changes nothing that is read."""
    before = load_results(folder).rows
    (folder / "bench.sqlite-wal").write_bytes((honest / "bench.sqlite").read_bytes()[:8192])

    pd.testing.assert_frame_equal(before, load_results(folder).rows)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda rows: rows.assign(bpp="x"),
        lambda rows: rows.assign(bpp=float("inf")),
        lambda rows: rows.assign(bpp=-1),
        lambda rows: rows.assign(bytes=0),
        lambda rows: rows.assign(psnr_db=1e200),
        lambda rows: rows.assign(setting="{}}"),
        lambda rows: rows.assign(setting="[" * 3000),
        lambda rows: rows.assign(setting='{"quality":{"a":[]}}'),
        lambda rows: rows.assign(error="x" * 70_000),
        lambda rows: rows.drop(columns="codec"),
        lambda rows: rows.iloc[:0],
        lambda rows: pd.concat([rows, rows]),
    ],
)
def test_tables_of_rows(table: Path, spoil: Callable[[pd.DataFrame], pd.DataFrame]):
    """rows.csv with other types, values, columns, rows: one line."""
    spoil(pd.read_csv(table / "rows.csv")).to_csv(table / "rows.csv", index=False)

    with pytest.raises(BenchError) as caught:
        load_results(table)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"\x00" * 5000, b'"a\n' * 9, b"a,b\n1"])
def test_files_that_are_no_tables(table: Path, content: bytes):
    """rows.csv that is empty, binary or cut: one line."""
    (table / "rows.csv").write_bytes(content)

    with pytest.raises(BenchError):
        load_results(table)


@pytest.mark.parametrize("content", ["", "[", "[]", "7", '{"datasets": 1}', "[" * 90_000, "\x00"])
def test_records_beside_a_table(table: Path, content: str):
    """run.json that is none: one line."""
    (table / "run.json").write_text(content)

    with pytest.raises(BenchError):
        load_results(table)


def test_honest_results_are_read(table: Path, honest: Path):
    """None of this costs honest results anything."""
    assert len(load_results(honest).rows) == len(load_results(table).rows)


def test_pictures_of_a_folder_are_the_readers_choice(
    honest: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Who made the run sees its pictures; who got it names the folder, and only those pictures."""
    name = load_results(folder).datasets[0]
    pictures = honest.parent / "pictures"
    assert (48, 64, 3) == load_results(folder).original(name, "a.png").shape

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another user"))
    results = load_results(folder)
    with pytest.raises(BenchError, match="a folder that you name: --pictures"):
        results.original(name, "a.png")
    assert (48, 64, 3) == results.original(name, "a.png", folders=[f"folder:{pictures}"]).shape
    other = tmp_path / "other"
    other.mkdir()
    image.save(np.zeros((48, 64, 3), np.uint8), other / "a.png")
    with pytest.raises(BenchError):
        results.original(name, "a.png", folders=[str(other)])


def test_a_record_that_names_another_folder(folder: Path, tmp_path: Path):
    """The path of a private folder in a record opens nothing, for its owner neither."""
    private = tmp_path / "private"
    private.mkdir()
    image.save(np.zeros((48, 64, 3), np.uint8), private / "a.png")
    digest = image.pixels_sha256(np.zeros((48, 64, 3), np.uint8))
    with closing(sqlite3.connect(folder / "bench.sqlite")) as db:
        record = json.loads(db.execute("SELECT record FROM runs").fetchone()[0])
        (about,) = record["datasets"].values()
        about |= {"folder": str(private), "images": {"a.png": digest}}
        db.execute("UPDATE runs SET record = ?", (json.dumps(record),))
        db.commit()
    results = load_results(folder)

    with pytest.raises(BenchError, match="a folder that you name: --pictures"):
        results.original(results.datasets[0], "a.png")
