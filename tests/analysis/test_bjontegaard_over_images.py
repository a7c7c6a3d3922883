"""Deltas over images: of the mean curves, with an interval and the spread over images."""

from __future__ import annotations

import math
from dataclasses import replace

import bjontegaard
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import Akima1DInterpolator, PchipInterpolator

from bench.analysis import _bjontegaard_batch
from bench.analysis import bjontegaard as bd
from bench.analysis.bjontegaard import Curve, compare
from bench.analysis.over_images import compare_over_images

ANCHOR = Curve((0.12, 0.25, 0.5, 0.8, 1.3, 2.0), (27.1, 29.6, 32.7, 34.9, 37.6, 40.3))


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


def images(count, seed, factor=1.0, gain=0.0, spread=1.0):
    """Return {name: curve}: photographs of different difficulty under one codec."""
    draw = np.random.default_rng(seed)
    curves = {}
    for k in range(count):
        difficulty = 2 ** draw.normal(0, 0.5 * spread)
        rate = factor * difficulty * np.geomspace(0.1, 2, 8)
        own = draw.normal(0, spread)
        quality = 38 + own + gain * draw.uniform(0.5, 1.5) + 5 * np.log2(np.geomspace(0.1, 2, 8))
        curves[f"image {k:02d}"] = Curve(tuple(rate), tuple(quality))
    return curves


def mean_curve(curves):
    """Return the curve of mean rate and mean quality."""
    return Curve(
        tuple(np.mean([c.rate for c in curves], axis=0)),
        tuple(np.mean([c.quality for c in curves], axis=0)),
    )


@pytest.mark.parametrize("method", bd.METHODS)
def test_headline_is_of_the_mean_curves(method):
    """The delta over images is the package's delta of the mean curves."""
    anchor, test = images(24, 1), images(24, 2, 0.9, 0.5)
    delta = compare_over_images(anchor, test, method)
    wanted = package(mean_curve(anchor.values()), mean_curve(test.values()), method)

    assert wanted == pytest.approx((delta.bd_rate_percent, delta.bd_quality), abs=1e-9)
    assert delta.images == 24


def test_bootstrap_equals_the_package():
    """Every resample's BD-rate is the package's, to 1e-9."""
    stacks, named = [], []
    for seed, factor in ((3, 1.0), (4, 0.85)):
        curves = list(images(7, seed, factor).values())
        named.append(curves)
        stacks.append(
            _bjontegaard_batch.Stack(
                np.array([c.rate for c in curves]), np.array([c.quality for c in curves])
            )
        )
    found = _bjontegaard_batch.resampled_rates(*stacks, resamples=50, seed=9, form=np.copy)
    draws = np.random.default_rng(9).multinomial(7, np.full(7, 1 / 7), 50)
    for draw, rate in zip(draws, found, strict=True):
        means = [mean_curve(np.repeat(np.array(curves, object), draw)) for curves in named]

        assert package(*means, "pchip")[0] == pytest.approx(rate, abs=1e-9)


def test_each_image_equals_the_package():
    """The per-image deltas, computed all at once, are the package's to 1e-9."""
    anchor, test = images(24, 5), images(24, 6, 1.1)
    delta = compare_over_images(anchor, test)
    wanted = {name: package(anchor[name], test[name], "pchip") for name in anchor}

    assert list(anchor) == list(delta.per_image)
    for name, own in delta.per_image.items():
        assert wanted[name] == pytest.approx((own.bd_rate_percent, own.bd_quality), abs=1e-9)
        assert compare(anchor[name], test[name]).overlap_percent == own.overlap_percent
    rates = [rate for rate, _ in wanted.values()]
    assert np.median(rates) == pytest.approx(delta.median_percent)
    assert max(rates) == pytest.approx(delta.worst[1])
    assert max(wanted, key=lambda name: wanted[name][0]) == delta.worst[0]


@given(st.data())
def test_akima_equals_scipy(data):
    """interval_means by akima is SciPy's integral, straight stretches included."""
    points = data.draw(st.integers(4, 9))
    steps = st.lists(st.floats(0.01, 10), min_size=points, max_size=points)
    heights = st.lists(st.integers(-3, 3), min_size=points, max_size=points)
    x = np.cumsum(data.draw(steps))
    y = np.array(data.draw(heights), float)
    low, high = x[0] + np.array([0.1, 0.8]) * (x[-1] - x[0])
    wanted = Akima1DInterpolator(x, y).integrate(low, high) / (high - low)
    ends = np.array([low]), np.array([high])
    found = _bjontegaard_batch.interval_means(x[None], y[None], *ends, "akima")

    assert wanted == pytest.approx(found[0], abs=1e-9)


@pytest.mark.parametrize("method", bd.METHODS)
@pytest.mark.parametrize("seed", range(8))
def test_every_method_equals_the_package(method, seed):
    """On curves of four to nine points with uneven steps, to 1e-9."""
    draw = np.random.default_rng(seed)
    pair = []
    for _ in range(2):
        count = int(draw.integers(4, 10))
        rate = np.cumsum(draw.uniform(0.05, 0.6, count))
        quality = 25 + np.cumsum(draw.uniform(0.3, 4, count))
        pair.append(Curve(tuple(rate), tuple(quality)))
    delta = compare(*pair, method)

    if delta.bd_rate_percent is not None:
        rate, gain = package(*pair, method)
        assert rate == pytest.approx(delta.bd_rate_percent, rel=1e-9, abs=1e-9)
        assert delta.bd_quality is None or gain == pytest.approx(delta.bd_quality, abs=1e-9)


@given(st.data())
def test_means_of_interpolants(data):
    """interval_means is SciPy's pchip integral for any data, zigzags and plateaus included."""
    points = data.draw(st.integers(3, 9))
    steps = st.lists(st.floats(0.01, 10), min_size=points, max_size=points)
    heights = st.lists(st.integers(-3, 3), min_size=points, max_size=points)
    x = np.cumsum(data.draw(steps))
    y = np.array(data.draw(heights), float)
    low, high = np.sort([data.draw(st.floats(0, 1)) for _ in range(2)]) * (x[-1] - x[0]) + x[0]
    high = min(max(high, low + 1e-3 * (x[-1] - x[0])), x[-1])
    low = min(low, high - 1e-3 * (x[-1] - x[0]))
    wanted = PchipInterpolator(x, y).integrate(low, high) / (high - low)
    found = _bjontegaard_batch.interval_means(x[None], y[None], np.array([low]), np.array([high]))

    assert wanted == pytest.approx(found[0], abs=1e-9)


def test_interval():
    """The interval holds the headline, is the same every time, and narrows with more images."""
    few = compare_over_images(images(8, 7), images(8, 8, 0.9, 0.5))
    many = compare_over_images(images(64, 7), images(64, 8, 0.9, 0.5))
    for delta in (few, many):
        assert delta.ci_low < delta.bd_rate_percent < delta.ci_high
    assert many.ci_high - many.ci_low < few.ci_high - few.ci_low
    assert few == compare_over_images(images(8, 7), images(8, 8, 0.9, 0.5))
    reordered = dict(reversed(images(8, 7).items()))
    assert few == compare_over_images(reordered, images(8, 8, 0.9, 0.5))


def test_interval_covers_the_truth():
    """Of sixty experiments the 95 % interval misses the true delta in a few, not in many."""
    truth = 100 * (2 ** (-0.5 / 5) - 1)  # half a decibel at 5 dB per doubling of the rate
    missed = 0
    for seed in range(60):
        anchor = images(24, seed)
        noise = np.random.default_rng(seed).normal(0.5, 0.3, 24)
        test = {
            name: Curve(curve.rate, tuple(q + own for q in curve.quality))
            for (name, curve), own in zip(anchor.items(), noise, strict=True)
        }
        delta = compare_over_images(anchor, test)
        missed += not delta.ci_low <= truth <= delta.ci_high

    assert missed <= 9
    assert missed > 0  # an interval that never misses is too wide


def test_identical_codecs_over_images():
    """A codec against itself: 0 everywhere, with an interval of [0, 0]."""
    curves = images(12, 9)
    delta = compare_over_images(curves, curves)

    assert (0, 0, 0, 0) == (delta.bd_rate_percent, delta.bd_quality, delta.ci_low, delta.ci_high)
    assert (0, 0) == (delta.median_percent, delta.worst[1])


def test_a_shift_over_images():
    """Ten percent fewer bits on every image: -10 %, for each image and for every resample."""
    anchor = images(12, 10)
    delta = compare_over_images(anchor, {n: scaled(c, 0.9) for n, c in anchor.items()})

    assert [-10] * 5 == pytest.approx(
        [delta.bd_rate_percent, delta.ci_low, delta.ci_high, delta.median_percent, delta.worst[1]]
    )


def test_only_common_images():
    """Images of one codec only, or with points missing, are left out and named."""
    anchor, test = images(12, 11), images(12, 12)
    wanted = compare_over_images(
        {n: c for n, c in anchor.items() if n not in ("image 00", "image 03", "image 04")}, test
    )
    del test["image 00"]
    test["image 03"] = Curve(test["image 03"].rate[1:], test["image 03"].quality[1:])
    anchor["image 04"] = Curve(anchor["image 04"].rate, (math.nan, *anchor["image 04"].quality[1:]))
    delta = compare_over_images(anchor, test)

    assert delta.images == 9
    assert wanted.bd_rate_percent == delta.bd_rate_percent
    assert delta.note == (
        "1 image(s) left out, of one codec only: image 00; "
        "2 image(s) left out, a value missing or infinite: image 03, image 04"
    )


def test_no_common_image():
    """Without a common image there is no delta."""
    delta = compare_over_images({"a": ANCHOR}, {"b": ANCHOR})

    assert refused(delta) == "no image has both curves"
    assert delta.images == 0
    assert delta.median_percent is None
    assert delta.worst is None


def test_few_images_have_no_interval():
    """Under five images a bootstrap means little: there is no interval, and a note."""
    delta = compare_over_images(images(4, 13), images(4, 14))

    assert delta.bd_rate_percent is not None
    assert (None, None) == (delta.ci_low, delta.ci_high)
    assert "no interval: 4 image(s), 5 needed" in delta.note


def test_infinite_on_one_image():
    """An image on which one setting is lossless is left out; the setting stays."""
    anchor, test = images(8, 15), images(8, 16)
    test["image 02"] = replace(test["image 02"], quality=(*test["image 02"].quality[:-1], math.inf))
    delta = compare_over_images(anchor, test)
    del anchor["image 02"], test["image 02"]

    assert compare_over_images(anchor, test).bd_rate_percent == delta.bd_rate_percent
    assert delta.note == "1 image(s) left out, a value missing or infinite: image 02"


def test_decibels_are_of_the_mean():
    """Curves of MS-SSIM are averaged as they come, then made decibels; so is each resample."""
    anchor, test = (
        {
            name: Curve(c.rate, tuple(1 - 10 ** (-q / 40) for q in c.quality))
            for name, c in images(12, seed).items()
        }
        for seed in (5, 6)
    )

    def decibels(values):
        return -10 * np.log10(1 - values)

    def means(curves):
        mean = mean_curve(list(curves.values()))
        return Curve(mean.rate, tuple(decibels(np.array(mean.quality))))

    delta = compare_over_images(anchor, test, decibels=decibels)

    wanted = compare(means(anchor), means(test)).bd_rate_percent
    assert wanted == pytest.approx(delta.bd_rate_percent, abs=1e-9)
    assert delta.ci_low < delta.bd_rate_percent < delta.ci_high
    own = [
        Curve(c["image 03"].rate, tuple(decibels(np.array(c["image 03"].quality))))
        for c in (anchor, test)
    ]
    assert delta.per_image["image 03"].bd_rate_percent == pytest.approx(
        compare(*own).bd_rate_percent, abs=1e-9
    )


def test_lossless_setting_over_images():
    """A setting that is lossless on every image is left out alone."""
    anchor, test = images(8, 15), images(8, 16)
    cut = {n: Curve(c.rate[:-1], c.quality[:-1]) for n, c in test.items()}
    test = {n: replace(c, quality=(*c.quality[:-1], math.inf)) for n, c in test.items()}
    delta = compare_over_images(anchor, test)

    assert compare_over_images(anchor, cut).bd_rate_percent == delta.bd_rate_percent
    assert delta.note == "1 lossless point(s) of test left out"
    assert delta.ci_low < delta.ci_high
    assert len(delta.image_rates) == 8


def test_one_bad_image_costs_itself():
    """An image whose own curve is not monotone has no delta of its own; the mean still has."""
    anchor, test = images(12, 17), images(12, 18)
    quality = list(test["image 05"].quality)
    quality[3] = quality[2] - 0.5
    test["image 05"] = replace(test["image 05"], quality=tuple(quality))
    delta = compare_over_images(anchor, test)

    assert delta.bd_rate_percent is not None
    assert "does not improve" in refused(delta.per_image["image 05"])
    assert len(delta.image_rates) == 11


def test_fragile_mean_has_no_interval():
    """Where resampling often breaks the mean curve, no interval is made up from the rest."""
    anchor = images(12, 19)
    test = {}
    for k, (name, curve) in enumerate(anchor.items()):
        quality = list(curve.quality)
        quality[4] = quality[3] + (8.0 if k == 0 else -0.5)
        quality[5:] = [q + 8 for q in quality[5:]]
        test[name] = Curve(curve.rate, tuple(quality))
    delta = compare_over_images(anchor, test)

    assert delta.bd_rate_percent is not None
    assert (None, None) == (delta.ci_low, delta.ci_high)
    assert "resamples not computable" in delta.note


def test_lower_is_better_over_images():
    """LPIPS over images: direction, interval and spread are right."""
    anchor = {
        name: Curve(c.rate, tuple(2 ** (-q / 10) for q in c.quality))
        for name, c in images(12, 20).items()
    }
    test = {name: scaled(curve, 0.75) for name, curve in anchor.items()}
    delta = compare_over_images(anchor, test, higher_is_better=False)

    assert [-25] * 4 == pytest.approx(
        [delta.bd_rate_percent, delta.ci_low, delta.ci_high, delta.median_percent]
    )
    assert delta.bd_quality < 0
    assert all(own.bd_quality < 0 for own in delta.per_image.values())


def test_no_resamples():
    """The interval can be left out."""
    delta = compare_over_images(images(12, 21), images(12, 22), resamples=0)

    assert (None, None) == (delta.ci_low, delta.ci_high)
    assert delta.note == ""
