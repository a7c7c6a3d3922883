"""The store: resumable, one row a cell, honest about what it cannot do."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bench.errors import OutputError
from bench.measurement.encoding import Cell, Encoding, encoding_key
from bench.measurement.results import stored_results
from bench.measurement.store import Store

KEY = encoding_key("aa", 4, 2, "jpeg", "1", '{"quality":5}', 1)
ROW = Encoding(
    KEY,
    "aa",
    4,
    2,
    "jpeg",
    "1",
    "jpeg (1)",
    '{"quality":5}',
    data=b"bytes",
    encode_s=0.1,
    decode_s=0.2,
    scores={"psnr": ("1", 30.0, ""), "ms_ssim": ("1", None, "too small")},
    ceiling_db=50.0,
)
SCORES = {
    "psnr": {"column": "psnr_db", "version": "1"},
    "ms_ssim": {"column": "ms_ssim", "version": "1"},
}
CELL = Cell("kodak", "kodim01.png", "jpeg", '{"quality":5}', "jpeg (1)", KEY)


def test_key_depends_on_every_part():
    """Two encodings that differ in anything have different keys."""
    parts = ["aa", 4, 2, "jpeg", "1", "{}", 1]
    others = [["ab", 5, 3, "webp", "2", '{"q":1}', 2][i] for i in range(7)]
    keys = {encoding_key(*parts)}
    for index, other in enumerate(others):
        changed = [*parts]
        changed[index] = other
        keys.add(encoding_key(*changed))

    assert 8 == len(keys)


def test_rows_hold_what_was_put(tmp_path: Path):
    """A cell comes back as one row with bpp, scores, hash and no error."""
    with Store(tmp_path) as store:
        store.start_run({"scores": SCORES}, [CELL])
        store.put(ROW)
        rows = stored_results(store).rows

    assert 1 == len(rows)
    row = rows.iloc[0]
    assert 8 * 5 / 8 == row.bpp
    assert 30.0 == row.psnr_db
    assert row.ms_ssim != row.ms_ssim  # not defined is NaN
    assert row.error == ""
    assert 64 == len(row.bitstream_sha256)


def test_same_cell_twice_is_one_row(tmp_path: Path):
    """Storing a cell again replaces it."""
    with Store(tmp_path) as store:
        for _ in range(3):
            store.start_run({}, [CELL, CELL])
            store.put(ROW)

        assert 1 == len(stored_results(store).rows)


def test_newer_codec_version_replaces_the_row(tmp_path: Path):
    """The table shows each (image, curve, setting) once, by the version of the latest run."""
    newer = encoding_key("aa", 4, 2, "jpeg", "2", '{"quality":5}', 1)
    with Store(tmp_path) as store:
        store.start_run({}, [CELL])
        store.put(ROW)
        store.start_run({}, [replace(CELL, label="jpeg (2)", key=newer)])
        store.put(replace(ROW, key=newer, version="2", label="jpeg (2)", data=b"other bytes"))
        rows = stored_results(store).rows

    assert ["jpeg (2)"] == rows.label.tolist()
    assert [11] == rows.bytes.tolist()


def test_a_plan_has_the_scores_of_its_own_metric_version(tmp_path: Path):
    """After a metric's definition changed, rows of the new plan have the new values alone."""
    newer = {"psnr": {"column": "psnr_db", "version": "2"}}
    with Store(tmp_path) as store:
        store.start_run({"scores": SCORES}, [CELL])
        store.put(ROW)
        store.finish_run()
        store.put_scores(replace(ROW, scores={"psnr": ("2", 31.0, "")}))

        assert [30.0] == stored_results(store).rows.psnr_db.tolist()
        store.start_run({"scores": newer}, [CELL])
        store.finish_run()
        rows = stored_results(store).rows

        assert [31.0] == rows.psnr_db.tolist()
        assert "ms_ssim" not in rows
        assert (KEY, "psnr", "1") in store.scored()


def test_bitstream_comes_back_and_damage_is_noticed(tmp_path: Path):
    """Stored bytes are the encoder's bytes; bytes that changed on disk are refused."""
    with Store(tmp_path) as store:
        store.put(ROW)

        assert b"bytes" == store.bitstream(KEY)

    with closing(sqlite3.connect(tmp_path / "bench.sqlite")) as db, db:
        db.execute("UPDATE bitstreams SET data = x'00'")
    with Store(tmp_path) as store, pytest.raises(OutputError, match="lost the bitstream"):
        store.bitstream(KEY)


def test_failed_image_is_a_row(tmp_path: Path):
    """A cell whose image could not be read has an error and no numbers."""
    with Store(tmp_path) as store:
        store.start_run({}, [replace(CELL, key="", error="ImageError: damaged")])
        row = stored_results(store).rows.iloc[0]

    assert row.error == "ImageError: damaged"
    assert row.bpp != row.bpp


def test_planned_but_unmeasured_cell_is_no_row(tmp_path: Path):
    """An interrupted run shows what it measured only."""
    with Store(tmp_path) as store:
        store.start_run({}, [CELL])

        assert stored_results(store).rows.empty


def test_second_writer_is_refused(tmp_path: Path):
    """Two runs never write to one folder at a time."""
    with Store(tmp_path), pytest.raises(OutputError, match="another bench is writing"):
        Store(tmp_path)


def test_reading_nothing_says_what_to_do(tmp_path: Path):
    """Tables of an empty folder are refused with the next step."""
    with pytest.raises(OutputError, match="Run `bench all` first"):
        Store(tmp_path, writing=False)


def test_folder_that_cannot_be_made(tmp_path: Path):
    """A file where the folder should be is a clear error."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write results"):
        Store(tmp_path / "file" / "out")


def test_other_schema_is_refused(tmp_path: Path):
    """A database of another version is left alone."""
    with closing(sqlite3.connect(tmp_path / "bench.sqlite")) as db, db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(OutputError, match="schema 99, wanted 2"):
        Store(tmp_path)


@pytest.mark.parametrize("writing", [True, False])
def test_damaged_pages_are_one_clear_error(tmp_path: Path, writing: bool):
    """A database that opens but cannot be read says so, whoever reads, SQLite or pandas."""
    with Store(tmp_path) as store:
        store.start_run({}, [CELL])
        store.put(ROW)
    path = tmp_path / "bench.sqlite"
    data = bytearray(path.read_bytes())
    page = int.from_bytes(data[16:18])
    data[page:] = bytes([0xA5]) * (len(data) - page)  # all but the first, which has the schema
    path.write_bytes(data)
    with pytest.raises(OutputError, match=r"cannot .*malformed.*move it away"):
        Store(tmp_path, writing=writing)


def test_not_a_database(tmp_path: Path):
    """A foreign file under the database's name is a clear error."""
    (tmp_path / "bench.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(OutputError, match="cannot write results"):
        Store(tmp_path)
