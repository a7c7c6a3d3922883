"""Baselines, records and tolerances that are damaged or mean nothing are refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from gate_rows import (
    gate,
    recoded,
    rows,
    write,
)


def lines_of(path: Path) -> list[str]:
    """Return the lines of a file."""
    return path.read_text().splitlines(keepends=True)


def edit(column: str, value: str) -> Callable[[list[str]], list[str]]:
    """Return a mutation of one field of the third row."""
    import csv
    import io

    def change(lines: list[str]) -> list[str]:
        table = list(csv.reader(lines))
        table[3][table[0].index(column)] = value
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(table)
        return text.getvalue().splitlines(keepends=True)

    return change


FILES = {
    "half a line": lambda lines: [*lines[:-1], lines[-1][:40]],
    "half a hash": lambda lines: [*lines[:-1], lines[-1][:-10]],
    "the last row is gone": lambda lines: lines[:-1],
    "a row in the middle is gone": lambda lines: [*lines[:4], *lines[5:]],
    "a curve is gone": lambda lines: [line for line in lines if ",webp," not in line],
    "only the header": lambda lines: lines[:1],
    "empty": lambda _: [],
    "a doubled row": lambda lines: [*lines, lines[-1]],
    "a doubled header": lambda lines: [lines[0], *lines],
    "rows in another order": lambda lines: [lines[0], *reversed(lines[1:])],
    "an unknown column": lambda lines: [lines[0].replace("ms_ssim", "vmaf"), *lines[1:]],
    "a doubled column": lambda lines: [lines[0].replace("ms_ssim", "psnr_db"), *lines[1:]],
    "a column is missing": lambda lines: [lines[0].replace("width", "w"), *lines[1:]],
    "a quote that never ends": lambda lines: [*lines[:-1], lines[-1].replace('"{', '"{"')],
    "no CSV": lambda _: ["\x00\x01\x02 no table\n"] * 3,
    "width 0": edit("width", "0"),
    "height -1": edit("height", "-1"),
    "width 1e3": edit("width", "1e3"),
    "0 bytes": edit("size_bytes", "0"),
    "-5 bytes": edit("size_bytes", "-5"),
    "NaN bytes": edit("size_bytes", "nan"),
    "inf bytes": edit("size_bytes", "inf"),
    "no size": edit("size_bytes", ""),
    "a score that is none": edit("psnr_db", "high"),
    "another score": edit("psnr_db", "99.000000000"),
    "no hash of the file": edit("bitstream_sha256", ""),
    "no hash of the pixels": edit("pixels_sha256", ""),
    "a setting that is no JSON": edit("setting", "quality=3"),
    "a setting that is a list": edit("setting", "[1]"),
    "no name": edit("image", ""),
    "another codec's curve": edit("curve", "webp"),
    "an error beside a file": edit("error", "crashed"),
    "another picture's width": edit("width", "511"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("side", ["baseline", "against"])
def test_damaged_rows_are_refused(name: str, side: str, tmp_path: Path):
    """A baseline that lost or changed a row is exit code 2 and one line, on either side."""
    base, now = (write(tmp_path / f"{stem}.csv", rows()) for stem in ("base", "now"))
    path = base if side == "baseline" else now
    path.write_text("".join(FILES[name](lines_of(path))))
    exit_code, output, _ = gate(tmp_path, "--against", now)

    assert 2 == exit_code
    assert 1 == len(output.strip().splitlines())
    assert "bench: unexpected" not in output


def test_line_ends_of_another_system_are_no_damage(tmp_path: Path):
    """Git may have written CRLF: the rows are the same."""
    base, now = (write(tmp_path / f"{stem}.csv", rows()) for stem in ("base", "now"))
    base.write_bytes(base.read_bytes().replace(b"\n", b"\r\n"))

    assert 0 == gate(tmp_path, "--against", now)[0]


RECORDS = {
    "missing": None,
    "empty": "",
    "half of it": lambda text: text[: len(text) // 2],
    "a list": "[]",
    "without a summary of the rows": lambda text: dropped(text, "rows"),
    "without an environment": lambda text: dropped(text, "environment"),
    "another count": lambda text: text.replace('"cells": 20', '"cells": 19'),
    "fewer curves": lambda text: text.replace('"curves": 2', '"curves": 3'),
    "a list of ladders": lambda text: text.replace('"ladders": {}', '"ladders": []'),
    "a ladder that is none": lambda text: text.replace('"ladders": {}', '"ladders": {"jpeg": 3}'),
    "nested too deep": "[" * 100_000,
    **{
        f"{part} of another form, {value}": lambda text, part=part, value=value: text.replace(
            '"versions": {}', f'"{part}": {value}'
        )
        for part, value in (
            ("versions", 5),
            ("versions", '{"numpy": 5}'),
            ("cpu_flags", 5),
            ("cpu_flags", "[[1]]"),
            ("codecs", '{"jpeg": 5}'),
            ("metrics", '{"psnr": null}'),
        )
    },
}


def dropped(text: str, part: str) -> str:
    """Return a record without one of its parts."""
    return json.dumps({k: v for k, v in json.loads(text).items() if k != part})


@pytest.mark.parametrize("name", RECORDS)
def test_damaged_record_is_refused(name: str, tmp_path: Path):
    """A .json that is missing, damaged or of other rows is exit code 2 and one line."""
    base, now = (write(tmp_path / f"{stem}.csv", rows()) for stem in ("base", "now"))
    path, change = base.with_suffix(".json"), RECORDS[name]
    if change is None:
        path.unlink()
    else:
        path.write_text(change if isinstance(change, str) else change(path.read_text()))
    exit_code, output, _ = gate(tmp_path, "--against", now)

    assert 2 == exit_code
    assert 1 == len(output.strip().splitlines())
    assert "bench: unexpected" not in output


def test_record_of_other_rows_is_refused(tmp_path: Path):
    """A .json beside rows that it was not written for is no proof of them."""
    write(tmp_path / "base.csv", rows())
    record = (tmp_path / "base.json").read_text()
    write(tmp_path / "base.csv", [recoded(r, 1.5) for r in rows()])
    (tmp_path / "base.json").write_text(record)
    exit_code, output, _ = gate(tmp_path, "--against", tmp_path / "base.csv")

    assert 2 == exit_code
    assert "does not hold the rows" in output


TOLERANCES = {
    "[default]\nsize = 3\n": "unknown key 'size'",
    "[default]\npsnr_db = -1\n": "default.psnr_db must be a number from 0",
    "[default]\npsnr_db = nan\n": "default.psnr_db must be a number from 0, found nan",
    "[default]\npsnr_db = true\n": "default.psnr_db must be a number",
    "[default]\npsnr_db = '0.1'\n": "default.psnr_db must be a number",
    "[codec.jpeg]\npsnr_db = [1]\n": "codec.jpeg.psnr_db must be a number",
    "[codec.jpg]\npsnr_db = 1\n": "[codec.jpg] fits no codec. Did you mean jpeg?",
    "[codec.'x*']\npsnr_db = 1\n": "[codec.x*] fits no codec",
    "codec = 3\n": "codec must be a table",
    "default = 3\n": "default must be a table",
    "speed = []\n": "speed must be a table",
    "[codec]\njpeg = 3\n": "jpeg must be a table",
    "[speed]\nsame_cpu = '2'\n": "speed.same_cpu must be a number",
    "[speed]\nsame_cpu = nan\n": "speed.same_cpu must be a number",
    "[speed]\nsame_cpu = 0\n": "speed.same_cpu must be a number from 1",
    "[speed]\nfast = 2\n": "unknown key 'fast'",
    "[defaults]\n": "unknown key 'defaults'",
    "[default.scores]\nvmaf = 1\n": "no metric has the column 'vmaf'",
    "[default]\nlibraries = [3]\n": "default.libraries must be a list",
    "nonsense": "tolerances.toml",
    "\x00": "tolerances.toml",
}


@pytest.mark.parametrize("text", TOLERANCES)
def test_tolerances_that_mean_nothing_are_refused(text: str, tmp_path: Path):
    """Wrong types, unknown codecs and keys, negative numbers and NaN: exit code 2, one line."""
    write(tmp_path / "base.csv", rows())
    (tmp_path / "tolerances.toml").write_text(text)
    exit_code, output, _ = gate(tmp_path, "--against", tmp_path / "base.csv")

    assert 2 == exit_code
    assert TOLERANCES[text] in output
    assert 1 == len(output.strip().splitlines())


@pytest.mark.parametrize("value", ["1e9", "inf", "25"])
@pytest.mark.parametrize("key", ["size_percent", "psnr_db", "bd_rate_percent", "point_db"])
def test_tolerance_that_hides_anything_is_reported(key: str, value: str, tmp_path: Path):
    """A tolerance beyond all sense is obeyed, and said on every run in every form."""
    write(tmp_path / "base.csv", rows())
    (tmp_path / "tolerances.toml").write_text(f"[codec.jpeg]\n{key} = {value}\n")
    exit_code, output, data = gate(tmp_path, "--against", tmp_path / "base.csv")
    warning = f"tolerance so wide that it can hide a regression: {key} ="

    assert 0 == exit_code
    assert f"warning: {warning}" in output
    assert warning in data["warnings"][0]
    assert "so wide that it can hide" in (tmp_path / "gate.markdown").read_text()
    assert warning in (tmp_path / "gate.junit").read_text()
