"""Proof by mutation of rows: each has its verdict, its exit code, and no traceback.

Two baselines are compared through the command line, in this process and without measuring.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from gate_rows import (
    ERROR,
    Rows,
    along,
    at,
    digest,
    failed,
    gate,
    jpeg,
    lossless,
    newer,
    next_rung,
    recoded,
    rows,
    same,
    scored,
    swapped_pictures,
    undefined,
    without,
    write,
)


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
        same, at(lambda r: replace(r, decoded_sha256=digest("x"))), "pixels", 0
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
