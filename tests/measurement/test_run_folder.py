"""The folder of a run: failures, older databases, damage, what is written and what leaves."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_runs import Watch, go, interrupted

from bench import image
from bench.errors import BenchError, DatasetError, OutputError, UsageError
from bench.measurement import executor, worker
from bench.measurement import plan as plans
from bench.measurement.progress import Progress
from bench.measurement.results import load_results
from bench.output.write import write

pytestmark = pytest.mark.usefixtures("one_in_flight")


def test_failed_cells_are_rows_and_are_tried_again_when_asked(tmp_path: Path, small: Path):
    """A picture too wide for WebP costs its own cells, in each plan that has it."""
    image.save(np.zeros((2, 20_000, 3), np.uint8), small / "wide.png")
    out, name = tmp_path / "out", f"folder:{small}"
    counts = []
    for again in (False, False, True):
        watch = Watch()
        found = go(name, codecs=["webp"], points=1, out=out, retry_failed=again, progress=watch)
        assert watch.plan is not None
        counts.append((len(watch.plan.tasks), watch.plan.stored, watch.plan.failed_before))
        assert ["wide.png"] == found.rows.loc[found.rows["error"] != "", "image"].tolist()
        assert ["wide.png"] == found.failures()["images"].tolist()

    assert [(4, 0, 0), (0, 3, 1), (1, 3, 0)] == counts


def test_no_codec_is_no_run(small: Path, tmp_path: Path):
    """A plan without a codec is refused before a folder is made."""
    with pytest.raises(UsageError, match="no codec"):
        go(f"folder:{small}", codecs={}, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_kept_without_out(small: Path, tmp_path: Path, monkeypatch):
    """The folder is gone; the results can be used."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    found = go(f"folder:{small}")

    assert [] == list((tmp_path / "temporary").iterdir())
    assert found.database is None
    assert {"jpeg", "webp"} == set(found.summary()["codec"])
    assert {"webp"} == set(found.bd_rates(anchor="jpeg")["codec"])
    assert found.failures().empty


def test_a_folder_removed_during_the_run(small: Path, tmp_path: Path):
    """SQLite would go on writing to nowhere: one line instead."""
    out = tmp_path / "out"

    class Remove(Progress):
        def measured(self, _row: object) -> None:
            shutil.rmtree(out, ignore_errors=True)

    with pytest.raises(OutputError, match=r"out was removed or replaced during the run"):
        go(f"folder:{small}", out=out, progress=Remove())


def test_another_picture_than_planned_is_not_measured(small: Path, tmp_path: Path):
    """A file that is swapped during the run fails its cells."""

    class Swap(Progress):
        def planned(self, _plan: plans.Plan) -> None:
            shutil.copy(small / "a.png", small / "c.png")

    found = go(f"folder:{small}", out=tmp_path / "out", progress=Swap())
    bad = found.rows[found.rows["error"] != ""]

    assert {"c.png"} == set(bad["image"])
    assert all("holds another picture now" in error for error in bad["error"])


def test_originals_are_those_that_were_measured(small: Path, tmp_path: Path, monkeypatch):
    """From any working folder; another picture in its place is said, not shown."""
    monkeypatch.chdir(tmp_path)
    found = go("folder:small", out=tmp_path / "out")
    monkeypatch.chdir("/")
    first = image.load(small / "a.png")

    assert np.array_equal(first, found.original("folder:small", "a.png"))
    shutil.copy(small / "b.png", small / "a.png")
    with pytest.raises(DatasetError, match="another picture"):
        found.original("folder:small", "a.png")
    (small / "a.png").unlink()
    with pytest.raises(BenchError, match=r"a\.png"):
        found.original("folder:small", "a.png")


def schema_1(out: Path, small: Path) -> None:
    """Turn the database of a folder into one that the first schema describes."""
    with closing(sqlite3.connect(out / "bench.sqlite")) as db, db:
        db.executescript("""
            ALTER TABLE runs RENAME TO new_runs; ALTER TABLE cells RENAME TO new_cells;
            CREATE TABLE runs (id INTEGER PRIMARY KEY, started TEXT NOT NULL, record TEXT);
            INSERT INTO runs SELECT id, started, record FROM new_runs;
            CREATE TABLE cells (
              dataset TEXT NOT NULL, image TEXT NOT NULL, curve TEXT NOT NULL,
              setting TEXT NOT NULL, label TEXT NOT NULL, key TEXT, error TEXT,
              PRIMARY KEY (dataset, image, curve, setting)) WITHOUT ROWID;
            INSERT INTO cells SELECT dataset, image, curve, setting, label, key, error
              FROM new_cells;
            DROP TABLE new_runs; DROP TABLE new_cells; PRAGMA user_version=1;""")


def test_a_database_of_the_first_schema(small: Path, tmp_path: Path):
    """Reading asks to run again; then nothing is measured anew, and rows are those of the plan."""
    out, name = tmp_path / "out", f"folder:{small}"
    before = go(name, out=out)
    schema_1(out, small)
    with pytest.raises(OutputError, match=r"Run `bench all` again: what is stored .* is reused"):
        load_results(out)
    watch = Watch()
    after = go(name, out=out, progress=watch)

    assert watch.plan is not None
    assert (24, []) == (watch.plan.stored, watch.plan.tasks)
    pd.testing.assert_frame_equal(before.rows, after.rows)


def test_an_unfinished_plan_on_a_database_of_the_first_schema(small: Path, tmp_path: Path):
    """The old runs were of no plan: the new one is shown as unfinished."""
    out, name = tmp_path / "out", f"folder:{small}"
    go(name, out=out, codecs=["jpeg"])
    schema_1(out, small)
    interrupted(name, cells=1, out=out)

    found = load_results(out, unfinished=True)
    assert "unfinished: 13 of 24 cells measured" == found.unfinished
    with pytest.raises(OutputError, match="no finished run: unfinished: 13 of 24 cells measured"):
        load_results(out)


def test_rows_and_record_are_enough(small: Path, tmp_path: Path):
    """Tables made from rows.csv and run.json are, byte for byte, those made from the database."""
    out, kept = tmp_path / "out", tmp_path / "kept"
    shutil.copy(small / "a.png", small / "z.png")
    write(go(f"folder:{small}", out=out, codecs=["jpeg", "null", "webp"]), plots=False)
    kept.mkdir()
    for name in ("rows.csv", "run.json"):
        shutil.copy(out / name, kept / name)
    write(load_results(kept), plots=False)
    alone = {Path("bench.sqlite"), Path(".lock"), Path("experiment.toml")}
    names = {p.relative_to(out) for p in out.rglob("*.*")} - alone

    assert names == {p.relative_to(kept) for p in kept.rglob("*.*")}
    for name in sorted(names - {Path("run.json")}):
        assert (out / name).read_bytes() == (kept / name).read_bytes(), name
    json.loads((kept / "run.json").read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda f: (f / "run.json").unlink(), "run.json is missing"),
        (lambda f: (f / "run.json").write_text("{"), "run.json"),
        (lambda f: (f / "run.json").write_text("[]"), "run.json"),
        (lambda f: (f / "rows.csv").write_text("dataset,image\nx,y\n"), "codec is missing"),
        (lambda f: (f / "rows.csv").write_text(""), "rows.csv"),
        (
            lambda f: (f / "rows.csv").write_text(
                (f / "rows.csv").read_text() + (f / "rows.csv").read_text().splitlines()[1] + "\n"
            ),
            "twice",
        ),
    ],
)
def test_damaged_files_are_one_line(small: Path, tmp_path: Path, damage, told: str):
    """A record or table that is missing, cut or doubled is refused."""
    out = tmp_path / "out"
    write(go(f"folder:{small}", out=out), plots=False)
    (out / "bench.sqlite").unlink()
    damage(out)
    with pytest.raises(OutputError, match=told) as caught:
        load_results(out)
    assert "\n" not in str(caught.value)


SCRIPT = """
import bench
r = bench.run(["sample"], ["jpeg"], ["psnr"], points=2, images=["coffee"], jobs=2)
print(len(r.rows), r.rows["psnr_db"].notna().all(), __name__)
"""


def test_a_script_without_a_guard(tmp_path: Path):
    """The workers do not run the script again."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
    )

    assert ("2 True __main__\n", 0) == (done.stdout, done.returncode), done.stderr


def test_unfinished_stands_in_titles_and_under_tables(small: Path, tmp_path: Path):
    """Nobody takes the tables of a plan that was broken off for those of a whole one."""
    interrupted(f"folder:{small}", cells=20, out=tmp_path / "out")
    write(load_results(tmp_path / "out", unfinished=True), plots=False)
    tables = (tmp_path / "out" / "tables").glob("*_rd.md")
    text = next(iter(tables)).read_text()

    assert "UNFINISHED: 20 OF 24 CELLS MEASURED" in text.splitlines()[0]
    assert "unfinished: 20 of 24 cells measured." in text


def test_files_of_an_earlier_plan_leave(small: Path, tmp_path: Path):
    """Tables of a dataset that the plan does not have are not left beside its own."""
    other = tmp_path / "other"
    shutil.copytree(small, other)
    out = tmp_path / "out"
    write(go(f"folder:{small}", f"folder:{other}", out=out, points=2))
    (out / "tables" / "mine.md").write_text("of the user")
    write(go(f"folder:{other}", out=out, points=2))
    left = {p.name for part in ("tables", "plots", "codec_compare") for p in (out / part).iterdir()}

    assert "mine.md" in left
    assert not any("small" in name for name in left)
    assert any("other" in name for name in left)


def test_a_stored_file_that_cannot_be_scored_fails_in_its_plan_alone(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A metric that crashes costs cells of the plan that asked for it, and no other plan's."""
    out, name = tmp_path / "out", f"folder:{small}"
    first = go(name, out=out, codecs=["jpeg"])
    monkeypatch.setattr(worker, "_score", lambda *_: 1 / 0)
    second = go(name, out=out, codecs=["jpeg"], metrics=["psnr", "ms_ssim"])
    monkeypatch.undo()
    monkeypatch.setattr(executor, "_IN_FLIGHT_PER_WORKER", 1)
    third = go(name, out=out, codecs=["jpeg"])

    assert all("ZeroDivisionError" in error for error in second.rows["error"])
    assert second.rows["bpp"].isna().all()
    pd.testing.assert_frame_equal(first.rows, third.rows)


@pytest.mark.parametrize("name", [b"p$_^$q", b"new\nline", b"not\xfftext", "übung 日本".encode()])
def test_names_of_any_bytes(small: Path, tmp_path: Path, name: bytes):
    """Folders and images may be called anything that the system allows."""
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/" + name)
    shutil.copytree(small, folder)
    Path(folder, "a.png").rename(os.fsdecode(os.fsencode(folder) + b"/" + name + b".png"))
    found = go(f"folder:{folder}", out=tmp_path / "out", points=2)
    write(found)
    [dataset], images = found.datasets, set(found.rows["image"])

    assert 3 == len(images)
    assert all(text.isprintable() for text in (dataset, *images))
    for image_name in images:
        assert (40, 48, 3) == found.original(dataset, image_name).shape
    pd.testing.assert_frame_equal(found.rows, load_results(tmp_path / "out").rows)
