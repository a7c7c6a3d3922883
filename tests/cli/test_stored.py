"""``bench report``, ``tables`` and ``plots`` of stored results: mistakes first, no slow encoder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from forkserver import Here

import bench as suite
from bench import image
from bench.measurement.results import load_results
from bench.measurement.rows import records
from bench.output import plots
from bench.output.write import write
from bench.report import image_viewer
from bench.report import results as report_results
from bench.report.results import Bitstreams, NotStored, slow_codecs


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, photo) -> Path:
    """Results of two codecs on a picture, without a database as committed results are."""
    folder = tmp_path_factory.mktemp("stored")
    image.save(photo[:40, :48], folder / "a.png")

    found = suite.run(
        [f"folder:{folder}"],
        ["jpeg", "webp"],
        ["psnr"],
        points=4,
        jobs=1,
        out=folder / "out",
        make_executor=Here,
    )
    write(found, plots=False)
    (folder / "out" / "bench.sqlite").unlink()
    return folder / "out"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--html", "absent/page.html"], "cannot write absent/page.html"),
        (["--html", "."], "it is a folder"),
        (["--anchor", "nosuch"], "no result of the anchor 'nosuch'"),
        (["--image", "b.png"], "Did you mean a.png?"),
        (["--reference", "absent.json"], "absent.json"),
        (["--rates", "0.3,x"], "--rates wants"),
        (["--data-dir", "absent"], "--data-dir: there is no folder absent"),
        (["--pictures", "folder:absent"], "--pictures: there is no folder absent"),
    ],
)
def test_a_mistake_is_told_before_the_page_is_made(
    bench, stored: Path, tmp_path: Path, monkeypatch, words: list[str], said: str
):
    """Nothing is decoded or encoded for a page that cannot be as it was asked for."""
    monkeypatch.chdir(tmp_path)
    for module, name in ((image_viewer, "decode_checked"), (report_results, "codec_of")):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("work was done"))

    assert said in bench("report", "-o", stored, *words).line


def test_tables_and_plots_need_no_database(bench, stored: Path, tmp_path: Path, monkeypatch):
    """They are made again from rows.csv and run.json, the tables as they were."""
    folder = Path(shutil.copytree(stored, tmp_path / "copy"))
    before = {p.name: p.read_bytes() for p in folder.rglob("*.md")} | {
        p.name: p.read_bytes() for p in folder.glob("*.csv")
    }
    for path in [*folder.rglob("*.md"), folder / "summary.csv", folder / "bd_rate.csv"]:
        path.unlink()

    assert 0 == bench("tables", "-o", folder).code
    assert before == {name: next(folder.rglob(name)).read_bytes() for name in before}
    monkeypatch.setattr(plots, "write_all", lambda *_, **__: [])
    assert 0 == bench("plots", "-o", folder).code


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tables", "--anchor", "nosuch"], "no result of the anchor 'nosuch'"),
        (["plots", "--reference", "absent.json"], "absent.json"),
    ],
)
def test_stored_results_are_left_as_they_are(bench, stored: Path, words: list[str], said: str):
    """A mistake writes nothing."""
    before = {p: p.stat().st_mtime_ns for p in stored.rglob("*")}

    assert said in bench(*words, "-o", stored).line
    assert before == {p: p.stat().st_mtime_ns for p in stored.rglob("*")}


def test_a_slow_codec_is_not_encoded_again_unasked(stored: Path, monkeypatch):
    """By the times of the rows: more than a minute, or unknown; the reason names the option."""
    results = load_results(stored)
    rows = results.rows
    rows.loc[rows["codec"] == "webp", "encode_s"] = 20.0
    images = {name: ["a.png"] for name in results.datasets}
    slow = slow_codecs(rows, images)

    assert ["webp"] == list(slow)
    assert "encoding 4 of them again takes about 1 min; --encode-again does it" in slow["webp"]
    assert {} == slow_codecs(rows, dict.fromkeys(results.datasets, ()))
    rows["encode_s"] = float("nan")
    assert "unknown time" in slow_codecs(rows, images)["jpeg"]
    streams = Bitstreams(results, results.original, slow)
    monkeypatch.setattr(report_results, "codec_of", lambda _: pytest.fail("a codec was made"))
    with pytest.raises(NotStored, match="--encode-again"):
        streams.get(next(row for row in records(rows) if row["codec"] == "webp"))
