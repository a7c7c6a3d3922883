"""CSV, Markdown and LaTeX of a run."""

from __future__ import annotations

import importlib
import math
import os
import re
from pathlib import Path

import pandas as pd
import pytest

from bench import files
from bench.analysis import summary
from bench.errors import OutputError
from bench.measurement.results import read_csv
from bench.metrics.columns import column
from bench.output import csv_files, tables
from bench.output.table_formats import escape_markdown, number

PROVENANCE = {
    "date": "2026-01-31",
    "cpu": "Test CPU @ 2.0GHz",
    "cores": 2,
    "commit": "abc123",
    "versions": {"bench": "0.1.0", "pillow": "12.0"},
}
NUMBERS = ["bytes", "bpp", "psnr_db", "ms_ssim", "lpips_alex", "encode_s", "decode_s"]


def curve(codec: str, label: str, gain: float, images: tuple[str, ...] = ("a", "b")) -> list[dict]:
    """Five points of one codec; the numbers are short so that tables can be read."""
    return [
        {
            "dataset": "sample",
            "image": f"{image}.png",
            "codec": codec,
            "label": label,
            "setting": f'{{"quality":{quality},"subsampling":"4:2:0"}}',
            "bytes": 1000 * quality,
            "bpp": 0.02 * quality * (1 + 0.1 * number_of),
            "psnr_db": 26 + 5 * math.log2(quality / 5) + gain + number_of,
            "ms_ssim": 1 - 0.1 * 5 / quality,
            "lpips_alex": 0.5 * 5 / quality,
            "encode_s": 0.125,
            "decode_s": 1 / 3,
            "bitstream_sha256": "cd" * 32,
            "error": "",
        }
        for number_of, image in enumerate(images)
        for quality in (5, 10, 20, 40, 80)
    ]


@pytest.fixture
def rows() -> pd.DataFrame:
    """Two codecs over two images, one of them failing on a third."""
    good = curve("jpeg", "jpeg 4:2:0 8-bit (libjpeg-turbo 3.2.0)", 0.0)
    better = curve("webp", "webp 4:2:0 8-bit (libwebp 1.6.0)", 1.0)
    more = curve("jpeg", "jpeg 4:2:0 8-bit (libjpeg-turbo 3.2.0)", 0.0, ("a", "b", "c"))[10:]
    lost = [
        row | dict.fromkeys(NUMBERS, math.nan) | {"error": "100% of_it | failed", "image": "c.png"}
        for row in better[:5]
    ]
    return pd.DataFrame(good + better + more + lost)


@pytest.fixture
def written(rows: pd.DataFrame, tmp_path: Path) -> Path:
    """The folder after ``write_all``."""
    ceilings = pd.DataFrame(
        {
            "codec": ["jpeg", "null"],
            "label": ["jpeg 4:2:0 8-bit (libjpeg-turbo 3.2.0)", "null (raw 1)"],
            "ceiling_psnr_db": [40.123, math.inf],
        }
    )
    tables.write_all(
        rows,
        tmp_path,
        provenance=PROVENANCE | {"remarks": ["sample: 1 file is a copy"]},
        ceilings=ceilings,
        unavailable=[("jxl", "pip install pillow-jxl-plugin")],
        mark=", UNFINISHED",
    )
    return tmp_path


def test_every_promised_file_is_there_and_no_temporary_one(written: Path):
    """The CSV files, and four tables in two languages."""
    kinds = ("rd", "bd_rate", "ceilings", "failures")
    expected = {f"tables/sample_{kind}.{suffix}" for kind in kinds for suffix in ("md", "tex")}
    expected |= {"rows.csv", "summary.csv", "bd_rate.csv"}
    files = {p.relative_to(written).as_posix() for p in written.rglob("*") if p.is_file()}

    assert expected == {name for name in files if not name.endswith(".parquet")}


def test_rd_table_reads_as_expected(written: Path):
    """Golden: caption with count, aligned columns, units, arrows, definitions, machine, date."""
    expected = """\
**sample, UNFINISHED: rate and quality, means over 2 of 3 images**

| Codec | Setting    | bpp ↓ | PSNR-RGB (dB) ↑ | MS-SSIM ↑ |
| ----- | ---------- | ----: | --------------: | --------: |
| jpeg  | quality 5  | 0.105 |           26.50 |    0.9000 |
|       | quality 10 | 0.210 |           31.50 |    0.9500 |
"""
    text = (written / "tables" / "sample_rd.md").read_text()
    first = [line.split(" MS-SSIM (dB)")[0].rstrip() for line in text.splitlines()[:6]]
    kept = [line if "|" not in line else "|".join(line.split("|")[:6]) + "|" for line in first]

    assert expected.splitlines() == kept
    assert "- sample: 1 file is a copy.\n" in text
    assert f"- PSNR-RGB (dB): {escape_markdown(column('psnr_db').definition)}\n" in text
    assert "- LPIPS (alex): " in text
    assert (
        "- Left out of every mean: c.png (webp, up to 5 settings: 100% of_it \\| failed).\n" in text
    )
    assert "- At every point of jpeg: subsampling 4:2:0; webp: subsampling 4:2:0.\n" in text
    assert text.endswith(
        "- All of them: 4:2:0 8-bit.\n"
        "- Encoders: jpeg: libjpeg-turbo 3.2.0; webp: libwebp 1.6.0.\n"
        "- Measured 2026-01-31 on Test CPU @ 2.0GHz, 2 cores at commit abc123"
        " (bench 0.1.0, pillow 12.0).\n"
    )


def test_markdown_columns_are_aligned(written: Path):
    """Every line of a table has its bars in the same places."""
    for path in (written / "tables").glob("*.md"):
        for block in path.read_text().split("\n\n"):
            lines = [line for line in block.splitlines() if line.startswith("|")]
            bars = {tuple(m.start() for m in re.finditer(r"(?<!\\)\|", line)) for line in lines}
            assert len(bars) <= 1, path


def test_bd_table_ranks_and_marks_the_best(written: Path):
    """Best first and bold, the anchor among them, the interval and the other methods beside."""
    text = (written / "tables" / "sample_bd_rate.md").read_text()

    psnr = [line for line in text.splitlines() if "webp" in line or "jpeg" in line][1:3]
    assert "BD-rate against jpeg, 2 of 3 images" in text.splitlines()[0]
    assert re.search(r"PSNR-RGB \(dB\) \| webp .*\| +\*\*\u2212\d+\.\d\*\* \|", psnr[0])
    assert psnr[1].rstrip(" |").endswith("anchor")
    bd = read_csv(written / "bd_rate.csv")
    line = bd[(bd["metric"] == "psnr_db") & (bd["method"] == "pchip")].iloc[0]
    assert f"**{number(line['bd_rate_percent'], 1, sign=True)}**" in psnr[0]


def test_failures_and_unavailable_codecs_are_told(written: Path):
    """What failed, which image that cost, and which codec could not run, with the reasons."""
    text = (written / "tables" / "sample_failures.md").read_text()

    assert "| webp  | 5 of 15 | c.png  | 100% of_it \\| failed |" in text
    assert "| c.png | webp  |        5 | 100% of_it \\| failed |" in text
    assert "| jxl   | pip install pillow-jxl-plugin |" in text


def test_ceilings_are_tabled_with_infinity(written: Path):
    """A lossless conversion has an infinite ceiling, shown as such and in bold."""
    text = (written / "tables" / "sample_ceilings.md").read_text()

    assert "40.12 |" in text
    assert "**∞** |" in text


def test_latex_is_escaped_and_complete(written: Path):
    """Every float has a table with booktabs rules and as many cells a row as columns."""
    for path in (written / "tables").glob("*.tex"):
        text = path.read_text()
        floats = re.findall(r"\\begin\{(table\*?)\}(.*?)\\end\{\1\}", text, flags=re.DOTALL)
        assert len(floats) == text.count("\\begin{table") == text.count("\\toprule")
        assert text.count("\\toprule") == text.count("\\bottomrule") == text.count("\\midrule")
        body = re.sub(r"^%.*$|\\label\{[^}]*\}", "", text, flags=re.MULTILINE)
        assert not re.search(r"(?<!\\)[%#_]", body), path
        for _, content in floats:
            columns = re.search(r"\\begin\{tabular\}\{(.*)\}", content)
            assert columns
            count = len(re.sub(r">\{[^}]*\}|\{[^}]*\}", "", columns[1]))
            rows = [line for line in content.splitlines() if line.endswith(r"\\")]
            assert {count - 1} == {len(re.findall(r"(?<!\\)&", line)) for line in rows}
    assert (
        r"100\% of\_it \textbar{} failed"
        in (written / "tables" / "sample_failures.tex").read_text()
    )


def test_csv_round_trip_with_infinity(rows: pd.DataFrame, tmp_path: Path):
    """Every float comes back equal, inf as inf, NaN as NaN, texts as they were."""
    rows.loc[0, "psnr_db"] = math.inf
    rows.loc[1, "ms_ssim"] = math.nan
    rows.loc[2, "bpp"] = 0.1 + 0.2
    rows.loc[0, "image"] = "0001"
    tables.write_all(rows, tmp_path, provenance={})

    text = (tmp_path / "rows.csv").read_text()
    back = read_csv(tmp_path / "rows.csv")

    assert (
        "dataset,image,codec,label,setting,bytes,bpp,psnr_db,ms_ssim,lpips_alex,"
        "encode_s,decode_s,bitstream_sha256,error"
    ) == text.splitlines()[0]
    assert ",inf," in text
    assert "0.30000000000000004" in text
    expected = summary.sort_rows(csv_files.tidy_rows(rows)).astype({"bytes": float})
    pd.testing.assert_frame_equal(expected, back, check_exact=True, check_dtype=False)
    means = read_csv(tmp_path / "summary.csv")
    pd.testing.assert_frame_equal(
        summary.summarise(rows), means, check_exact=True, check_dtype=False
    )
    again = read_csv(tmp_path / "bd_rate.csv")
    assert [
        *("dataset", "anchor", "codec", "metric", "method", "bd_rate_percent"),
        *("overlap_percent", "ci_low", "ci_high", "note"),
    ] == list(again.columns)


def test_files_do_not_depend_on_the_order_of_rows(rows: pd.DataFrame, tmp_path: Path):
    """A pool that finishes cells in another order leaves the same bytes."""
    one, two = tmp_path / "one", tmp_path / "two"
    paths = tables.write_all(rows, one, provenance=PROVENANCE)
    tables.write_all(rows.sample(frac=1, random_state=3), two, provenance=PROVENANCE)

    for path in paths:
        assert path.read_bytes() == (two / path.relative_to(one)).read_bytes(), path.name


def test_missing_metrics_leave_empty_columns(rows: pd.DataFrame, tmp_path: Path):
    """A run with PSNR alone still has the columns of the CSV, and tables without them."""
    bare = rows.drop(columns=["ms_ssim", "lpips_alex"])
    tables.write_all(bare, tmp_path, provenance={})

    assert "psnr_db,ms_ssim,encode_s" in (tmp_path / "rows.csv").read_text().splitlines()[0]
    assert "psnr_db,ms_ssim,ms_ssim_db" in (tmp_path / "summary.csv").read_text()
    head = (tmp_path / "tables" / "sample_rd.md").read_text().splitlines()[2]
    assert "PSNR-RGB" in head
    assert "MS-SSIM" not in head


def test_one_codec_and_one_point_are_tabled(rows: pd.DataFrame, tmp_path: Path):
    """Nothing to compare with is no error: the BD table has no lines."""
    tables.write_all(rows[rows["codec"] == "jpeg"].iloc[:1], tmp_path, provenance={})

    assert "quality 5, subsampling 4:2:0" in (tmp_path / "tables" / "sample_rd.md").read_text()
    assert "|" not in (tmp_path / "tables" / "sample_bd_rate.md").read_text()


def test_nobody_is_best_where_nothing_is_computable(rows: pd.DataFrame, tmp_path: Path):
    """One point a curve has no BD-rate: the anchor is not bold for being alone with a number."""
    first = rows[rows["setting"].isin(rows.groupby("codec")["setting"].first())]
    tables.write_all(first, tmp_path, provenance={})
    text = (tmp_path / "tables" / "sample_bd_rate.md").read_text()

    assert "not computable: pchip needs at least 4 points" in text
    assert re.search(r"anchor +\|", text)
    assert "| **" not in text


def test_only_failures_are_tabled(rows: pd.DataFrame, tmp_path: Path):
    """A run in which nothing succeeded still says what happened."""
    tables.write_all(rows[rows["error"] != ""], tmp_path, provenance={})

    assert "5 of 5" in (tmp_path / "tables" / "sample_failures.md").read_text()
    assert "means over 0 of 1 image" in (tmp_path / "tables" / "sample_rd.md").read_text()
    head = (tmp_path / "tables" / "sample_bd_rate.md").read_text().splitlines()[0]
    assert "**sample: BD-rate, 0 of 1 image**" == head


def test_parquet_holds_the_same(rows: pd.DataFrame, tmp_path: Path):
    """Where pyarrow works, Parquet files lie beside the CSV files, infinite values included."""
    pytest.importorskip("pyarrow", exc_type=ImportError)
    rows.loc[0, "psnr_db"] = math.inf
    tables.write_all(rows, tmp_path, provenance={})

    back = pd.read_parquet(tmp_path / "rows.parquet")

    expected = summary.sort_rows(csv_files.tidy_rows(rows))
    assert expected["psnr_db"].tolist() == pytest.approx(back["psnr_db"].tolist(), nan_ok=True)


def test_without_pyarrow_there_is_csv_alone(
    rows: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Parquet is optional: its library may be absent or broken."""
    real = importlib.import_module

    def broken(name: str) -> object:  # pandas may hold its texts in the real one
        if name == "pyarrow":
            raise ImportError(name)
        return real(name)

    monkeypatch.setattr(importlib, "import_module", broken)

    written = tables.write_all(rows, tmp_path, provenance={})

    assert {".csv", ".md", ".tex"} == {path.suffix for path in written}


def test_names_of_datasets_are_safe_and_distinct():
    """Any dataset gives a plain file name, and no two the same."""
    stems = files.file_stems(["kodak", "folder:/my photos", "folder:my photos", "..", "Ü"])

    assert ["kodak", "folder_my_photos", "folder_my_photos-2", "dataset", "dataset-2"] == list(
        stems.values()
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_one_clear_error(rows: pd.DataFrame, tmp_path: Path):
    """The message names the path and what to do."""
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="cannot"):
            tables.write_all(rows, tmp_path / "out", provenance={})
    finally:
        tmp_path.chmod(0o700)


def test_an_output_folder_that_is_a_file_is_one_clear_error(rows: pd.DataFrame, tmp_path: Path):
    """So does a file in the place of the folder."""
    (tmp_path / "out").write_text("a file")

    with pytest.raises(OutputError, match="cannot make the folder"):
        tables.write_all(rows, tmp_path / "out", provenance={})


def test_a_table_that_is_none_is_one_clear_error(tmp_path: Path):
    """Reading something else than our CSV says so."""
    (tmp_path / "rows.csv").write_text("dataset,bpp\nkodak,many\n")

    with pytest.raises(OutputError, match=r"cannot read .* as a table"):
        read_csv(tmp_path / "rows.csv")
