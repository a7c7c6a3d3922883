"""``bench merge``: runs of several machines as one; contradictions are refused, origins kept."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from forkserver import Here

import bench as suite
from bench import image
from bench.errors import OutputError, UsageError
from bench.measurement.merge import merge
from bench.measurement.results import Results, load_results
from bench.output import tables
from bench.rate_search import Target

measure = partial(suite.run, jobs=1, points=4, make_executor=Here)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, photo: image.Image) -> Path:
    """Six small pictures, ``jpeg`` on them, ``webp`` on them, and ``jpeg`` on two halves."""
    folder = tmp_path_factory.mktemp("merge")
    (folder / "pictures").mkdir()
    for number in range(6):
        crop = photo[40 * number : 40 * number + 40, 60 * number : 60 * number + 48]
        image.save(crop, folder / "pictures" / f"{number}.png")
    data = [f"folder:{folder / 'pictures'}"]
    measure(data, ["jpeg"], ["psnr"], out=folder / "jpeg")
    measure(data, ["webp"], ["psnr", "ms_ssim"], out=folder / "webp")
    for name, half in (("left", "012"), ("right", "345")):
        measure(data, ["jpeg"], ["psnr"], images=[f"{n}.png" for n in half], out=folder / name)
    return folder


@pytest.fixture
def runs(place: Path, tmp_path: Path) -> Path:
    """A copy of them to spoil."""
    return Path(shutil.copytree(place, tmp_path / "runs", ignore=lambda *_: ["pictures"]))


def spoil(folder: Path, *statements: str) -> Path:
    """Change a database behind its back, as another machine might have written it."""
    with closing(sqlite3.connect(folder / "bench.sqlite")) as db, db:
        for statement in statements:
            db.execute(statement)
    return folder


def edit(folder: Path, change: Callable[[dict], object]) -> Path:
    """Change the record of the run in a folder."""
    with closing(sqlite3.connect(folder / "bench.sqlite")) as db, db:
        (text,) = db.execute("SELECT record FROM runs").fetchone()
        record = json.loads(text)
        change(record)
        db.execute("UPDATE runs SET record = ?", (json.dumps(record),))
    return folder


def refused(*folders: Path, out: Path, **options: bool) -> str:
    """Return the message of a merge that is refused."""
    with pytest.raises(UsageError) as caught:
        merge(folders, out, **options)
    return str(caught.value)


def test_codecs_of_two_machines_stand_together(place: Path, tmp_path: Path):
    """Rows, files and BD-rates are as of one machine that measured both; the sources stay."""
    before = {p: p.read_bytes() for p in place.rglob("*.sqlite")}
    found = merge([place / "jpeg", place / "webp"], tmp_path / "both")
    together = measure(
        [f"folder:{place / 'pictures'}"], ["jpeg", "webp"], ["psnr"], out=tmp_path / "one"
    )

    assert before == {p: p.read_bytes() for p in place.rglob("*.sqlite")}
    kept = ["dataset", "image", "codec", "label", "setting", "bytes", "psnr_db", "bitstream_sha256"]
    assert together.rows[kept].equals(found.rows[kept])
    one, two = together.bd_rates("jpeg"), found.bd_rates("jpeg")
    assert one.equals(two[two["metric"] == "psnr_db"].reset_index(drop=True))
    assert found.rows["ms_ssim"].isna().all()
    assert 48 == _count(tmp_path / "both", "bitstreams")


def _count(folder: Path, table: str) -> int:
    with closing(sqlite3.connect(folder / "bench.sqlite")) as db, db:
        (count,) = db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
    return int(count)


def test_halves_of_a_dataset_become_the_whole(place: Path, tmp_path: Path):
    """``(3 of 6)`` and ``(3 of 6)`` are six images, as in a run of all of them."""
    found = merge([place / "left", place / "right"], tmp_path / "both")
    whole = load_results(place / "jpeg")

    assert whole.datasets == found.datasets
    assert whole.rows.drop(columns=["encode_s", "decode_s"]).equals(
        found.rows.drop(columns=["encode_s", "decode_s"])
    )
    name = whole.datasets[0]
    digests = [r.record["datasets"][name]["pixels_sha256"] for r in (whole, found)]
    assert digests[0] == digests[1]


def test_what_overlaps_counts_once(place: Path, tmp_path: Path):
    """The same cells in both runs are the same cells."""
    found = merge([place / "left", place / "jpeg"], tmp_path / "both")

    assert 24 == len(found.rows)


def test_a_merge_can_be_done_again_and_merged_again(place: Path, tmp_path: Path):
    """Again is the same; a merge of a merge keeps the origin of each run."""
    out = tmp_path / "both"
    first = merge([place / "left", place / "right"], out)
    again = merge([place / "left", place / "right"], out)
    more = merge([out, place / "webp"], tmp_path / "more")

    assert first.rows.equals(again.rows)
    assert ["left", "right", "webp"] == [one["name"] for one in more.record["merged"]]
    assert {"jpeg", "webp"} == set(more.rows["codec"])


def test_origins_are_said_where_numbers_are_shown(runs: Path, tmp_path: Path):
    """Two machines and dates stand under every table, and none of them alone."""
    edit(runs / "webp", lambda record: record.update(cpu="Other CPU", date="2020-01-01", cores=64))
    found = merge([runs / "jpeg", runs / "webp"], tmp_path / "both")
    remark = found.remarks[0]
    record = {**found.record, "remarks": found.remarks}
    tables.write_all(found.rows, tmp_path / "t", provenance=record)
    text = next((tmp_path / "t" / "tables").glob("*_rd.md")).read_text()

    assert "merged from 2 runs: jpeg (" in remark
    assert "webp (2020-01-01, Other CPU" in remark
    assert remark in text
    assert " and Other CPU, " in text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("merged", ["a"]),
        ("merged", [{"name": 1}]),
        ("left_out", [1]),
        ("imported", ["x"]),
        ("imported", {"x": "y"}),
    ],
)
def test_a_record_of_another_shape_is_refused(runs: Path, key: str, value: object):
    """In one line, as every other entry that remarks are made of."""
    with pytest.raises(OutputError, match=f"'{key}' in its record has another shape"):
        load_results(edit(runs / "jpeg", lambda record: record.update({key: value})))


def test_what_each_run_brought_is_recorded(place: Path, tmp_path: Path):
    """Which cells came from which machine can be told later."""
    found = merge([place / "left", place / "webp"], tmp_path / "both")

    assert [(12, ["jpeg"]), (24, ["webp"])] == [
        (one["cells"], one["codecs"]) for one in found.record["merged"]
    ]


def test_searches_for_a_target_keep_what_they_found(place: Path, tmp_path: Path):
    """The found setting, its distance and the rate at the very target are merged as well."""
    data = [f"folder:{place / 'pictures'}"]
    more = {"targets": [Target("psnr", 33.0)], "images": ["0.png", "1.png"], "points": None}
    one, two = (measure(data, [c], ["psnr"], out=tmp_path / c, **more) for c in ("jpeg", "webp"))
    found = merge([tmp_path / "jpeg", tmp_path / "webp"], tmp_path / "both")
    kept = ["codec", "image", "found_setting", "target_miss", "target_bpp", "target_note"]
    apart = pd.concat([one.rows, two.rows], ignore_index=True)[kept]

    assert apart["target_miss"].notna().all()
    assert apart.sort_values(kept[:2]).to_dict("list") == (
        found.rows[kept].sort_values(kept[:2]).to_dict("list")
    )


def test_of_a_stranger_no_folder_is_trusted(runs: Path, tmp_path: Path):
    """Merging does not make a stranger's folder one's own."""
    edit(runs / "webp", lambda record: record.update(seal="0" * 64))

    assert merge([runs / "jpeg", runs / "left"], tmp_path / "own").record["seal"]
    assert not merge([runs / "jpeg", runs / "webp"], tmp_path / "both").record["seal"]


def test_an_image_of_other_pixels_is_refused(runs: Path, tmp_path: Path):
    """Also where cells would not meet."""
    spoil(runs / "webp", "UPDATE encodings SET pixels = 'x' || substr(pixels, 2)")

    assert "0.png of folder:" in refused(runs / "jpeg", runs / "webp", out=tmp_path / "both")


def test_one_picture_under_two_names_is_refused(runs: Path, tmp_path: Path):
    """It would count twice in every mean."""
    spoil(runs / "webp", "UPDATE cells SET image = 'new.png' WHERE image = '0.png'")

    text = refused(runs / "jpeg", runs / "webp", out=tmp_path / "both")

    assert "new.png" in text
    assert "would count twice" in text


def test_other_versions_of_a_codec_are_refused_or_left_out(runs: Path, tmp_path: Path):
    """A curve of two versions is none: the whole of it is the first folder's."""
    old = "UPDATE encodings SET version = 'libjpeg-turbo 2', key = 'k' || key"
    label = "UPDATE cells SET label = 'JPEG (libjpeg-turbo 2)', key = 'k' || key"
    spoil(runs / "right", old, label, "UPDATE scores SET key = 'k' || key")
    folders = runs / "left", runs / "right"

    assert "jpeg is JPEG" in refused(*folders, out=tmp_path / "both")
    found = merge(folders, tmp_path / "both", prefer_first=True)
    assert {"0.png", "1.png", "2.png"} == set(found.rows["image"])
    assert "left out in merging, the first folder's was kept: jpeg is" in found.remarks[1]


@pytest.mark.parametrize(
    ("statement", "said", "count"),
    [
        (
            "UPDATE encodings SET bitstream = 'f' || substr(bitstream, 2), bytes = 9",
            "other bytes",
            12,
        ),
        ("UPDATE scores SET value = value + 0.01", "has psnr", 12),
        ("UPDATE scores SET value = NULL, note = 'x'", "has psnr", 12),
        ("UPDATE cells SET error = 'crashed: x' WHERE image = '0.png'", "failed in", 4),
    ],
)
def test_contradicting_cells_are_refused_or_left_out(
    runs: Path, tmp_path: Path, statement: str, said: str, count: int
):
    """The first is named and all are counted; with --prefer-first nothing of the second stays."""
    spoil(runs / "left", statement)
    folders = runs / "jpeg", runs / "left"
    text = refused(*folders, out=tmp_path / "both")

    assert said in text
    assert f"and {count - 1} more conflicts" in text
    assert not (tmp_path / "both").exists()
    found = merge(folders, tmp_path / "both", prefer_first=True)
    assert load_results(runs / "jpeg").rows.equals(found.rows)
    assert count == len(found.record["left_out"])


def test_the_last_bits_of_a_score_are_no_contradiction(runs: Path, tmp_path: Path):
    """They depend on the processor."""
    spoil(runs / "left", "UPDATE scores SET value = value + 1e-7")

    assert 24 == len(merge([runs / "jpeg", runs / "left"], tmp_path / "both").rows)


def test_other_versions_of_a_metric_are_refused(runs: Path, tmp_path: Path):
    """One column cannot hold both."""
    edit(runs / "webp", lambda record: record["scores"]["psnr"].update(version="9"))
    spoil(runs / "webp", "UPDATE scores SET version = '9' WHERE metric = 'psnr'")

    assert "psnr was computed by version" in refused(
        runs / "jpeg", runs / "webp", out=tmp_path / "both", prefer_first=True
    )


def test_the_same_folder_elsewhere_is_the_same_dataset(runs: Path, tmp_path: Path):
    """Paths differ between machines; the pictures are the same ones under the same names."""

    def move(record: dict) -> None:
        record["datasets"] = {"folder:/elsewhere": next(iter(record["datasets"].values()))}

    edit(runs / "webp", move)
    spoil(runs / "webp", "UPDATE cells SET dataset = 'folder:/elsewhere'")

    found = merge([runs / "jpeg", runs / "webp"], tmp_path / "both")

    assert load_results(runs / "jpeg").datasets == found.datasets


def test_folders_are_checked(place: Path, tmp_path: Path):
    """Two distinct ones, with databases and finished runs; the target is none of them."""
    jpeg, copy = place / "jpeg", tmp_path / "copy"
    assert "two folders" in refused(jpeg, out=tmp_path / "out")
    assert "named twice" in refused(jpeg, place / "webp" / ".." / "jpeg", out=tmp_path / "out")
    assert "only read" in refused(jpeg, place / "webp", out=jpeg)
    shutil.copytree(jpeg, copy)
    with pytest.raises(OutputError, match="holds results that were not merged"):
        merge([jpeg, place / "webp"], copy)
    spoil(copy, "UPDATE runs SET finished = NULL")
    with pytest.raises(OutputError, match="holds no finished run"):
        merge([jpeg, copy], tmp_path / "out")


def test_a_file_that_is_lost_is_not_merged(runs: Path, tmp_path: Path):
    """A size without its file is no measurement; what was begun is no result, and can go on."""
    spoil(runs / "webp", "UPDATE bitstreams SET data = x'00' WHERE rowid = 1")
    with pytest.raises(OutputError, match="lost the file"):
        merge([runs / "jpeg", runs / "webp"], tmp_path / "both")
    with pytest.raises(OutputError):
        load_results(tmp_path / "both")
    shutil.copy(runs / "left" / "bench.sqlite", runs / "webp")

    assert 24 == len(merge([runs / "jpeg", runs / "webp"], tmp_path / "both").rows)


def test_nothing_is_measured_into_a_merged_folder(place: Path, tmp_path: Path):
    """The new plan would take the place of what was merged."""
    before: Results = merge([place / "left", place / "right"], tmp_path / "both")
    with pytest.raises(OutputError, match="holds merged or imported results"):
        measure([f"folder:{place / 'pictures'}"], ["jpeg"], ["psnr"], out=tmp_path / "both")

    assert before.rows.equals(load_results(tmp_path / "both").rows)
