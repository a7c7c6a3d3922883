"""Export in codec-compare's shape: what its loader checks, and no infinity in JSON."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pandas as pd
import pytest

from bench.metrics.columns import column
from bench.output import codec_compare

PROVENANCE = {"date": "2026-01-31", "cpu": "Test CPU", "commit": "abc123"}


def frame() -> pd.DataFrame:
    """Two codecs over two images; one cell failed, one is exact, one has no MS-SSIM."""
    rows = [
        {
            "dataset": "sample",
            "image": image,
            "codec": codec,
            "label": f"{codec.partition(':')[0]} 4:2:0 8-bit (lib{codec[:4]} 1.2)",
            "setting": f'{{"optimize":true,"quality":{quality},"subsampling":"4:2:0"}}',
            "bytes": 100 * quality,
            "bpp": 0.01 * quality,
            "psnr_db": 30.0 + quality / 10,
            "ms_ssim": 0.9 + quality / 1000,
            "lpips_squeeze": 1 / (1 + quality),
            "encode_s": 0.1,
            "decode_s": 0.05,
            "bitstream_sha256": "ab" * 32,
            "error": "",
            "width": 80,
            "height": 100,
        }
        for codec in ("jpeg", "webp:method=6")
        for image in ("a.png", "b.png")
        for quality in (5, 50)
    ]
    rows[0] |= {"error": "crashed", "bpp": math.nan, "bytes": math.nan, "psnr_db": math.nan}
    rows[3] |= {"psnr_db": math.inf}
    rows[2] |= {"ms_ssim": math.nan}
    return pd.DataFrame(rows)


def load(path: Path) -> tuple[dict, list[dict]]:
    """Read a file as codec-compare's loader does; return its constants and rows by name."""
    data = json.loads(path.read_text(), parse_constant=pytest.fail)
    names = {}
    for kind in ("constant", "field"):
        descriptions = data[f"{kind}_descriptions"]
        assert all(1 == len(item) for item in descriptions)
        assert all(isinstance(text, str) for item in descriptions for text in item.values())
        names[kind] = [next(iter(item)) for item in descriptions]
        assert len(set(names[kind])) == len(names[kind])
    assert len(names["constant"]) == len(data["constant_values"])
    assert all(len(names["field"]) == len(row) for row in data["field_values"])
    constants = dict(zip(names["constant"], data["constant_values"], strict=True))
    return constants, [dict(zip(names["field"], row, strict=True)) for row in data["field_values"]]


def test_one_file_per_curve_and_an_index(tmp_path: Path):
    """The index lists every file in the form that the page loads."""
    paths = codec_compare.write_all(frame(), tmp_path, provenance=PROVENANCE)

    assert ["sample_jpeg.json", "sample_webp_method_6.json", "batches.json"] == [
        path.name for path in paths
    ]
    assert [["sample_jpeg.json"], ["sample_webp_method_6.json"]] == json.loads(
        paths[-1].read_text()
    )


def test_constants_describe_the_curve(tmp_path: Path):
    """Codec, version, date, source, and every setting that is held."""
    paths = codec_compare.write_all(frame(), tmp_path, provenance=PROVENANCE)

    constants, _ = load(paths[1])

    assert {
        "name": "webp 4:2:0 8-bit (libwebp 1.2)",
        "codec": "webp",
        "version": "libwebp 1.2",
        "time": "2026-01-31",
        "source_data_set": "sample",
        "curve": "webp:method=6",
        "hardware": "Test CPU",
        "commit": "abc123",
        "optimize": "true",
        "subsampling": "4:2:0",
    } == constants


def test_rows_carry_every_value(tmp_path: Path):
    """Fields have the names that the page knows, numbers are numbers, whole ones whole."""
    paths = codec_compare.write_all(frame(), tmp_path, provenance=PROVENANCE)

    _, rows = load(paths[1])

    assert {
        "original_name": "a.png",
        "width": 80,
        "height": 100,
        "encoded_size": 500,
        "bpp": 0.05,
        "psnr": 30.5,
        "msssim": 0.905,
        "lpips_squeeze": 1 / 6,
        "quality": 5,
    } == rows[0]
    assert 4 == len(rows)


def test_no_time_is_exported(tmp_path: Path):
    """Times taken beside other work would be announced as speeds: no field is one."""
    paths = codec_compare.write_all(frame(), tmp_path, provenance=PROVENANCE)

    names = [name for path in paths[:-1] for row in load(path)[1] for name in row]
    assert [] == [name for name in names if re.search(r"time|_s$|speed", name)]


def test_failures_are_left_out_and_infinity_is_flagged(tmp_path: Path):
    """Infinite PSNR and undefined MS-SSIM are null beside a flag of 1."""
    paths = codec_compare.write_all(frame(), tmp_path, provenance=PROVENANCE)

    _, rows = load(paths[0])

    by_cell = {(row["original_name"], row["quality"]): row for row in rows}
    assert {("a.png", 50), ("b.png", 5), ("b.png", 50)} == set(by_cell)
    exact, small = by_cell["b.png", 50], by_cell["b.png", 5]
    assert (None, 1, 0) == (exact["psnr"], exact["psnr_infinite"], exact["msssim_undefined"])
    assert (None, 0, 1) == (small["msssim"], small["psnr_infinite"], small["msssim_undefined"])


def test_a_codec_that_failed_everywhere_has_no_file(tmp_path: Path):
    """Nothing but failures: only the index is written."""
    paths = codec_compare.write_all(frame().assign(error="crashed"), tmp_path, provenance={})

    assert ["batches.json"] == [path.name for path in paths]


def test_definitions_describe_the_metrics(tmp_path: Path):
    """Each metric is described by its own definition, with its direction."""
    paths = codec_compare.write_all(frame(), tmp_path, provenance={})

    text = f"{column('psnr_db').definition} (higher is better)"
    assert {"psnr": text} in json.loads(paths[0].read_text())["field_descriptions"]
