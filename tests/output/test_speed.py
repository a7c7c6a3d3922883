"""Speed in tables and on the page: of the same codec, version and images, or a reason instead."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.measurement.results import load_results
from bench.output import speed
from bench.output import write as writing
from bench.report import speed_section, write
from bench.report.html import unbroken

LABELS = {"jpeg": "JPEG 4:2:0 8-bit (v1)", "webp": "WebP 4:2:0 8-bit, method 4 (v1)"}
MADE = {"jpeg": (300.0, 200.0), "webp": (15.0, 100.0)}


def setting(quality: int, **more: object) -> str:
    """Return a setting with an option that does not vary."""
    return json.dumps({"method": 4, "quality": quality, **more}, sort_keys=True)


def run_rows(dataset: str = "kodak") -> pd.DataFrame:
    """Return rows of two codecs over two images and four rungs, with times that nobody may see."""
    lines = [
        {
            "dataset": dataset,
            "image": f"i{image}",
            "codec": codec,
            "label": LABELS[codec],
            "setting": setting(10 * place),
            "bytes": 1000.0 * place,
            "bpp": 0.1 * 2**place * (1.0 + (codec == "jpeg")),
            "psnr_db": 24.0 + 3 * place,
            "bitstream_sha256": "0" * 64,
            "error": "",
            "encode_s": 0.123456,
        }
        for codec in LABELS
        for image in range(2)
        for place in range(1, 5)
    ]
    return pd.DataFrame(lines)


def call(codec: str, direction: str, **changes: object) -> dict[str, Any]:
    """Return a row as ``bench throughput`` writes it."""
    return {
        "dataset": "kodak (4 of 24)",
        "codec": codec,
        "label": LABELS[codec],
        "setting": setting(25),
        "device": "cpu",
        "processes": 1,
        "threads": 1,
        "batch": 1,
        "precision": "",
        "direction": direction,
        "phase": direction,
        "mp_per_s": MADE[codec][direction == "decode"],
        "busy": False,
        **changes,
    }


def throughput(*codecs: str, **changes: object) -> dict[str, Any]:
    """Return a whole file: both directions of codecs, all with the same changes."""
    return {
        "rows": [call(codec, way, **changes) for codec in codecs for way in ("encode", "decode")],
        "quality": [
            {
                "dataset": changes.get("dataset", "kodak (4 of 24)"),
                "codec": codec,
                "setting": changes.get("setting", setting(25)),
                "bpp": 0.5,
            }
            for codec in codecs
        ],
        "record": {
            "date": "2026-11-28",
            "commit": "abc",
            "cpu": "Some Processor",
            "cores": 2,
            "versions": {"bench": "0.1.0"},
            "datasets": {"kodak (4 of 24)": {"images": 4, "pixels_sha256": "b"}},
        },
    }


@pytest.fixture
def found(tmp_path: Path) -> Callable[..., speed.Speeds]:
    """Return a function: content of the file, rows of the run -> speeds of the run."""

    def read(content: object, rows: pd.DataFrame | None = None, **record: Any) -> speed.Speeds:
        (tmp_path / speed.FILE).write_text(json.dumps(content))
        known, reason = speed.load(tmp_path)
        if reason:
            return speed.Speeds(unusable=reason)
        return speed.of_dataset(known, run_rows() if rows is None else rows, record)

    return read


def test_speed_of_the_same_codec_is_taken(found: Callable[..., speed.Speeds]):
    """Megapixels a second of both directions, with machine, cores, images, date and version."""
    speeds = found(throughput("jpeg", "webp"))

    assert {c: (s.encode, s.decode) for c, s in speeds.codecs.items()} == MADE
    for words in (
        *("1 core of Some Processor, 2 cores", "4 images of kodak", "2026-11-28"),
        *("bench 0.1.0", "commit abc"),
    ):
        assert words in speeds.conditions
    assert {} == speeds.missing


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"label": "WebP 4:2:0 8-bit, method 4 (v2)"}, "it was measured with WebP"),
        ({"label": "WebP 4:2:0 8-bit, method 6 (v1)"}, "it was measured with WebP"),
        ({"setting": setting(25, method=6)}, "it was measured at method 6"),
        ({"setting": setting(90)}, "it was measured at quality 90"),
        ({"setting": '{"quality":25}'}, "its setting has other names"),
        ({"busy": True}, "other work ran beside it"),
        ({"mp_per_s": None}, "it has no value"),
        ({"processes": 2}, "it was not measured on 1 core"),
        ({"batch": 8}, "it was not measured on 1 core"),
        ({"device": "cuda"}, "it was not measured on 1 core"),
    ],
)
def test_speed_of_another_thing_is_not_taken(
    found: Callable[..., speed.Speeds], changes: dict[str, object], reason: str
):
    """Another version, effort, setting, busy machine or number of cores: no number, the reason."""
    both = throughput("jpeg", "webp")
    both["rows"] = [line | changes if line["codec"] == "webp" else line for line in both["rows"]]
    speeds = found(both)

    assert ["jpeg"] == list(speeds.codecs)
    assert ["webp"] == list(speeds.missing)
    assert reason in speeds.missing["webp"]


def test_speed_of_a_run_that_searched(found: Callable[..., speed.Speeds]):
    """The settings that were found count, not the target; a search that failed found none."""
    rows = run_rows()
    rows = rows.assign(found_setting=rows["setting"], setting='{"method":4,"target":"psnr=30"}')
    rows.loc[0, ["bpp", "found_setting", "error"]] = [float("nan"), "", "broken"]
    speeds = found(throughput("jpeg", "webp"), rows)
    beyond = found(throughput("jpeg", setting=setting(90)), rows)

    assert MADE.keys() == speeds.codecs.keys()
    assert "it was measured at quality 90" == beyond.missing["jpeg"]


def test_speed_on_other_images_is_not_taken(found: Callable[..., speed.Speeds]):
    """Another dataset, or one of the same name with other pixels, says nothing of this run."""
    other = found(throughput("jpeg", "webp", dataset="clic"))
    same = throughput("jpeg", "webp", dataset="kodak (4 of 24)")
    rows = run_rows("kodak (4 of 24)")
    changed = found(same, rows, datasets={"kodak (4 of 24)": {"pixels_sha256": "a"}})
    equal = found(same, rows, datasets={"kodak (4 of 24)": {"pixels_sha256": "b"}})

    assert ({}, {}) == (other.codecs, changed.codecs)
    assert "other images than kodak" in other.unusable
    assert "other images that are called kodak" in changed.unusable
    assert MADE.keys() == equal.codecs.keys()


@pytest.mark.parametrize(
    "content",
    [
        *([], {}, {"rows": [], "quality": []}, {"rows": [{}], "quality": [], "record": {}}),
        {"rows": [call("jpeg", "encode", processes=0)], "quality": [], "record": {}},
        {"rows": [call("jpeg", "encode", mp_per_s="x")], "quality": [], "record": {}},
        {"rows": [call("jpeg", "encode", setting="[]")], "quality": [], "record": {}},
        {"rows": [], "quality": [{}], "record": {}},
        {"rows": [], "quality": [], "record": {"datasets": 3}},
    ],
)
def test_a_damaged_file_costs_the_speed_only(found: Callable[..., speed.Speeds], content: object):
    """What is not of ``bench throughput`` is named as the reason."""
    assert found(content).unusable.startswith("Speed is left out: ")


def test_where_it_is_looked_for(tmp_path: Path):
    """In the run's folder, in ``throughput`` inside and beside it, in this order."""
    run = tmp_path / "run"
    (run / "throughput").mkdir(parents=True)
    (tmp_path / "throughput").mkdir()
    dates = []
    for folder in (tmp_path / "throughput", run / "throughput", run):
        content = throughput("jpeg")
        content["record"]["date"] = folder.name
        (folder / speed.FILE).write_text(json.dumps(content))
        dates.append(speed.load(run)[0]["date"])

    assert ["throughput", "throughput", "run"] == dates
    assert ({}, "") == speed.load(tmp_path / "no" / "where")


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (1 / 1.29, "1.3 times slower to encode"),
        (1 / 58.2, "58 times slower to encode"),
        (339.4, "339 times faster to encode"),
        (0.97, "as fast to encode"),
        (float("nan"), ""),
    ],
)
def test_ratio_in_words(times: float, words: str):
    """A ratio keeps its direction; what is nearly equal is called so."""
    assert words == speed_section.ratio_words(times, "encode")


def test_the_page_with_and_without(tmp_path: Path):
    """With a measurement the answer says how much slower; without, how to get one."""
    run_rows().to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "run.json").write_text("{}")
    without = write(tmp_path, tmp_path / "page.html").path.read_text(encoding="utf-8")
    (tmp_path / speed.FILE).write_text(json.dumps(throughput("jpeg", "webp")))
    text = write(tmp_path, tmp_path / "page.html").path.read_text(encoding="utf-8")
    line = "bench throughput --dataset kodak --codec jpeg --codec webp --out OUT/throughput"
    how = str(unbroken(line))

    assert how in without
    assert "times slower" not in without
    assert how not in text
    assert "is 20 times slower to encode and 2.0 times slower to decode than" in text
    assert text.count("Encode (MP/s)") > 1
    assert "123456" not in text


def test_tables_show_what_was_measured_since(tmp_path: Path):
    """Beside the BD-rates, written again for a new measurement; another version's: a reason."""
    run_rows().to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "run.json").write_text("{}")
    path = tmp_path / "tables" / "kodak_bd_rate.md"

    def shown(content: dict[str, Any] | None) -> tuple[str, bool, str]:
        if content is not None:
            (tmp_path / speed.FILE).write_text(json.dumps(content))
        changed = bool(writing.write(load_results(tmp_path), plots=False))
        text = path.read_text(encoding="utf-8")
        last = next(line for line in text.splitlines() if "JPEG" in line and line[0] == "|")
        return text, changed, " ".join(last.split("|")[-3].split())

    (none, *_), (text, changed, decode) = shown(None), shown(throughput("jpeg", "webp"))
    again = shown(None)[1]
    other = throughput("jpeg", label="JPEG 4:2:0 8-bit (v2)")
    other["rows"] += throughput("webp")["rows"]

    assert "MP/s" not in none
    assert (True, False) == (changed, again)
    assert "200" == decode
    for words in ("JPEG at quality 25;", "4 images of kodak", "alone on the machine"):
        assert words in text
    text, _, decode = shown(other)
    assert "" == decode
    assert "No speed of JPEG: it was measured with JPEG 4:2:0 8-bit (v2)." in text
    text, _, decode = shown({"rows": []})
    assert "Speed is left out: " in text
    assert "MP/s" not in text
