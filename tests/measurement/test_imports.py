"""``bench import``: numbers and files of others, checked, marked, never taken for measured."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
from forkserver import Here

import bench as suite
from bench import image
from bench.errors import BenchError, UsageError
from bench.gate import baseline
from bench.image import Image
from bench.measurement.imports import import_results
from bench.measurement.merge import merge
from bench.measurement.results import Results, load_results
from bench.metrics import create
from bench.output import codec_compare, plots, reported_rates
from bench.output.write import write

QUALITIES = (10, 30, 60, 90)


measure = partial(suite.run, jobs=1, make_executor=Here)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, photo: Image) -> Path:
    """Two originals, and JPEG files with decoded pictures as JPEG AI lays them out."""
    from PIL import Image as PILImage

    folder = tmp_path_factory.mktemp("imports")
    for part in ("originals", "VM/bit", "VM/rec"):
        (folder / part).mkdir(parents=True)
    for number in (16, 17):
        crop = photo[9 * number : 9 * number + 40, :48]
        stem = f"{number:05d}_TE_48x40"
        image.save(crop, folder / "originals" / f"{stem}.png")
        for quality in QUALITIES:
            name = f"VM_{stem}_8bit_sRGB_{quality:03d}"
            bits = folder / "VM" / "bit" / f"{name}.bits"
            PILImage.fromarray(crop).save(bits, format="JPEG", quality=quality)
            with PILImage.open(bits) as opened:
                opened.save(folder / "VM" / "rec" / f"{name}.png")
    return folder


@pytest.fixture
def copy(place: Path, tmp_path: Path) -> Path:
    """A copy of them to spoil."""
    return Path(shutil.copytree(place, tmp_path / "copy"))


def imported(place: Path, out: Path, what: str = "VM", **options: object) -> Results:
    """Return what is imported of a folder or file beside the originals."""
    more = {"dataset": f"folder:{place / 'originals'}", "metrics": ["psnr"]} | options
    return import_results(place / what, out, **more)


def refused(place: Path, out: Path, what: str = "VM", **options: object) -> str:
    """Return the line of an import that is refused; nothing was written."""
    with pytest.raises(BenchError) as caught:
        imported(place, out, what, **options)
    assert not out.exists()
    return str(caught.value)


def test_files_and_pictures_are_measured_here(place: Path, tmp_path: Path):
    """Rates are those of the real files, scores ours, of the decoded picture and its original."""
    rows = imported(place, tmp_path / "out").rows.set_index(["image", "setting"])
    row = rows.loc["00016_TE_48x40.png", '{"point":30}']
    name = "VM_00016_TE_48x40_8bit_sRGB_030"
    size = (place / "VM" / "bit" / f"{name}.bits").stat().st_size
    pair = (place / "originals" / "00016_TE_48x40.png", place / "VM" / "rec" / f"{name}.png")

    assert 8 == len(rows)
    assert (size, 8 * size / (48 * 40)) == (row["bytes"], row["bpp"])
    assert create("psnr")(*map(image.load, pair)) == row["psnr_db"]
    assert ("imported/VM", "imported VM") == (row["codec"], row["label"])


def test_importing_twice_changes_nothing(place: Path, tmp_path: Path):
    """The second time nothing is scored, and all is as it was."""
    first = imported(place, tmp_path / "out")
    again = imported(place, tmp_path / "out")

    assert first.rows.equals(again.rows)
    assert first.record["datasets"] == again.record["datasets"]


def test_everything_says_imported(place: Path, tmp_path: Path, monkeypatch):
    """Rows, tables, plots and exports; tables do not say "Measured"."""
    monkeypatch.setattr(plots, "SCALES", ("log",))
    out = tmp_path / "out"
    results = imported(place, out)
    write(results)
    text = next((out / "tables").glob("*_rd.md")).read_text()
    drawing = next((out / "plots").glob("*_psnr_db_log.svg")).read_text()

    assert "imported/VM is imported, not measured here: from VM on " in text
    assert "sizes and scores measured here from its files" in text
    assert "| imported VM |" in text
    assert "Imported 2" in text
    assert "Measured" not in text
    assert "imported VM" in drawing
    for path in (
        out / "rows.csv",
        out / "summary.csv",
        *(out / "codec_compare").glob("[!b]*.json"),
    ):
        assert "imported/VM" in path.read_text()


def test_the_gate_refuses_them(place: Path, tmp_path: Path):
    """They are no baseline."""
    imported(place, tmp_path / "out")

    with pytest.raises(UsageError, match="holds imported results"):
        baseline.of_results(load_results(tmp_path / "out"))


def test_beside_measured_rows_they_stay_imported(place: Path, tmp_path: Path):
    """Merged with a run of ours: one comparison, and said wherever it is shown."""
    data = [f"folder:{place / 'originals'}"]
    measure(data, ["jpeg"], ["psnr"], points=4, out=tmp_path / "ours")
    imported(place, tmp_path / "theirs")
    both = merge([tmp_path / "ours", tmp_path / "theirs"], tmp_path / "both")

    assert {"jpeg", "imported/VM"} == set(both.rows["codec"])
    assert 1 == len(both.datasets)
    assert any(line.startswith("imported/VM is imported") for line in both.remarks)
    assert both.bd_rates("jpeg")["bd_rate_percent"].notna().any()
    with pytest.raises(BenchError, match="holds merged or imported results"):
        suite.run(data, ["jpeg"], ["psnr"], jobs=1, out=tmp_path / "theirs")


@pytest.mark.parametrize(
    ("file", "to", "said"),
    [
        ("originals/00017_TE_48x40.png", "", "is of no original"),
        ("VM/bit/VM_00017_TE_48x40_8bit_sRGB_030.bits", "", "has no compressed file of its name"),
        ("VM/rec/VM_00017_TE_48x40_8bit_sRGB_030.png", "", "has no decoded picture of its name"),
        (
            "VM/bit/VM_00017_TE_48x40_8bit_sRGB_030.bits",
            "VM/bit/VM_00017_TE_48x40_8bit_sRGB_030.bin",
            "both belong to one picture",
        ),
    ],
)
def test_a_folder_with_gaps_is_refused(copy: Path, tmp_path: Path, file: str, to: str, said: str):
    """An original, a file or a picture that is missing, a file that is there twice."""
    if to:
        shutil.copy(copy / file, copy / to)
    else:
        (copy / file).unlink()

    assert said in refused(copy, tmp_path / "out")


def test_a_picture_of_another_size_is_refused(copy: Path, tmp_path: Path, photo: Image):
    """Nothing is cut or scaled, and nothing imported."""
    image.save(photo[:32, :48], copy / "VM" / "rec" / "VM_00017_TE_48x40_8bit_sRGB_030.png")
    with pytest.raises(UsageError, match="has 48x32 pixels, its original"):
        imported(copy, tmp_path / "out")

    with pytest.raises(BenchError):
        load_results(tmp_path / "out")


def test_other_content_under_the_same_name_is_refused(copy: Path, tmp_path: Path):
    """What was imported before stays; under another name it is another curve."""
    before = imported(copy, tmp_path / "out")
    file = copy / "VM" / "bit" / "VM_00017_TE_48x40_8bit_sRGB_030.bits"
    file.write_bytes(file.read_bytes() + b"0")
    with pytest.raises(UsageError, match=r"was imported into .* with another size"):
        imported(copy, tmp_path / "out")

    assert before.rows.equals(load_results(tmp_path / "out").rows)
    more = imported(copy, tmp_path / "out", name="VM2")
    assert {"imported/VM", "imported/VM2"} == set(more.rows["codec"])


def table(folder: Path, *lines: str, head: str = "image,codec,quality,bytes,psnr") -> Path:
    """Write a CSV file beside the originals."""
    path = folder / "rows.csv"
    path.write_text("\n".join([head, *lines]) + "\n")
    return path


def test_a_table_of_rows(copy: Path, tmp_path: Path):
    """Names with and without suffix, any usual spelling, infinite and missing scores."""
    head = "filename;model;qp;encoded_size;PSNR (dB);MS-SSIM;comment"
    lines = ("00016_TE_48x40;net;30;960;inf;;x", "00017_TE_48x40.png;net;30;480;30.5;0.9;y")
    table(copy, *lines, head=head)
    found = imported(copy, tmp_path / "out", "rows.csv")

    assert [4.0, 2.0] == list(found.rows["bpp"])
    assert [math.inf, 30.5] == list(found.rows["psnr_db"])
    assert [True, False] == list(found.rows["ms_ssim"].isna())
    assert {'{"qp":30}'} == set(found.rows["setting"])
    assert "scores as given there, without comment" in found.remarks[0]


def test_a_rate_gives_the_size_where_that_is_missing(copy: Path, tmp_path: Path):
    """And it is said."""
    table(copy, "00016_TE_48x40,net,1,0.5,30", head="image,codec,quality,bpp,psnr")
    found = imported(copy, tmp_path / "out", "rows.csv")

    assert [120] == list(found.rows["bytes"])
    assert "sizes computed from rates" in found.remarks[0]
    assert ["(1 of 2)"] == [name[-8:] for name in found.datasets]


@pytest.mark.parametrize(
    ("lines", "head", "said"),
    [
        (("00018_TE,n,1,9,30",), "image,codec,quality,bytes,psnr", "has no such image here"),
        (("00016_TE_48x40,n,1,9,-3",), "image,codec,quality,bytes,psnr", "must lie in 0 to inf"),
        (("00016_TE_48x40,n,1,9,high",), "image,codec,quality,bytes,psnr", "must be a number"),
        (("00016_TE_48x40,n,1,0,30",), "image,codec,quality,bytes,psnr", "must be positive"),
        (("00016_TE_48x40,n,1,9.5,30",), "image,codec,quality,bytes,psnr", "a whole number"),
        (("00016_TE_48x40,n,1",), "image,codec,quality,bytes,psnr", "another number of columns"),
        (("00016_TE_48x40,,1,9,30",), "image,codec,quality,bytes,psnr", "which codec it is"),
        (("00016_TE_48x40,n,30",), "image,codec,psnr", "neither bytes nor bpp"),
        (("00016_TE_48x40,n,9,0.1",), "image,codec,bytes,lpips", "does not say which of"),
        (("00016_TE_48x40,n,9,9",), "image,codec,bytes,bytes", "the column 'bytes' twice"),
        (("00016_TE_48x40,n,9,0.9",), "image,codec,bytes,bpp", "are 0.0375 bpp, not 0.9"),
        (("00016_TE_48x40,n,9,48,41",), "image,codec,bytes,width,height", "not 48x41"),
        (("00016_TE_48x40,n,9",) * 2, "image,codec,bytes", "are the same cell"),
        (("00016_TE_48x40,n,9,1e15",), "image,codec,bytes,psnr", "out of range"),
        (('00016_TE_48x40,n,9,"{""q"": NaN}"',), "image,codec,bytes,setting", "plain values"),
        ((), "image,codec,bytes", "nothing to import"),
    ],
)
def test_a_table_that_cannot_be_is_refused(
    copy: Path, tmp_path: Path, lines: tuple[str, ...], head: str, said: str
):
    """In one line that names the place, and nothing is written."""
    table(copy, *lines, head=head)

    assert said in refused(copy, tmp_path / "out", "rows.csv")


def test_a_copy_of_an_original_counts_once(copy: Path, tmp_path: Path):
    """As in a run: a row of the second one is refused with the reason."""
    originals = copy / "originals"
    shutil.copy(originals / "00016_TE_48x40.png", originals / "00018_TE_48x40.png")
    table(copy, "00018_TE_48x40,n,1,9,30")

    assert "has the same pixels as 00016" in refused(copy, tmp_path / "out", "rows.csv")


def test_our_own_export_comes_back(place: Path, tmp_path: Path):
    """codec-compare's JSON: settings, sizes and scores are those that were exported."""
    data = [f"folder:{place / 'originals'}"]
    ours = measure(data, ["jpeg", "webp"], ["psnr"], points=2, out=tmp_path / "ours")
    codec_compare.write_all(ours.rows, tmp_path / "ours", provenance={})
    with pytest.raises(UsageError, match="Name your folder of them"):
        import_results(tmp_path / "ours" / "codec_compare", tmp_path / "theirs")
    found = import_results(
        tmp_path / "ours" / "codec_compare", tmp_path / "theirs", dataset=data[0]
    )
    kept = ["dataset", "image", "setting", "bytes", "bpp", "psnr_db"]

    assert {"imported/jpeg", "imported/webp"} == set(found.rows["codec"])
    assert ours.rows[kept].equals(found.rows[kept])
    assert merge([tmp_path / "ours", tmp_path / "theirs"], tmp_path / "both").rows["psnr_db"].all()


def written(path: Path, data: Mapping[str, object]) -> Path:
    """Write JSON."""
    path.write_text(json.dumps(data))
    return path


def test_compressai_of_single_images(copy: Path, tmp_path: Path):
    """What ``eval_model --per-image`` writes; its means belong to ``--reference``."""
    (copy / "nets").mkdir()
    for number, bpp in ((16, 0.5), (17, 0.7)):
        source = f"{number:05d}_TE_48x40"
        results = {"psnr-rgb": 30.0, "ms-ssim-rgb": 0.9, "bpp": bpp, "encoding_time": 1.0}
        data = {"source": source, "name": "mbt2018", "results": results}
        written(copy / "nets" / f"{source}-mbt2018-mse-3.json", data)
    found = imported(copy, tmp_path / "out", "nets")
    means = {"name": "mbt2018", "results": {"bpp": [0.5], "psnr-rgb": [30.0]}}
    written(copy / "means.json", means)

    assert {"imported/mbt2018"} == set(found.rows["codec"])
    assert {'{"net":"mbt2018-mse-3"}'} == set(found.rows["setting"])
    assert [30.0, 30.0] == list(found.rows["psnr_db"])
    assert "--reference" in refused(copy, tmp_path / "means", "means.json")


def test_a_published_curve_is_not_drawn_over_a_part(place: Path, tmp_path: Path):
    """Images that were not imported leave the dataset incomplete, and its name says so."""
    file = tmp_path / "rows.csv"
    file.write_text("image,codec,bytes,psnr\n00016_TE_48x40,n,90,30\n")
    found = import_results(file, tmp_path / "out", dataset=f"folder:{place / 'originals'}")

    assert found.datasets[0].endswith("(1 of 2)")
    more = tmp_path / "more.csv"
    more.write_text("image,codec,bytes,psnr\n00017_TE_48x40,n,90,30\n")
    whole = import_results(more, tmp_path / "out", dataset=f"folder:{place / 'originals'}")
    assert [f"folder:{place / 'originals'}"] == whole.datasets
    assert [] == reported_rates.undrawn(whole.rows, [])
