"""Bjontegaard deltas: right where they exist, refused with a reason where they do not."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import replace
from pathlib import Path

import bjontegaard
import pytest

from bench.analysis import bjontegaard as bd
from bench.analysis.bjontegaard import Curve, compare
from bench.analysis.over_images import compare_over_images
from bench.errors import BDError, UsageError

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference"

RATE = (0.12, 0.25, 0.5, 0.8, 1.3, 2.0)
PSNR = (27.1, 29.6, 32.7, 34.9, 37.6, 40.3)
ANCHOR = Curve(RATE, PSNR)


def scaled(curve, factor):
    """Return a curve that needs ``factor`` times the rate."""
    return Curve(tuple(factor * rate for rate in curve.rate), curve.quality)


def package(anchor, test, method):
    """Return BD-rate and BD-PSNR straight from the package bjontegaard."""
    points = (anchor.rate, anchor.quality, test.rate, test.quality)
    options = {"method": method, "require_matching_points": False, "min_overlap": 0}
    return bjontegaard.bd_rate(*points, **options), bjontegaard.bd_psnr(*points, **options)


def refused(delta):
    """Return the reason why there is no number, having checked that there is none."""
    assert delta.bd_rate_percent is None
    assert delta.bd_quality is None
    assert delta.ci_low is None
    assert delta.ci_high is None
    reason = delta.note.split("; ")[0]
    assert reason.startswith("not computable: ")
    return reason.removeprefix("not computable: ")


@pytest.mark.parametrize("method", bd.METHODS)
def test_a_true_ten_percent(method):
    """A curve at 0.9 times the rate is -10 %, whatever the interpolation."""
    delta = compare(ANCHOR, scaled(ANCHOR, 0.9), method)

    assert pytest.approx(-10, abs=1e-9) == delta.bd_rate_percent
    assert delta.bd_quality > 0
    assert pytest.approx(100) == delta.overlap_percent
    assert delta.note == ""
    assert method == delta.method


@pytest.mark.parametrize("method", bd.METHODS)
def test_a_true_decibel(method):
    """A curve one dB higher has a BD-PSNR of 1 dB."""
    higher = Curve(RATE, tuple(q + 1 for q in PSNR))

    assert pytest.approx(1, abs=1e-9) == compare(ANCHOR, higher, method).bd_quality


@pytest.mark.parametrize("method", bd.METHODS)
def test_identical_curves(method):
    """Identical curves differ by exactly 0."""
    delta = compare(ANCHOR, ANCHOR, method)

    assert (0.0, 0.0) == (delta.bd_rate_percent, delta.bd_quality)
    assert not math.copysign(1, delta.bd_quality) < 0


@pytest.mark.parametrize("method", bd.METHODS)
def test_order_does_not_matter(method):
    """Unsorted points give the same delta as sorted ones; the package raises or misreads them."""
    test = scaled(ANCHOR, 1.2)
    order = [3, 0, 5, 1, 4, 2]
    shuffled = Curve(tuple(test.rate[k] for k in order), tuple(test.quality[k] for k in order))

    assert compare(ANCHOR, test, method) == compare(ANCHOR, shuffled, method)


@pytest.mark.parametrize("method", bd.METHODS)
def test_not_monotone(method):
    """A quality that falls with the rate is refused, and the verdict names the two points."""
    dented = Curve(RATE, (27.1, 29.6, 32.7, 32.1, 37.6, 40.3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if method == "cubic":  # what the package says of it: a number like any other
            assert math.isfinite(package(ANCHOR, dented, method)[0])

    assert refused(compare(ANCHOR, dented, method)) == (
        "quality of test does not improve with rate: 32.7 at 0.5, 32.1 at 0.8"
    )
    assert "quality of anchor" in refused(compare(dented, ANCHOR, method))


def test_plateau():
    """Equal qualities at two rates (a saturated metric) are refused as well."""
    flat = Curve(RATE, (27.1, 29.6, 32.7, 34.9, 34.9, 40.3))

    assert "34.9 at 0.8, 34.9 at 1.3" in refused(compare(ANCHOR, flat))


@pytest.mark.parametrize("method", bd.METHODS)
def test_no_overlap(method):
    """Curves without a common quality have no delta, rather than 0 or NaN."""
    far = Curve(RATE, tuple(q + 50 for q in PSNR))
    delta = compare(ANCHOR, far, method)

    assert refused(delta) == "quality ranges overlap by 0 %"
    assert delta.overlap_percent == 0


@pytest.mark.parametrize("method", bd.METHODS)
def test_two_percent_overlap(method):
    """A sliver of overlap is refused; the package returns a number and only warns."""
    shift = 0.96 * (PSNR[-1] - PSNR[0])
    sliver = Curve(RATE, tuple(q + shift for q in PSNR))

    assert refused(compare(ANCHOR, sliver, method)) == "quality ranges overlap by 2 %"


def test_low_overlap_is_computed_with_a_warning():
    """Between 10 and 50 % overlap there is a number, and a note."""
    shift = 0.5 * (PSNR[-1] - PSNR[0])
    delta = compare(ANCHOR, Curve(RATE, tuple(q + shift for q in PSNR)))

    assert delta.bd_rate_percent < 0
    assert delta.note == "warning: quality ranges overlap by only 33 %"


def test_no_common_rate():
    """Where qualities overlap but rates do not, there is a BD-rate and no BD-quality."""
    delta = compare(ANCHOR, scaled(ANCHOR, 100))

    assert pytest.approx(9900) == delta.bd_rate_percent
    assert delta.bd_quality is None


@pytest.mark.parametrize("method", bd.METHODS)
@pytest.mark.parametrize("points", [0, 1, 2, 3])
def test_too_few_points(method, points):
    """Fewer than four points are refused, and the note says which curve has how many."""
    short = Curve(RATE[:points], PSNR[:points])

    assert refused(compare(ANCHOR, short, method)) == (
        f"{method} needs at least 4 points per curve, test has {points}"
    )
    assert "anchor has" in refused(compare(short, ANCHOR, method))


def test_four_points_suffice():
    """Four points are enough, and the curves may have different numbers of points."""
    four = Curve(tuple(0.9 * rate for rate in RATE[1:5]), PSNR[1:5])

    for method in bd.METHODS:
        assert compare(ANCHOR, four, method).bd_rate_percent == pytest.approx(
            package(ANCHOR, four, method)[0], abs=1e-9
        )


def test_lossless_point():
    """An infinite quality is left out with a note; too many leave too few points."""
    top = Curve((*RATE, 9.0), (*PSNR, math.inf))
    delta = compare(ANCHOR, top)

    assert delta.bd_rate_percent == 0
    assert delta.note == "1 lossless point(s) of test left out"
    saturated = Curve(RATE, (*PSNR[:3], math.inf, math.inf, math.inf))
    delta = compare(ANCHOR, saturated)
    assert refused(delta) == "pchip needs at least 4 points per curve, test has 3"
    assert "3 lossless point(s) of test left out" in delta.note


def test_missing_point():
    """NaN is a missing point: left out with a note."""
    delta = compare(Curve(RATE, (PSNR[0], math.nan, *PSNR[2:])), ANCHOR)

    assert abs(delta.bd_rate_percent) < 5
    assert delta.note == "1 missing point(s) of anchor left out"


@pytest.mark.parametrize("rate", [0.0, -0.3, math.inf])
def test_impossible_rate(rate):
    """A rate that has no logarithm is refused."""
    assert "rate that is not positive" in refused(compare(ANCHOR, Curve((rate, *RATE[1:]), PSNR)))


def test_minus_infinity():
    """A quality of minus infinity is refused, not taken for lossless."""
    assert "not finite" in refused(compare(ANCHOR, Curve(RATE, (-math.inf, *PSNR[1:]))))


def test_duplicate_rate():
    """Two points at one rate are refused: which of them is on the curve?"""
    doubled = Curve((*RATE[:2], RATE[1], *RATE[3:]), PSNR)

    assert refused(compare(doubled, ANCHOR)) == "anchor has two points at rate 0.25"


def test_points_too_close_for_a_cubic():
    """A cubic that the points do not determine is refused rather than fitted to rounding."""
    close = Curve(RATE, tuple(1 + 1e-9 * k for k in range(6)))

    assert "too close together for a cubic fit" in refused(compare(close, close, "cubic"))


def test_lower_is_better():
    """LPIPS falls with the rate: fewer bits at equal LPIPS is a negative BD-rate."""
    lpips = (0.4, 0.3, 0.2, 0.14, 0.09, 0.05)
    anchor = Curve(RATE, lpips)
    delta = compare(anchor, scaled(anchor, 0.8), higher_is_better=False)

    assert pytest.approx(-20) == delta.bd_rate_percent
    assert delta.bd_quality < 0
    assert "does not improve" in refused(compare(anchor, anchor))
    better = Curve(RATE, tuple(value - 0.01 for value in lpips))
    assert pytest.approx(-0.01) == compare(anchor, better, higher_is_better=False).bd_quality
    rising = replace(anchor, quality=lpips[::-1])
    assert "0.05 at 0.12, 0.09 at 0.25" in refused(compare(anchor, rising, higher_is_better=False))


def test_uneven_lists():
    """A curve with more rates than qualities cannot be made."""
    with pytest.raises(BDError, match="found 2 and 3"):
        Curve((1, 2, 3), (1, 2))


@pytest.mark.parametrize("function", [compare, compare_over_images])
def test_unknown_method(function):
    """An unknown method is an error that lists the known ones."""
    curves = ANCHOR if function is compare else {"a": ANCHOR}
    with pytest.raises(UsageError, match="pchip, akima, cubic"):
        function(curves, curves, "linear")


@pytest.mark.parametrize("method", bd.METHODS)
def test_published_curves(method):
    """On published Kodak curves the deltas are those of the package, and plausible."""
    folder = REFERENCE / "compressai" / "kodak"
    if not folder.is_dir():
        pytest.skip(f"needs the published curves in {folder}")
    curves = {}
    for name in ("jpeg", "webp", "bpg_444_x265_ycbcr", "hm", "compressai-mbt2018_mse_cuda"):
        results = json.loads((folder / f"{name}.json").read_text())["results"]
        quality = results.get("psnr-rgb") or results["psnr"]
        points = sorted(zip(results["bpp"], quality, strict=True))
        curves[name] = Curve(*(tuple(column) for column in zip(*points, strict=True)))
    anchor = curves["bpg_444_x265_ycbcr"]
    rates = {}
    for name, curve in curves.items():
        delta = compare(anchor, curve, method)
        rates[name] = delta.bd_rate_percent

        assert package(anchor, curve, method) == pytest.approx(
            (delta.bd_rate_percent, delta.bd_quality), abs=1e-9
        )

    assert rates["bpg_444_x265_ycbcr"] == 0
    assert rates["compressai-mbt2018_mse_cuda"] < 0 < rates["webp"] < rates["jpeg"]
