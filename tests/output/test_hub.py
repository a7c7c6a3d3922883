"""``bench export``: a card that the hub's form accepts, tables that are the results, no paths."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml

from bench.errors import OutputError, UsageError
from bench.measurement.results import Results
from bench.output import hub

pytest.importorskip("pyarrow", reason="Parquet files need pyarrow", exc_type=ImportError)
SECRET = "/home/somebody/secret place"


def results(folder: str = f"folder:{SECRET}/photos", **record: object) -> Results:
    """Return results of two codecs on five images of one folder; one cell failed."""
    lines = []
    for codec, gain in (("jpeg", 0.0), ("webp", 2.0)):
        for image in range(5):
            for quality in (10, 30, 50, 70):
                line = {
                    "dataset": folder,
                    "image": f"{image}.png",
                    "codec": codec,
                    "label": f"{codec} 4:2:0 8-bit (lib{codec} 1)",
                    "setting": json.dumps({"quality": quality}),
                    "bytes": 100.0 * quality + image,
                    "bpp": quality / 50 + image / 500,
                    "psnr_db": 30 + gain + quality / 10,
                    "ms_ssim": math.nan,
                    "encode_s": 1.0,
                    "decode_s": 1.0,
                    "bitstream_sha256": "ab",
                    "error": "",
                }
                lines.append(line)
    lines[0] |= dict.fromkeys(("bytes", "bpp", "psnr_db"), math.nan)
    lines[0]["error"] = f"ImageError: {SECRET}/photos/0.png is damaged"
    lines[1]["psnr_db"] = math.inf
    about = {
        "folder": f"{SECRET}/photos",
        "images": {f"{image}.png": "00" for image in range(5)},
        "licence": "CC0",
        "source": "a [local] folder | mine",
        "duplicates": {"0.png": ["9.png"]},
    }
    known = {"date": "2026-11-30", "datasets": {folder: about}, **record}
    return Results(Path(), pd.DataFrame(lines), pd.DataFrame(), known)


def head(folder: Path) -> dict[str, object]:
    """Return the YAML head of a card."""
    first, text, _ = (folder / "README.md").read_text().split("---\n", 2)
    assert first == ""
    return yaml.safe_load(text)


def test_the_head_is_what_the_hub_documents(tmp_path: Path):
    """Known keys of the documented kinds; each table's file is there, the rows are the default."""
    written = hub.write_all(results(), tmp_path / "hub", licence="cc-by-4.0")
    found = head(tmp_path / "hub")

    assert {"pretty_name", "license", "tags", "size_categories", "configs"} == set(found)
    assert ("Image codecs on folder:photos", "cc-by-4.0") == (
        found["pretty_name"],
        found["license"],
    )
    assert ["n<1K"] == found["size_categories"]
    configs = found["configs"]
    assert ["rows", "summary", "bd_rate"] == [config["config_name"] for config in configs]
    assert [True, None, None] == [config.get("default") for config in configs]
    files = [tmp_path / "hub" / config["data_files"] for config in configs]
    assert [tmp_path / "hub" / "README.md", *files] == written
    assert "license" not in head_without_licence(tmp_path / "other")


def head_without_licence(folder: Path) -> dict[str, object]:
    """Return the head of a card for which no licence was named."""
    hub.write_all(results(), folder)
    return head(folder)


def test_tables_are_the_results(tmp_path: Path):
    """The numbers to the last digit, infinity too; failures stay; no times, no empty metric."""
    given = results()
    hub.write_all(given, tmp_path, anchor="jpeg")
    rows = pd.read_parquet(tmp_path / "data" / "rows.parquet")
    rates = pd.read_parquet(tmp_path / "data" / "bd_rate.parquet")

    assert given.rows["psnr_db"].equals(rows["psnr_db"])
    assert given.rows["bpp"].equals(rows["bpp"])
    assert not {"encode_s", "decode_s", "ms_ssim"} & set(rows)
    assert "ImageError: 0.png is damaged" == rows["error"].iloc[0]
    assert len(given.summary()) == len(pd.read_parquet(tmp_path / "data" / "summary.parquet"))
    assert ["jpeg"] == rates["anchor"].unique().tolist()


def test_no_path_of_the_machine(tmp_path: Path):
    """Neither in the card nor in a table; two folders of one name stay two."""
    two = results()
    other = results(f"folder:{SECRET}/other/photos")
    both = Results(
        Path(),
        pd.concat([two.rows, other.rows], ignore_index=True),
        pd.DataFrame(),
        {**two.record, "datasets": {**other.record["datasets"], **two.record["datasets"]}},
    )
    for path in hub.write_all(both, tmp_path):
        assert b"secret" not in path.read_bytes()
    rows = pd.read_parquet(tmp_path / "data" / "rows.parquet")

    assert {"folder:photos", "folder:photos #2"} == set(rows["dataset"])


def test_the_card_says_what_must_be_known(tmp_path: Path):
    """Failures, remarks, sources and columns; names are never markup."""
    hub.write_all(results(), tmp_path)
    text = (tmp_path / "README.md").read_text()

    assert "1 cell failed" in text
    assert "folder:photos: 1 files have the same pixels" in text
    assert "folder \\| mine" in text
    assert "| psnr_db | PSNR-RGB in dB, higher is better." in text


def test_every_column_has_a_meaning(tmp_path: Path):
    """Those of a search too, as far as the tables have them."""
    given = results()
    more = {"found_setting": "{}", "target_miss": 0.1, "target_bpp": 1.0, "target_note": ""}
    hub.write_all(replace(given, rows=given.rows.assign(**more)), tmp_path)
    lines = (tmp_path / "README.md").read_text().partition("## Columns")[2].splitlines()[4:]
    meanings = dict(line.strip("| ").split(" | ", 1) for line in lines)
    columns = list(pd.read_parquet(tmp_path / "data" / "rows.parquet"))

    assert columns == list(meanings)
    assert {*more} < set(columns)
    assert all(meanings.values())


@pytest.mark.parametrize("licence", ["CC BY", "x\ny", "-", "a: b"])
def test_a_licence_is_an_identifier(tmp_path: Path, licence: str):
    """What would break the head, or is no word of the hub, is refused."""
    with pytest.raises(UsageError, match="--licence wants an identifier"):
        hub.write_all(results(), tmp_path / "hub", licence=licence)
    assert not (tmp_path / "hub").exists()


def test_another_readme_stays(tmp_path: Path):
    """A folder with a README of its own is refused before anything is written; ours is replaced."""
    (tmp_path / "README.md").write_text("# Mine\n")
    with pytest.raises(OutputError, match="was not written by bench export"):
        hub.write_all(results(), tmp_path)
    assert ["README.md"] == [path.name for path in tmp_path.iterdir()]
    hub.write_all(results(), tmp_path / "hub")
    hub.write_all(results(date="2026-12-01"), tmp_path / "hub")
    assert "2026-12-01" in (tmp_path / "hub" / "README.md").read_text()


def test_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One line with the pip command."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(OutputError, match=r"need pyarrow.*\[parquet\]"):
        hub.write_all(results(), tmp_path / "hub")


def test_odd_names_are_yaml(tmp_path: Path):
    """Quotes, colons, line ends and letters outside the first plane survive in the head."""
    hub.write_all(results('folder:a "b": c\n😀\x85'), tmp_path)

    assert head(tmp_path)["pretty_name"].startswith('Image codecs on folder:a "b": c')
