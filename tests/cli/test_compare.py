"""``bench compare``: what changed from one run to another, and nothing that did not."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from bench.analysis.run_changes import ADDED, CHANGED, REMOVED, SAME, Changes, changes
from bench.measurement.results import read_csv

KODAK = Path(__file__).resolve().parents[2] / "results" / "kodak"


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """JPEG at all its settings on six images of Kodak, two settings of WebP."""
    found = read_csv(KODAK / "rows.csv")
    found = found[found["image"].isin([f"kodim{n:02d}" for n in range(1, 7)])]
    jpeg, webp = found[found["codec"] == "jpeg"], found[found["codec"] == "webp"]
    few = webp[webp["setting"].isin(sorted(set(webp["setting"]))[:2])]
    return pd.concat([jpeg, few], ignore_index=True)


def compared(first: pd.DataFrame, second: pd.DataFrame, **records: dict[str, object]) -> Changes:
    """Return what changed, of runs with no record unless one is given."""
    return changes(first, second, records.get("one", {}), records.get("two", {}))


def test_equal_runs_have_no_change(rows: pd.DataFrame):
    """Whatever order their rows came in, and however long they took."""
    other = rows.sample(frac=1, random_state=1).assign(encode_s=9.0)
    found = compared(rows, other)

    assert not found.any
    assert {SAME} == set(found.cells["state"])
    assert (0, len(rows)) == (len(found.rates), len(found.cells))


def test_a_rate_change_has_its_bd_rate_and_interval(rows: pd.DataFrame):
    """Every JPEG file 2 % larger: +2 %, of JPEG alone, with an interval over the six images."""
    second = rows.copy()
    jpeg = second["codec"] == "jpeg"
    second.loc[jpeg, ["bytes", "bpp"]] *= 1.02
    found = compared(rows, second)
    rate = found.rates[found.rates["metric"] == "psnr_db"].iloc[0]

    assert {"jpeg"} == set(found.rates["codec"])
    assert 2.0 == pytest.approx(rate["bd_rate_percent"])
    assert (2.0, 2.0) == pytest.approx((rate["ci_low"], rate["ci_high"]))
    by_codec = found.codecs.set_index("codec")
    assert 2.0 == pytest.approx(by_codec.loc["jpeg", "bpp_percent"])
    assert [0.0, 0] == list(by_codec.loc["webp", ["bpp_percent", "changed"]])


Change = Callable[[pd.DataFrame], pd.DataFrame]


def _at(column: str, value: object) -> Change:
    """Return a change of the first row."""

    def change(rows: pd.DataFrame) -> pd.DataFrame:
        changed = rows.copy()
        before = changed[column].iloc[0]
        changed.loc[changed.index[0], column] = value(before) if callable(value) else value
        return changed

    return change


@pytest.mark.parametrize(
    ("change", "state", "why"),
    [
        (_at("psnr_db", lambda db: db + 0.0009), SAME, ""),
        (_at("psnr_db", lambda db: db + 0.0011), CHANGED, "PSNR-RGB"),
        (_at("psnr_db", math.nan), CHANGED, "PSNR-RGB"),
        (_at("psnr_db", math.inf), CHANGED, "PSNR-RGB"),
        (_at("bytes", lambda size: size + 1), CHANGED, "size"),
        (_at("bitstream_sha256", "0" * 64), CHANGED, "bytes, at the same size"),
        (_at("error", "crashed: oops"), CHANGED, "now fails"),
        (_at("image", "kodim99"), ADDED, ""),
        (lambda rows: rows.iloc[1:], REMOVED, ""),
    ],
)
def test_each_kind_of_change_of_a_cell(rows: pd.DataFrame, change: Change, state: str, why: str):
    """Each is found, and said in words; a score's last digits are none."""
    found = compared(rows, change(rows))
    changed = found.cells[found.cells["state"] == state]

    assert (state != SAME) == found.any
    assert why in changed["why"].iloc[0]


def test_other_pixels_of_an_image_are_said_and_left_out_of_rates(rows: pd.DataFrame):
    """Equal files of other pictures are no equal results."""
    one = {"datasets": {"kodak": {"images": {"kodim01": "a" * 64, "kodim02": "b" * 64}}}}
    two = {"datasets": {"kodak": {"images": {"kodim01": "c" * 64, "kodim02": "b" * 64}}}}
    found = compared(rows, rows, one=one, two=two)

    assert ("kodak: kodim01 holds other pixels in the second run",) == found.remarks
    assert {"kodim01"} == set(found.cells.loc[found.cells["state"] == CHANGED, "image"])
    assert {5} == set(found.rates["images"])


def test_a_part_is_compared_with_the_whole(rows: pd.DataFrame):
    """``kodak (6 of 24)`` and ``kodak`` are one dataset."""
    assert not compared(rows, rows.assign(dataset="kodak (6 of 24)")).any


def test_metrics_of_one_run_and_other_versions_of_one_are_said(rows: pd.DataFrame):
    """What cannot be compared is a difference."""
    one, two = ({"scores": {"psnr": {"column": "psnr_db", "version": v}}} for v in "12")
    found = compared(rows, rows.drop(columns="ms_ssim"), one=one, two=two)

    assert (
        "only the first run has MS-SSIM",
        "psnr was computed by version 1 and by 2",
    ) == found.remarks


def test_versions_alone_are_no_change(rows: pd.DataFrame):
    """They are listed; the same files and scores are the same results."""
    two = rows.assign(label=rows["label"].str.replace("libjpeg-turbo 3", "libjpeg-turbo 4"))
    found = compared(rows, two, one={"versions": {"numpy": "1"}}, two={"versions": {"numpy": "2"}})

    assert not found.any
    assert {"numpy", "codec jpeg"} == set(found.versions)


@pytest.fixture
def folders(rows: pd.DataFrame, tmp_path: Path) -> tuple[Path, Path]:
    """Two folders of results: in the second, one file is a byte larger."""
    for name, found in (("a", rows), ("b", _at("bytes", lambda size: size + 1)(rows))):
        (tmp_path / name).mkdir()
        found.to_csv(tmp_path / name / "rows.csv", index=False)
        shutil.copy(KODAK / "run.json", tmp_path / name)
    return tmp_path / "a", tmp_path / "b"


def test_exit_codes_are_those_of_diff(bench, folders: tuple[Path, Path], tmp_path: Path):
    """0: equal, 1: different, 2: not comparable, in one line."""
    a, b = folders
    same, other = bench("compare", a, a), bench("compare", a, b)

    assert (0, "nothing changed: 60 cells equal") == (same.code, same.stdout.splitlines()[0])
    assert (1, "1 of 60 cells differ") == (other.code, other.stdout.splitlines()[0])
    assert "holds no results" in bench("compare", a, tmp_path / "absent").line


def test_the_document_and_the_page_have_every_cell(bench, folders, tmp_path: Path):
    """For programs all cells that differ; for people an offline page without scripts."""
    page = tmp_path / "changes.html"
    done = bench("compare", *folders, "--json", "--html", page)
    told = json.loads(done.stdout)

    assert (1, True, 1) == (done.code, told["changed"], len(told["cells"]))
    assert "size" == told["cells"][0]["why"]
    text = page.read_text()
    assert "1 of 60 cells differ" in text
    assert "<script" not in text
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org", "")
