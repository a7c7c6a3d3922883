"""Runs that search: every codec at the same quality, once, with what it missed."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bench
from bench import image as images
from bench.analysis.at_targets import at_targets
from bench.errors import SettingError, UsageError
from bench.image import Image
from bench.measurement.experiment import load_experiment
from bench.measurement.plan import Plan, Wanted
from bench.measurement.results import Results, missed_targets, read_csv
from bench.measurement.rows import setting_of
from bench.measurement.run import Progress
from bench.output.write import write
from bench.rate_search import PerImage, Target


class Watch(Progress):
    """Counts what is measured."""

    def planned(self, plan: Plan) -> None:
        self.tasks = len(plan.tasks)


@pytest.fixture(scope="module")
def searched(photo: Image, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two small photographs, searched by two codecs for a quality in and one out of reach."""
    folder, out = (tmp_path_factory.mktemp(name) for name in ("pictures", "out"))
    images.save(photo[:96, :96], folder / "a.png")
    images.save(photo[120:216, 150:246], folder / "b.png")
    run(folder, out)
    return folder, out


def run(folder: Path, out: Path, *targets: Target | PerImage, **more: object) -> Results:
    """Return the results of a search with JPEG and WebP."""
    aims = targets or (Target("psnr", 33.0), Target("psnr", 90.0))
    where = {"out": out, "jobs": 1, "download": False}
    return bench.run(
        [f"folder:{folder}"], ["jpeg", "webp"], ["psnr"], targets=aims, **where, **more
    )


def test_rows_say_what_was_found_and_missed(searched: tuple[Path, Path]):
    """The setting of the target, the one that was found, the distance and the reason."""
    rows = bench.load_results(searched[1]).rows

    near = rows[rows["setting"].str.contains("psnr=33")]
    assert 4 == len(near)
    for row in near.to_dict("records"):
        assert row["psnr_db"] - 33 == pytest.approx(row["target_miss"])
        assert abs(row["target_miss"]) < 1
        assert "quality" in json.loads(row["found_setting"])
        assert "quality" not in json.loads(row["setting"])
        rates = sorted([row["bpp"], row["target_bpp"]])
        assert 1 <= rates[1] / rates[0] < 1.1
    far = rows[rows["setting"].str.contains("psnr=90")]
    assert [True] * 4 == [
        text.startswith("out of reach: quality 100 ") for text in far["target_note"]
    ]
    assert far["target_bpp"].isna().all()
    (line,) = missed_targets(rows)
    assert "jpeg at psnr=90 on 2 of 2 images" in line
    assert "psnr=33" not in line


def test_a_second_run_searches_nothing(searched: tuple[Path, Path], tmp_path: Path):
    """Nor does one with a metric more, which is computed from the stored files."""
    watch = Watch()
    again = run(*searched, progress=watch)

    assert 0 == watch.tasks
    assert [] == list(again.rows.loc[again.rows["error"] != "", "error"])


def test_the_experiment_that_repeats_it_searches_too(searched: tuple[Path, Path]):
    """A run of the file finds everything stored; typed values take the place of its targets."""
    found = load_experiment(searched[1] / "experiment.toml")
    watch = Watch()
    bench.run(**found.arguments() | {"out": searched[1]}, jobs=1, download=False, progress=watch)

    assert ("psnr=33", "psnr=90") == found.targets
    assert 0 == watch.tasks
    typed = found.overridden(quality=[50])
    assert ((), [50]) == (typed.targets, typed.quality)
    assert None is found.overridden(targets=["psnr=30"]).points


def test_tables_and_files(searched: tuple[Path, Path]):
    """``rows.csv`` has the columns of searches; ``targets.csv`` the bits at equal quality."""
    _, out = searched
    results = bench.load_results(out)
    write(results, plots=False)

    rows, found = read_csv(out / "rows.csv"), read_csv(out / "targets.csv")
    assert {"found_setting", "target_miss", "target_bpp", "target_note"} <= set(rows.columns)
    assert ["webp", "jpeg"] == list(found["codec"][:2])
    assert found["bpp"][2:].isna().all()
    assert "psnr=33" in next((out / "tables").glob("*_targets.md")).read_text()


def test_a_target_of_another_codec(searched: tuple[Path, Path], tmp_path: Path):
    """WebP at what JPEG has at quality 50 on each image; JPEG itself is measured there."""
    folder, _ = searched
    name = str(bench.load_results(searched[1]).datasets[0])
    first = bench.run(
        [f"folder:{folder}"], ["jpeg:quality=50"], ["psnr"], out=tmp_path, jobs=1, download=False
    ).rows
    values = {(name, row["image"]): row["psnr_db"] for row in first.to_dict("records")}
    aim = PerImage("psnr", "psnr of jpeg", values)
    where = {"out": tmp_path, "jobs": 1, "download": False}
    codecs = ["webp", Wanted("jpeg", (50,))]
    rows = bench.run([f"folder:{folder}"], codecs, ["psnr"], targets=[aim], **where).rows
    found = at_targets(rows, "jpeg")

    webp = rows[rows["codec"] == "webp"]
    for row in webp.to_dict("records"):
        assert row["psnr_db"] - row["target_miss"] == pytest.approx(values[name, row["image"]])
    assert {"jpeg", "webp"} == set(found["codec"])
    assert {"psnr of jpeg"} == set(found["target"])


def test_a_codec_without_a_rate_is_refused(searched: tuple[Path, Path], tmp_path: Path):
    """Before anything is measured."""
    with pytest.raises(SettingError, match="codec null has no bounded rate parameter"):
        bench.run(
            [f"folder:{searched[0]}"], ["null"], ["psnr"], targets=[Target("psnr", 30.0)], jobs=1
        )


def test_targets_beside_given_settings_are_refused(searched: tuple[Path, Path]):
    """They would be ignored."""
    with pytest.raises(UsageError, match="targets are for codecs by name"):
        bench.run(
            [f"folder:{searched[0]}"],
            {"jpeg": [bench.Setting(quality=50)]},
            targets=[Target("psnr", 30.0)],
        )


def test_a_file_is_made_again_at_the_setting_that_was_found():
    """The page encodes again where files are not stored; the target is no setting of a codec."""
    row = {"setting": '{"target":"psnr=30"}', "found_setting": '{"quality":7}'}

    assert bench.Setting(quality=7) == setting_of(row)
    assert bench.Setting(quality=8) == setting_of({"setting": '{"quality":8}'})


def frame(*lines: tuple[str, str, str, float, float]) -> pd.DataFrame:
    """Return rows of (codec, image, target, bpp, exact bpp)."""
    return pd.DataFrame(
        [
            {
                "dataset": "d",
                "image": image,
                "codec": codec,
                "label": codec,
                "error": "",
                "setting": json.dumps({"target": aim} if aim else {"quality": 80}),
                "found_setting": json.dumps({"quality": 7}) if aim else "",
                "bpp": bpp,
                "target_bpp": exact,
                "target_miss": 0.1,
                "target_note": "",
                "width": 8.0,
                "height": 8.0,
            }
            for codec, image, aim, bpp, exact in lines
        ]
    )


def test_bits_are_compared_on_images_that_all_codecs_reach():
    """At the very target, in the logarithm by image, and of all bytes together."""
    rows = frame(
        *(("a", image, "t", 9.0, exact) for image, exact in zip("wxyz", (1, 2, 4, 8), strict=True)),
        ("b", "w", "t", 9.0, 0.5),
        ("b", "x", "t", 9.0, 2.0),
        ("b", "y", "t", 9.0, math.nan),
        *(("never", image, "t", 9.0, math.nan) for image in "wxyz"),
        *(("fixed", image, "", 4.0, math.nan) for image in "wxyz"),
    )
    found = at_targets(rows, "a").set_index("codec")

    assert ["b", "a", "fixed", "never"] == list(found.index)
    assert [2, 2, 2, 0] == list(found["images"])
    assert {4} == set(found["of"])
    np.testing.assert_allclose([1.25, 1.5, 4.0, np.nan], found["bpp"])
    assert 100 * (math.sqrt(0.5) - 1) == pytest.approx(found.loc["b", "percent"])
    assert 100 * (2.5 / 3 - 1) == pytest.approx(found.loc["b", "bytes_percent"])
    assert ["quality 7", "quality 7"] == list(found["setting"][:2])
    assert at_targets(rows.drop(columns="target_bpp")).empty


def test_files_of_one_rate_are_not_out_of_reach():
    """A rate as a target has no bits at equal quality, and nothing says that it was missed."""
    rows = frame(*(("a", image, "bpp=1", 1.0, math.nan) for image in "wx"))
    both = frame(*(("a", image, "psnr=30", 1.0, 1.0) for image in "wx"))

    assert at_targets(rows).empty
    assert {"psnr=30"} == set(at_targets(pd.concat([rows, both]))["target"])


def test_a_codec_that_was_also_measured_at_settings_counts_as_searched():
    """And one that was measured at several settings alone has no place among equals."""
    rows = frame(
        *(("a", image, "t", 9.0, 2.0) for image in "wx"),
        *(("a", image, "", 9.0, math.nan) for image in "wx"),
        *(("b", image, "", 3.0, math.nan) for image in "wx"),
    )
    more = rows[rows["codec"] == "b"].assign(setting='{"quality":90}', bpp=5.0)
    found = at_targets(pd.concat([rows, more]))

    assert [("a", 2.0)] == list(zip(found["codec"], found["bpp"], strict=True))
