"""The last lines of a run: who needs how many bits."""

from __future__ import annotations

import math

import pandas as pd

from bench.analysis.bjontegaard import Cause
from bench.output import headline

REASON = "not computable: pchip needs at least 4 points per curve, anchor has 2"


def deltas(*found: tuple[str, str, float, str]) -> pd.DataFrame:
    """Make the lines of bd_rate.csv: codec, metric, BD-rate by pchip, note; akima beside each."""
    lines = [
        {
            "dataset": "kodak",
            "anchor": "bpg",
            "codec": codec,
            "metric": metric,
            "method": method,
            "bd_rate_percent": rate,
            "note": note,
        }
        for codec, metric, rate, note in found
        for method in ("pchip", "akima")
    ]
    return pd.DataFrame(lines)


def test_a_codec_a_line_the_best_first():
    """Columns line up, rates carry their sign, and what is not computable is a dash."""
    frame = deltas(
        ("jpeg", "psnr_db", 139.1, ""),
        ("agvae", "psnr_db", -6.43, ""),
        ("zoo", "psnr_db", math.nan, REASON),
        ("jpeg", "lpips_squeeze", 89.9, ""),
        ("agvae", "lpips_squeeze", 1.4, ""),
        ("zoo", "lpips_squeeze", -2.0, ""),
    )

    assert [
        "kodak: bits at equal quality, against bpg (BD-rate; negative is better)",
        "         PSNR-RGB  LPIPS (squeeze)",
        "  agvae    \N{MINUS SIGN}6.4 %           +1.4 %",
        "  jpeg   +139.1 %          +89.9 %",
        "  zoo           -           \N{MINUS SIGN}2.0 %",
    ] == headline.lines(frame, "kodak")


def test_nothing_computable_is_one_line_with_the_reason():
    """Too few points a curve: the reason, once, and what to do about it."""
    frame = deltas(("webp", "psnr_db", math.nan, REASON), ("webp", "ms_ssim_db", math.nan, REASON))

    (line,) = headline.lines(frame, "kodak")
    assert f"kodak: BD-rate against bpg is {REASON}; measure more of them: --points 4" in line


def test_the_advice_fits_the_cause():
    """More settings help where few were measured, not where they are lossless or overlap little."""
    lossless = "not computable: pchip needs at least 4 points per curve, test has 1; 3 lossless"
    overlap = "not computable: quality ranges overlap by 0 %"
    advice = {}
    for note, cause in (
        (REASON, Cause.FEW_POINTS),
        (f"{lossless} point(s) of test left out", Cause.LOSSLESS),
        (overlap, Cause.OVERLAP),
        ("not computable: quality of test does not improve with rate", Cause.NOT_RISING),
    ):
        frame = deltas(("webp", "psnr_db", math.nan, note)).assign(cause=str(cause))
        (line,) = headline.lines(frame, "kodak")
        advice[cause] = line.partition(note)[2]
        (without,) = headline.lines(frame.drop(columns="cause"), "kodak")
        assert ("--points" in without) == (cause == Cause.FEW_POINTS)

    assert "--points 4 or more" in advice[Cause.FEW_POINTS]
    assert advice[Cause.LOSSLESS] == "; measure settings of lower quality: --quality"
    assert "same qualities" in advice[Cause.OVERLAP]
    assert not advice[Cause.NOT_RISING]


def test_one_codec_has_no_headline():
    """With nothing to compare, and of another dataset, there is nothing to say."""
    assert [] == headline.lines(deltas(("webp", "psnr_db", 1.0, "")), "sample")
    assert [] == headline.lines(deltas(("webp", "psnr_db", 1.0, "")).iloc[:0], "kodak")
