"""A run is a plan and its rows: what other plans left in the folder changes no number."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from forkserver import Here
from small_runs import Watch, go, interrupted, same

import bench
from bench import image
from bench.measurement.results import load_results
from bench.measurement.run import run
from bench.output.write import write

pytestmark = pytest.mark.usefixtures("one_in_flight")


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
    found = run(opened, ["jpeg"], ["psnr"], points=1, make_executor=Here)

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
