"""A run is a plan and its rows: what other plans left in the folder changes no number."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bench
from bench import image, registry
from bench.errors import BenchError, DatasetError, OutputError, Unavailable, UsageError
from bench.measurement import executor, worker
from bench.measurement import plan as plans
from bench.measurement.progress import Progress
from bench.measurement.results import DATABASE, Results, load_results
from bench.measurement.run import run
from bench.output.write import write


class Inline(Executor):
    """Works in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run at once."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def inline(_workers: int, /, timeout_s: float = 0) -> Executor:
    """Return an executor of this process."""
    return Inline()


class Watch(Progress):
    """Keeps what it is told; interrupts after some cells, or raises another error there."""

    def __init__(self, cells: int = -1, error: BaseException | None = None) -> None:
        self.left, self.error = cells, error or KeyboardInterrupt()
        self.said: list[str] = []
        self.plan: plans.Plan | None = None

    def say(self, text: str, *, loud: bool = False) -> None:  # noqa: ARG002
        """Keep it."""
        self.said.append(text)

    def planned(self, plan: plans.Plan) -> None:
        """Keep it."""
        self.plan = plan

    def measured(self, _row: object) -> None:
        """Count."""
        self.left -= 1
        if self.left == 0:
            raise self.error


def go(*datasets: object, codecs: Any = ("jpeg", "webp"), **more: Any) -> Results:
    """Measure in this process."""
    options = {"metrics": ["psnr"], "points": 4, "jobs": 1, "make_executor": inline} | more
    worker._images.clear()
    return run([str(d) for d in datasets], codecs, options.pop("metrics"), **options)


def interrupted(*datasets: object, cells: int, **more: Any) -> None:
    """Begin a plan and break it off."""
    with pytest.raises(KeyboardInterrupt):
        go(*datasets, progress=Watch(cells), **more)


@pytest.fixture
def small(tmp_path: Path, photo: image.Image) -> Path:
    """A folder of three different photographs, 48x40."""
    folder = tmp_path / "small"
    folder.mkdir()
    for number, name in enumerate("abc"):
        crop = photo[80 * number : 80 * number + 40, 90 * number : 90 * number + 48]
        image.save(crop, folder / f"{name}.png")
    return folder


@pytest.fixture(autouse=True)
def one_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break off after the very cell."""
    monkeypatch.setattr(executor, "_IN_FLIGHT_PER_WORKER", 1)


def files(folder: Path) -> dict[str, Any]:
    """Return the numbers of a folder of results, times left out."""
    rows = pd.read_csv(folder / "rows.csv").drop(columns=["encode_s", "decode_s"])
    found = {"rows": rows, "summary": pd.read_csv(folder / "summary.csv")}
    found["bd_rate"] = pd.read_csv(folder / "bd_rate.csv")
    return found


def same(one: Path, other: Path) -> bool:
    """Return whether two folders hold the same numbers and the same files."""
    names = [{p.relative_to(f) for p in f.rglob("*.*")} for f in (one, other)]
    assert names[0] == names[1]
    for name, frame in files(one).items():
        pd.testing.assert_frame_equal(frame, files(other)[name])
    return True


@pytest.mark.parametrize("cells", [1, 5, 17])
def test_a_longer_run_broken_off_changes_nothing(small: Path, tmp_path: Path, cells: int):
    """8 points broken off, then 4 points finished: the numbers of a clean folder."""
    used, clean = tmp_path / "used", tmp_path / "clean"
    interrupted(f"folder:{small}", cells=cells, points=8, out=used, metrics=["psnr", "ms_ssim"])
    for out in (used, clean):
        write(go(f"folder:{small}", out=out), plots=False)

    assert same(clean, used)
    assert "ms_ssim" not in load_results(used).rows


def test_more_codecs_broken_off_change_nothing(small: Path, tmp_path: Path):
    """Codecs that only a broken-off plan asked for are in no table, and cost no image."""
    used, clean = tmp_path / "used", tmp_path / "clean"
    interrupted(f"folder:{small}", cells=5, codecs=["avif", "bpg", "jpeg", "webp"], out=used)
    for out in (used, clean):
        write(go(f"folder:{small}", out=out), plots=False)

    assert same(clean, used)


def test_what_is_stored_is_reused(small: Path, tmp_path: Path):
    """The second plan measures only what the first one left undone."""
    watch = Watch()
    go(f"folder:{small}", codecs=["jpeg"], out=tmp_path / "out")
    go(f"folder:{small}", codecs=["jpeg", "webp"], out=tmp_path / "out", progress=watch)

    assert watch.plan is not None
    assert (24, 12, 12) == (len(watch.plan.cells), len(watch.plan.tasks), watch.plan.stored)


def test_the_last_finished_plan_is_shown(small: Path, tmp_path: Path):
    """A later plan that was broken off is named in one line; the numbers stay."""
    first = go(f"folder:{small}", codecs=["jpeg"], out=tmp_path)
    interrupted(f"folder:{small}", cells=3, out=tmp_path, codecs=["webp"], metrics=["ms_ssim"])
    found = load_results(tmp_path)

    pd.testing.assert_frame_equal(first.rows, found.rows)
    assert "" == found.unfinished
    [remark] = found.remarks
    assert "has not finished (3 of 12 cells)" in remark


def test_an_only_plan_that_is_unfinished_says_so(small: Path, tmp_path: Path):
    """Where no plan ever finished, what is there of the last one is used, loudly."""
    interrupted(f"folder:{small}", cells=2, out=tmp_path)
    interrupted(f"folder:{small}", cells=5, out=tmp_path, codecs=["webp"], metrics=["ms_ssim"])
    found = load_results(tmp_path, unfinished=True)

    assert "unfinished: 5 of 12 cells measured" == found.unfinished == found.remarks[0]
    assert (5, {"webp"}) == (len(found.rows), set(found.rows["codec"]))
    assert "psnr_db" not in found.rows


def test_cells_scored_for_another_plan_only_are_not_measured(small: Path, tmp_path: Path):
    """An encoding that lacks a metric of the unfinished plan is no row of it."""
    interrupted(f"folder:{small}", cells=4, out=tmp_path, codecs=["jpeg"])
    watch = Watch(1)
    with pytest.raises(KeyboardInterrupt):
        go(
            f"folder:{small}",
            out=tmp_path,
            codecs=["jpeg"],
            metrics=["psnr", "ms_ssim"],
            progress=watch,
        )
    found = load_results(tmp_path, unfinished=True)

    assert "unfinished: 1 of 12 cells measured" == found.unfinished
    assert 1 == len(found.rows)


def test_an_image_that_left_or_changed_takes_no_part(small: Path, tmp_path: Path, photo):
    """Rows, count and record are those of what the folder holds now."""
    out = tmp_path / "out"
    before = go(f"folder:{small}", out=out)
    (small / "c.png").unlink()
    image.save(photo[200:240, 0:48], small / "b.png")
    after = go(f"folder:{small}", out=out)
    [about] = after.record["datasets"].values()

    assert {"a.png", "b.png", "c.png"} == set(before.rows["image"])
    assert {"a.png", "b.png"} == set(after.rows["image"]) == set(about["images"])
    changed = [r.rows[r.rows["image"] == "b.png"]["bytes"].tolist() for r in (before, after)]
    assert changed[0] != changed[1]


def test_spellings_of_one_folder_are_one_dataset(small: Path, tmp_path: Path, monkeypatch):
    """Relative, absolute, through a link, with a slash: measured once, called as typed first."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(small)
    words = ["./small/", "small", str(small), "link", "small/../small"]
    found = go(*(f"folder:{word}" for word in words), out=tmp_path / "out")

    assert ["folder:small"] == found.datasets
    assert 24 == len(found.rows)
    assert str(small.resolve()) == found.record["datasets"]["folder:small"]["folder"]


def test_two_folders_of_one_relative_name_do_not_mix(small: Path, tmp_path: Path, monkeypatch):
    """From another working folder the same word is another dataset."""
    other = tmp_path / "other" / "small"
    shutil.copytree(small, other)
    (other / "b.png").unlink()
    out = tmp_path / "out"
    for base, images in ((tmp_path, 3), (other.parent, 2)):
        monkeypatch.chdir(base)
        found = go("folder:small", out=out)

        assert images == found.rows["image"].nunique()
        assert str(base / "small") == found.record["datasets"]["folder:small"]["folder"]


def test_two_datasets_of_one_name_in_one_plan(small: Path, tmp_path: Path, monkeypatch):
    """Opened from different working folders, they have distinct names."""
    other = tmp_path / "other" / "small"
    shutil.copytree(small, other)
    opened = []
    for base in (tmp_path, other.parent):
        monkeypatch.chdir(base)
        opened.append(bench.dataset.open.open_dataset("folder:small"))  # type: ignore[attr-defined]
    found = run(opened, ["jpeg"], ["psnr"], points=1, make_executor=inline)

    assert sorted(["folder:small", f"folder:{other}"]) == found.datasets
    assert 6 == len(found.rows)


def test_equal_pixels_count_once(small: Path, tmp_path: Path):
    """Copies under other names or formats are named, and are in no mean."""
    shutil.copy(small / "a.png", small / "z.png")
    shutil.copy(small / "b.png", small / "y.png")
    watch = Watch()
    found = go(f"folder:{small}", out=tmp_path / "out", progress=watch)
    name = f"folder:{small}"
    line = (
        f"{name}: 2 files have the same pixels as another one and are not counted again "
        "(y.png as b.png, ...)"
    )

    assert {"a.png", "b.png", "c.png"} == set(found.rows["image"])
    assert {"a.png": ["z.png"], "b.png": ["y.png"]} == found.record["datasets"][name]["duplicates"]
    assert watch.plan is not None
    assert (24, 0, 24) == (len(watch.plan.cells), watch.plan.stored, len(watch.plan.tasks))
    assert 1 == len(watch.said) == len(found.remarks)
    assert "2 files have the same pixels" in line
    assert found.remarks == watch.said


def test_one_picture_in_two_datasets_is_measured_once(small: Path, tmp_path: Path):
    """Both datasets have their rows; the count of cells is that of the rows."""
    other = tmp_path / "other"
    shutil.copytree(small, other)
    watch = Watch()
    found = go(f"folder:{small}", f"folder:{other}", progress=watch)

    assert watch.plan is not None
    assert 48 == len(found.rows) == len(watch.plan.cells)
    assert (24, 0) == (len(watch.plan.tasks), watch.plan.stored)


def test_only_the_images_qualities_and_options_asked_for(small: Path, tmp_path: Path):
    """A subset, other qualities, an option: each plan has its own rows alone."""
    name = f"folder:{small}"
    go(name, out=tmp_path / "out")
    subset = go(name, images=["b"], out=tmp_path / "out")
    quality = go(name, quality=[30, 30, 50], codecs=["jpeg"], points=None, out=tmp_path / "out")
    option = go(name, codecs=["jpeg:subsampling=4:4:4", "webp"], out=tmp_path / "out")

    assert [f"{name} (1 of 3)"] == subset.datasets
    assert 8 == len(subset.rows)
    assert {30, 50} == {json.loads(text)["quality"] for text in quality.rows["setting"]}
    assert 6 == len(quality.rows)
    assert {"jpeg:subsampling=4:4:4", "webp"} == set(option.rows["codec"])


def test_settings_of_each_codec_and_images_of_each_dataset(small: Path, tmp_path: Path):
    """As the gate asks: exact settings, exact images."""
    name = f"folder:{small}"
    settings = {
        "jpeg": [bench.Setting(quality=30)],
        "webp": [bench.Setting(quality=10), bench.Setting(quality=20)],
    }
    found = go(name, codecs=settings, points=None, images={name: ["a.png", "c.png"]})

    assert [2, 4] == found.rows.groupby("codec").size().tolist()
    assert {"a.png", "c.png"} == set(found.rows["image"])


def test_another_version_of_a_codec(small: Path, tmp_path: Path, monkeypatch):
    """After an update of a library, rows are those of the new version alone."""
    from bench.codecs.jpeg import Jpeg

    name = f"folder:{small}"
    old = go(name, codecs=["jpeg"], out=tmp_path / "out")
    monkeypatch.setattr(Jpeg, "version", lambda _self: "libjpeg 99")
    interrupted(name, cells=2, codecs=["jpeg"], out=tmp_path / "out")
    kept = load_results(tmp_path / "out")
    new = go(name, codecs=["jpeg"], out=tmp_path / "out")

    pd.testing.assert_frame_equal(old.rows, kept.rows)
    assert 12 == len(new.rows)
    assert all("libjpeg 99" in label for label in new.rows["label"])


def test_other_words_for_a_codec_measure_nothing_again(small: Path, tmp_path: Path, monkeypatch):
    """Stored rows take the new label, and keep their bytes and no-codec ceilings."""
    from bench.codecs.jpeg import Jpeg

    name, watch = f"folder:{small}", Watch()
    old = go(name, codecs=["jpeg"], out=tmp_path / "out")
    monkeypatch.setattr(Jpeg, "display", "Joint Photographic")
    monkeypatch.setattr(Jpeg, "effort", lambda *_: "hardly any")
    new = go(name, codecs=["jpeg"], out=tmp_path / "out", progress=watch)

    assert watch.plan is not None
    assert [] == watch.plan.tasks
    assert all(label.startswith("Joint Photographic 4:2:0 8-bit, hard") for label in new.rows.label)
    pd.testing.assert_frame_equal(old.rows.drop(columns="label"), new.rows.drop(columns="label"))
    assert 1 == len(new.ceilings)
    assert old.ceilings.ceiling_psnr_db.tolist() == new.ceilings.ceiling_psnr_db.tolist()


def test_slow_curves_are_in_the_whole_default_run_alone():
    """AVIF stands in it at two speeds, once in a quick run, and in no other default choice."""

    def words(**more: bool) -> list[str]:
        curves, _ = plans.choose_curves(plans.Request((), points=1, **more))
        found = [registry.spec_name(curve.codec, curve.settings[0]) for curve in curves]
        return [word for word in found if word.startswith("avif")]

    assert ["avif", "avif:speed=4"] == words(more_curves=True)
    assert ["avif"] == words()


def test_a_codec_of_several_curves_is_unavailable_once(monkeypatch):
    """Its reason is told once, by the name that `bench list` knows."""
    from bench.codecs.avif import Avif

    def nothing(_self: object) -> None:
        raise Unavailable("no library")

    monkeypatch.setattr(Avif, "__init__", nothing)
    _, unavailable = plans.choose_curves(plans.Request((), points=1, more_curves=True))

    assert [("avif", "no library")] == [pair for pair in unavailable if "avif" in pair[0]]


def test_variants_are_a_family_unless_they_are_named(monkeypatch):
    """A run that names no codec sets them apart; a quick one, as the gate, leaves them out."""
    for name in ("webp", "jpeg"):
        monkeypatch.setattr(registry.discover()[name].cls, "family", "webp")

    def planned(*names: str, more: bool) -> plans.Plan:
        return plans.choose(plans.Request((), names, ["psnr"], points=1, more_curves=more))

    whole, quick, named = (
        planned(more=True),
        planned(more=False),
        planned("webp", "bpg", more=True),
    )

    assert {"jpeg", "webp"} == set(whole.families["webp"])
    assert ({}, {}) == (quick.families, named.families)
    assert not {"jpeg", "webp"} & {curve.codec.name for curve in quick.curves}
    assert ["webp", "bpg"] == [curve.codec.name for curve in named.curves]


def test_an_unavailable_family_is_told_in_one_line(monkeypatch):
    """Variants that lack the same weights have one reason, not one each."""

    def nothing(_self: object) -> None:
        raise Unavailable("no weights", "Make them.")

    for name in ("webp", "jpeg"):
        monkeypatch.setattr(registry.discover()[name].cls, "family", "webp")
        monkeypatch.setattr(registry.discover()[name].cls, "__init__", nothing)

    _, unavailable = plans.choose_curves(plans.Request((), points=1, more_curves=True))

    assert [("jpeg, webp", "no weights. Make them.")] == [
        pair for pair in unavailable if "webp" in pair[0]
    ]


def test_rows_of_families_stand_apart(small: Path, tmp_path: Path, monkeypatch):
    """Stored and read again they are beside the others, from the database as from rows.csv."""
    monkeypatch.setattr(registry.discover()["webp"].cls, "family", "webp")
    for name, found in registry.discover().items():
        if found.cls is not None and name not in ("jpeg", "webp"):
            monkeypatch.setattr(found.cls, "in_default_run", False)
    results = go(f"folder:{small}", codecs=[], points=1, out=tmp_path)
    write(results, plots=False)

    for _ in range(2):
        again = load_results(tmp_path)
        assert {"jpeg"} == set(again.rows["codec"])
        assert ["webp"] == list(again.families)
        assert {"webp"} == set(again.families["webp"]["codec"])
        assert {"jpeg", "webp"} == set(again.every_row["codec"]) == set(again.summary()["codec"])
        (tmp_path / DATABASE).unlink(missing_ok=True)


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
    assert all("changed during the run" in error for error in bad["error"])


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
