"""Proof by mutation of rows and files: each has its verdict, its exit code, and no traceback.

Two baselines are compared through the command line, in this process and without measuring.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from bench import metrics
from bench.cli import command_line
from bench.gate import baseline
from bench.gate.rows import Locked, Row, by_key
from bench.metrics import columns

IMAGES = ("one.png", "two.png")
CODECS = ("jpeg", "webp")
app = command_line(["check"])
Rows = list[Row]


def digest(*words: object) -> str:
    """Return a hash that stands for some bytes."""
    return sha256(repr(words).encode()).hexdigest()


def row(codec: str, image: str, step: int) -> Row:
    """Return a point of a plausible curve: 6 dB for each doubling of the size."""
    ms_ssim = 1 - 10 ** -(0.5 + 0.3 * step)
    return Row(
        *("made", image, codec, codec, f'{{"quality":{10 * step}}}', f"{codec} 1", 512, 512),
        pixels_sha256=digest(image),
        size_bytes=4000 * 2**step,
        scores={"psnr_db": 30.0 + 6 * step, "ms_ssim": round(ms_ssim, 9)},
        bitstream_sha256=digest(codec, image, step),
        decoded_sha256=digest("decoded", codec, image, step),
    )


def rows() -> Rows:
    """Return two curves of two images, five rungs each."""
    return [row(codec, image, step) for codec in CODECS for image in IMAGES for step in range(5)]


def write(path: Path, found: Sequence[Row], **more: object) -> Path:
    """Write a baseline."""
    baseline.write(path, Locked(by_key(found), {"versions": {}}, **more))
    return path


def scored(old: Row, **scores: float | None) -> Row:
    """Return a row with other scores."""
    return replace(old, scores={**old.scores, **scores})


def recoded(old: Row, size: float = 1.0, db: float = 0.0, **more: object) -> Row:
    """Return a row of another file: ``size`` times as large, ``db`` better in PSNR."""
    new = scored(old, psnr_db=old.scores["psnr_db"] + db)
    changed = {"bitstream_sha256": digest("other", old.key), "decoded_sha256": ""}
    return replace(new, **{"size_bytes": round(old.size_bytes * size), **changed, **more})


def along(old: Row, size: float) -> Row:
    """Return a row further along the same curve: ``size`` times as large, and better for it."""
    ms_ssim = 1 - (1 - old.scores["ms_ssim"]) * 10 ** -(0.3 * math.log2(size))
    return scored(recoded(old, size, 6 * math.log2(size)), ms_ssim=ms_ssim)


def failed(old: Row, error: str) -> Row:
    """Return a row that failed."""
    blank = dict.fromkeys(old.scores)
    hashes = {"bitstream_sha256": "", "decoded_sha256": ""}
    return replace(old, size_bytes=None, error=error, scores=blank, **hashes)


def lossless(old: Row) -> Row:
    """Return a row whose picture is equal to its source."""
    return scored(old, psnr_db=math.inf, ms_ssim=1.0)


def undefined(old: Row, why: str) -> Row:
    """Return a row without MS-SSIM, for a stated reason."""
    return replace(scored(old, ms_ssim=None), undefined={"ms_ssim": why})


def at(change: Callable[[Row], Row], *steps: int, image: str = "one.png") -> Callable[[Rows], Rows]:
    """Return a mutation of some rungs of JPEG on one image."""
    settings = {f'{{"quality":{10 * step}}}' for step in steps or (2,)}
    return lambda found: [
        change(r) if (r.codec, r.image) == ("jpeg", image) and r.setting in settings else r
        for r in found
    ]


def jpeg(change: Callable[[Row], Row]) -> Callable[[Rows], Rows]:
    """Return a mutation of every row of JPEG."""
    return lambda found: [change(r) if r.codec == "jpeg" else r for r in found]


def without(codec: str = "jpeg", image: str = "", step: int | None = None):
    """Return a mutation that leaves out the rows that fit."""
    return lambda found: [
        r
        for r in found
        if r.codec != codec
        or (image and r.image != image)
        or (step is not None and r.setting != f'{{"quality":{10 * step}}}')
    ]


def swapped_pictures(found: Rows) -> Rows:
    """Exchange the names of the two pictures."""
    other = dict(zip(IMAGES, reversed(IMAGES), strict=True))
    return [replace(r, image=other[r.image]) for r in found]


def next_rung(found: Rows) -> Rows:
    """Give each setting of JPEG the file of the next one."""
    known = {r.key: r for r in found}
    new = []
    for r in found:
        step = json.loads(r.setting)["quality"] // 10
        source = row("jpeg", r.image, min(step + 1, 4)) if r.codec == "jpeg" else known[r.key]
        new.append(replace(source, setting=r.setting))
    return new


def same(found: Rows) -> Rows:
    """Change nothing."""
    return found


def newer(change: Callable[[Row], Row]) -> Callable[[Rows], Rows]:
    """Return a mutation of JPEG by another version of its library."""
    return jpeg(lambda r: replace(change(r), version="jpeg 2"))


ERROR = "crashed: ZeroDivisionError: a bug (codecs/jpeg.py:31)"


@dataclass(frozen=True)
class Case:
    """A mutation of the baseline, one of today's rows, and what must come of it."""

    before: Callable[[Rows], Rows]
    after: Callable[[Rows], Rows]
    verdict: str
    exit_code: int
    words: str = ""
    options: tuple[str, ...] = ()


ALLOW = ("--allow-environment",)
CASES = {
    "nothing": Case(same, same, "identical", 0, "20 cells: 20 identical bytes"),
    "more rows than locked": Case(without(step=4), same, "identical", 0),
    # sizes
    "one byte more": Case(
        same, at(lambda r: recoded(r, size_bytes=r.size_bytes + 1)), "worse", 1, "16001 bytes"
    ),
    "twice the size": Case(same, at(lambda r: recoded(r, 2)), "worse", 1),
    "half the size": Case(same, at(lambda r: recoded(r, 0.5)), "better", 0),
    "all 1 % larger": Case(same, jpeg(lambda r: recoded(r, 1.01)), "worse", 1),
    "all 1 % smaller": Case(same, jpeg(lambda r: recoded(r, 0.99)), "better", 0),
    "same hash, other size": Case(
        same,
        at(lambda r: replace(r, size_bytes=r.size_bytes // 2)),
        "not_comparable",
        2,
        "one hash, and 16000 and 8000 bytes",
    ),
    # scores
    "0.005 dB less": Case(same, at(lambda r: recoded(r, db=-0.005)), "equal", 0),
    "0.02 dB less": Case(same, at(lambda r: recoded(r, db=-0.02)), "worse", 1),
    "20 dB less": Case(same, at(lambda r: recoded(r, db=-20)), "worse", 1),
    "20 dB less, same file": Case(
        jpeg(lambda r: replace(r, decoded_sha256="")),
        at(lambda r: replace(scored(r, psnr_db=22.0), decoded_sha256="")),
        "worse",
        1,
    ),
    "20 dB less, same file and pixels": Case(
        same, at(lambda r: scored(r, psnr_db=22.0)), "metric", 1, "same pixels, other score"
    ),
    "20 dB less, MS-SSIM is NaN": Case(
        same,
        at(lambda r: scored(recoded(r, db=-20), ms_ssim=math.nan)),
        "not_comparable",
        2,
        "MS-SSIM was",
    ),
    "MS-SSIM alone is lower": Case(
        same, at(lambda r: scored(recoded(r), ms_ssim=r.scores["ms_ssim"] - 0.01)), "worse", 1
    ),
    "PSNR is NaN now": Case(
        same, at(lambda r: scored(r, psnr_db=math.nan)), "not_comparable", 2, "is not a number"
    ),
    "PSNR was NaN": Case(
        at(lambda r: scored(r, psnr_db=math.nan)), same, "not_comparable", 2, "was not a number"
    ),
    "PSNR is NaN on both sides": Case(
        at(lambda r: scored(r, psnr_db=math.nan)),
        at(lambda r: scored(r, psnr_db=math.nan)),
        "not_comparable",
        2,
        "PSNR is not a number",
    ),
    "PSNR is missing now": Case(
        same, at(lambda r: scored(r, psnr_db=None)), "not_comparable", 2, "is missing"
    ),
    "MS-SSIM is missing on both sides": Case(
        at(lambda r: scored(r, ms_ssim=None)),
        at(lambda r: scored(r, ms_ssim=None)),
        "not_comparable",
        2,
        "MS-SSIM is missing",
    ),
    "MS-SSIM is gone altogether": Case(
        same,
        lambda found: [replace(r, scores={"psnr_db": r.scores["psnr_db"]}) for r in found],
        "not_comparable",
        2,
        "COULD NOT COMPARE 2 of 2",
    ),
    "PSNR is minus infinity": Case(
        same, at(lambda r: scored(r, psnr_db=-math.inf)), "not_comparable", 2
    ),
    "MS-SSIM over 1": Case(same, at(lambda r: scored(r, ms_ssim=1.5)), "not_comparable", 2),
    "MS-SSIM under 0": Case(same, at(lambda r: scored(r, ms_ssim=-0.1)), "not_comparable", 2),
    "undefined for one reason": Case(
        at(lambda r: undefined(r, "too small")),
        at(lambda r: undefined(r, "too small")),
        "identical",
        0,
        "MS-SSIM is undefined: too small: judged without it",
    ),
    "undefined for two reasons": Case(
        at(lambda r: undefined(r, "too small")),
        at(lambda r: undefined(r, "too gray")),
        "not_comparable",
        2,
    ),
    "undefined now": Case(same, at(lambda r: undefined(r, "too small")), "not_comparable", 2),
    "undefined before": Case(at(lambda r: undefined(r, "too small")), same, "not_comparable", 2),
    "too small for MS-SSIM": Case(
        *[lambda found: [replace(scored(r, ms_ssim=None), width=64, height=64) for r in found]] * 2,
        "identical",
        0,
        "MS-SSIM is undefined: the image is under 161 pixels: judged without it",
    ),
    "lossless on both sides": Case(at(lossless), at(lossless), "identical", 0),
    "lossless on both sides, other bytes": Case(
        at(lossless), at(lambda r: replace(recoded(lossless(r)))), "equal", 0
    ),
    "no longer lossless": Case(at(lossless), at(recoded), "worse", 1, "no longer equal to"),
    "no longer lossless, half the size": Case(
        at(lossless), at(lambda r: recoded(r, 0.5)), "worse", 1
    ),
    "lossless now": Case(same, at(lambda r: recoded(lossless(r))), "better", 0),
    "lossless now, a byte more": Case(same, at(lambda r: recoded(lossless(r), 1.0001)), "moved", 1),
    # rows and pictures
    "a row is missing": Case(
        same, without("jpeg", "one.png", 2), "not_comparable", 2, "9 of 10 cells compared"
    ),
    "an image is missing": Case(same, without(image="two.png"), "not_comparable", 2),
    "a codec is missing": Case(same, without(), "not_comparable", 2, "COULD NOT COMPARE 1 of 2"),
    "another picture of the same name": Case(
        same,
        lambda found: [
            replace(r, pixels_sha256=digest("x")) if r.image == "one.png" else r for r in found
        ],
        "not_comparable",
        2,
        "the source's pixels are others",
    ),
    "two pictures swapped": Case(same, swapped_pictures, "not_comparable", 2),
    "same file and scores, other pixels": Case(
        same, at(lambda r: replace(r, decoded_sha256=digest("x"))), "equal", 0
    ),
    # settings
    "quality off by one rung": Case(same, next_rung, "moved", 1, "are another rung's"),
    "half a percent along the curve": Case(
        same, at(lambda r: along(r, 1.005), *range(5)), "equal", 0
    ),
    "five percent along the curve": Case(same, at(lambda r: along(r, 1.05), *range(5)), "moved", 1),
    "one image 1.5 % worse, the other 4 % better": Case(
        same,
        lambda found: at(lambda r: recoded(r, 0.96), *range(5), image="two.png")(
            at(lambda r: recoded(r, 1.015), *range(5))(found)
        ),
        "worse",
        1,
        "image one.png: worse: BD-rate",
    ),
    # failures
    "fails now": Case(same, at(lambda r: failed(r, ERROR)), "worse", 1, "fails now"),
    "all cells fail now": Case(same, jpeg(lambda r: failed(r, ERROR)), "worse", 1),
    "failed before": Case(at(lambda r: failed(r, ERROR)), same, "better", 0, "works now"),
    "fails as before": Case(
        at(lambda r: failed(r, ERROR)),
        at(lambda r: failed(r, ERROR)),
        "still_fails",
        0,
        "1 of 10 cells fails as before",
    ),
    "fails as before, elsewhere in the file": Case(
        at(lambda r: failed(r, ERROR)),
        at(lambda r: failed(r, ERROR.replace("codecs/jpeg.py:31", "/a/b/codecs/jpeg.py:47"))),
        "still_fails",
        0,
    ),
    "fails otherwise": Case(
        at(lambda r: failed(r, ERROR)),
        at(lambda r: failed(r, "timed out: after 60 s")),
        "worse",
        1,
        "fails with another error",
    ),
    "all cells fail as before": Case(
        *[jpeg(lambda r: failed(r, ERROR))] * 2, "not_comparable", 2, "10 failed as before"
    ),
    "fails as before, and a byte more elsewhere": Case(
        at(lambda r: failed(r, ERROR), 1),
        lambda found: at(lambda r: recoded(r, 1.0001), 3)(at(lambda r: failed(r, ERROR), 1)(found)),
        "worse",
        1,
    ),
    # another library
    "another library, same files": Case(same, newer(lambda r: r), "identical", 0),
    "another library, 1 % larger": Case(
        same, newer(lambda r: recoded(r, 1.01)), "environment", 1, "jpeg 1 -> jpeg 2"
    ),
    "another library, 1 % larger, allowed": Case(
        same, newer(lambda r: recoded(r, 1.01)), "environment", 0, "environment, allowed", ALLOW
    ),
    "another library, 11 % larger, allowed": Case(
        same, newer(lambda r: recoded(r, 1.11)), "environment", 1, "at most 10", ALLOW
    ),
    "another library, 0.6 dB less, allowed": Case(
        same, newer(lambda r: recoded(r, 0.99, -0.6)), "environment", 1, "at most 0.5", ALLOW
    ),
    "another library, BD-rate of 6 %, allowed": Case(
        same, newer(lambda r: recoded(r, 1.06)), "environment", 1, "in BD-rate", ALLOW
    ),
    "another library gives no file, allowed": Case(
        same, newer(lambda r: failed(r, ERROR)), "environment", 1, "no file", ALLOW
    ),
    "another library, a row missing, allowed": Case(
        same,
        lambda found: newer(lambda r: recoded(r, 1.01))(without("jpeg", "one.png", 2)(found)),
        "environment",
        2,
        "COULD NOT COMPARE 1 of 2",
        ALLOW,
    ),
    "another library, MS-SSIM gone, allowed": Case(
        same,
        newer(lambda r: scored(recoded(r, 1.01), ms_ssim=None)),
        "not_comparable",
        2,
        "",
        ALLOW,
    ),
}


def gate(folder: Path, *options: object) -> tuple[int, str, dict[str, object]]:
    """Run the gate; return exit code, output and JSON after checking that all forms agree."""
    files = {form: folder / f"gate.{form}" for form in ("markdown", "junit", "json")}
    words = ["check", "--baseline", folder / "base.csv", *options]
    for form, path in files.items():
        words += [f"--{form}", path]
    done = CliRunner().invoke(app, [str(word) for word in words])
    data = json.loads(files["json"].read_text())
    page, xml = files["markdown"].read_text(), ET.fromstring(files["junit"].read_text())
    tests = [int(xml.get(key)) for key in ("tests", "failures", "errors")]

    assert done.exit_code == data["exit_code"]
    assert [len(xml.findall(f".//{tag}")) for tag in ("testcase", "failure", "error")] == tests
    assert {0: (0, 0), 1: (1, 0), 2: (0, 1)}[done.exit_code][0] == bool(tests[1])
    assert (done.exit_code != 0) == bool(tests[1] + tests[2])
    assert {0: "\u2705", 1: "\u274c", 2: "\u26a0"}[done.exit_code] == page.split()[1][0]
    assert "Traceback" not in done.output
    return done.exit_code, done.output, data


@pytest.mark.parametrize("name", CASES)
def test_a_mutated_row_has_its_verdict(name: str, tmp_path: Path):
    """Each mutation has its verdict and its exit code, in all four forms of the report."""
    case = CASES[name]
    write(tmp_path / "base.csv", case.before(rows()))
    now = write(tmp_path / "now.csv", case.after(rows()))
    exit_code, output, data = gate(tmp_path, "--against", now, *case.options)
    found = {curve["codec"]: curve["verdict"] for curve in data["curves"]}

    assert (case.verdict, case.exit_code) == (found["jpeg"], exit_code)
    assert case.words in output
    assert data["outcome"] == output.splitlines()[-1]
    assert f"{data['cells']['total']} cells: " in output
    if case.exit_code == 2 or "fails" in name or "fail now" in name or "no file" in name:
        assert "--update" not in output


@pytest.mark.parametrize("name", ["-c", "-d", "both", "points"])
def test_nothing_to_compare_is_no_pass(name: str, tmp_path: Path):
    """A codec, a dataset or a combination that the baseline does not hold is exit code 2."""
    write(tmp_path / "base.csv", [*rows(), replace(rows()[0], dataset="other", codec="avif",
                                                   curve="avif")])  # fmt: skip
    words = {
        "-c": ("-c", "bpg"),
        "-d": ("-d", "kodak"),
        "both": ("-c", "avif", "-d", "made"),
        "points": ("-c", "jpeg:quality=3"),
    }[name]
    exit_code, output, _ = gate(tmp_path, "--against", tmp_path / "base.csv", *words)

    assert 2 == exit_code
    assert "bench: the baseline" in output


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


NASTY = (
    "<script>alert(1)</script>",
    "a|b|c",
    "`code` *bold* [link](http://x)",
    "bell\x07 escape\x1b[31mred",
    "lone \udcff and \ud800",
    "right\u202eleft",
    "nul\x00",
    "two\nlines\r\nmore",
    "]]>&amp;<![CDATA[",
    "\ufffe",
)


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("field", ["image", "dataset", "version", "error"])
def test_no_text_is_markup(field: str, text: str, tmp_path: Path):
    """Names, versions and errors of any characters break neither terminal, page, XML nor JSON."""

    def spoilt(found: Rows) -> Rows:
        return [replace(r, **{field: text}) for r in found if r.image == "one.png"]

    before = spoilt(rows()) if field != "error" else rows()
    after = (
        spoilt([recoded(r, 2) for r in rows()])
        if field != "error"
        else [failed(r, text) for r in rows()]
    )
    write(tmp_path / "base.csv", before)
    exit_code, output, data = gate(tmp_path, "--against", write(tmp_path / "now.csv", after))
    page, xml = ((tmp_path / f"gate.{form}").read_text() for form in ("markdown", "junit"))

    assert 1 == exit_code
    assert data["curves"]
    for form in (output, page, xml):
        assert not {c for c in form if c != "\n" and (ord(c) < 32 or 0xD800 <= ord(c) < 0xE000)}
        assert "\u202e" not in form
    assert "<script" not in page
    tables = [block for block in page.split("\n\n") if block.startswith("|")]
    for block in tables:
        bars = {line.replace("\\|", "").count("|") for line in block.splitlines()}
        assert 1 == len([bar for bar in bars if bar])


def test_crash_of_the_gate_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An unexpected exception is exit code 2 in one line and in every file, without advice."""
    write(tmp_path / "base.csv", rows())
    gate(tmp_path, "--against", tmp_path / "base.csv")  # leaves files that say OK

    def crash(*_: object) -> None:
        raise KeyError("a bug\nof the gate")

    monkeypatch.setattr(baseline, "read", crash)
    exit_code, output, data = gate(tmp_path, "--against", tmp_path / "base.csv")

    assert 2 == exit_code
    assert 1 == len(output.strip().splitlines())
    assert "unexpected KeyError" in output
    assert "--update" not in output
    assert "COULD NOT RUN" in data["outcome"]
    monkeypatch.setenv("BENCH_DEBUG", "1")
    words = ["check", "-b", str(tmp_path / "base.csv")]
    assert "Traceback" in CliRunner().invoke(app, words).output


@pytest.mark.parametrize("fault", [SystemExit(0), SystemExit("bye"), GeneratorExit()])
def test_no_exit_of_a_codec_ends_the_gate_well(fault, tmp_path, monkeypatch):
    """A SystemExit from anywhere inside is exit code 2, whatever its own code is."""
    write(tmp_path / "base.csv", rows())

    def leave(*_: object) -> None:
        raise fault

    monkeypatch.setattr(baseline, "read", leave)

    assert 2 == gate(tmp_path, "--against", tmp_path / "base.csv")[0]


def update(tmp_path: Path, *options: object) -> tuple[int, str]:
    """Lock the rows of now.csv over base.csv."""
    words = ["check", "--update", "-b", tmp_path / "base.csv", "--against", tmp_path / "now.csv"]
    done = CliRunner().invoke(app, [str(word) for word in (*words, *options)])
    return done.exit_code, done.output


def test_failed_cells_are_locked_only_on_request(tmp_path: Path):
    """--update refuses cells that fail (exit code 2) unless --accept-failures is given."""
    before = write(tmp_path / "base.csv", rows()).read_bytes()
    write(tmp_path / "now.csv", at(lambda r: failed(r, ERROR))(rows()))
    refused = update(tmp_path)

    assert 2 == refused[0]
    assert "1 of 20 cells fail; the first, jpeg" in refused[1]
    assert before == (tmp_path / "base.csv").read_bytes()
    accepted = update(tmp_path, "--accept-failures")

    assert 0 == accepted[0]
    assert "1 of them FAILED" in accepted[1]
    assert "failed as before" in gate(tmp_path, "--against", tmp_path / "now.csv")[1]


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("missing score", at(lambda r: scored(r, ms_ssim=None)), "is missing"),
        ("NaN", at(lambda r: scored(r, psnr_db=math.nan)), "is not a number"),
        ("no file at all", lambda found: [failed(r, ERROR) for r in found], "no cell has a file"),
    ],
)
def test_what_cannot_be_compared_is_not_locked(name, change, words, tmp_path: Path):
    """Rows that no later run could be held against are not locked, whatever is accepted."""
    before = write(tmp_path / "base.csv", rows()).read_bytes()
    write(tmp_path / "now.csv", change(rows()))
    exit_code, output = update(tmp_path, "--accept-failures")

    assert 2 == exit_code
    assert words in output
    assert before == (tmp_path / "base.csv").read_bytes()


def test_options_of_locking_are_refused_elsewhere(tmp_path: Path):
    """--accept-failures and --metric do nothing in a comparison, so they are refused there."""
    now = write(tmp_path / "base.csv", rows())

    for words in (("--accept-failures",), ("--metric", "psnr")):
        exit_code, output, _ = gate(tmp_path, "--against", now, *words)
        assert 2 == exit_code
        assert "belongs to --update" in output


class Blur(metrics.Metric):
    """A metric that somebody dropped in: lower is better."""

    name = column = "blur"
    title = "Blur"
    higher_is_better = False
    digits = 3
    limits = (0.0, math.inf)

    def score(self, state, decoded):
        """Return the difference of the means."""
        return float(abs(state.mean() - decoded.mean()))


@pytest.mark.parametrize(
    ("now", "outcome"),
    [
        (0.5, ("identical", 0)),
        (0.5005, ("equal", 0)),
        (0.52, ("worse", 1)),
        (0.48, ("better", 0)),
        (None, ("not_comparable", 2)),
        (-0.1, ("not_comparable", 2)),
    ],
)
def test_new_metric_is_judged_by_its_own_direction(now, outcome, tmp_path: Path, monkeypatch):
    """A metric of one file takes part: its digits are its tolerance, its direction is its own."""
    found = {**metrics.discover(), "blur": metrics.Found("blur", "here", Blur)}
    monkeypatch.setattr(columns, "discover", lambda: found)
    before = [scored(r, blur=0.5) for r in rows()]
    same_file = now in {0.5, None, -0.1}
    after = at(lambda r: scored(r if same_file else recoded(r), blur=now))(before)
    write(tmp_path / "base.csv", before)
    exit_code, output, data = gate(tmp_path, "--against", write(tmp_path / "now.csv", after))

    assert outcome == (data["curves"][0]["verdict"], exit_code)
    assert outcome[0] in {"identical", "not_comparable"} or "Blur 0.500 -> " in output
