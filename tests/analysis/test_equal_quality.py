"""Rates at equal quality, where a Bjontegaard delta has too few points."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.analysis.bjontegaard import Curve
from bench.analysis.equal_quality import compare, matched_percent

IMAGES = tuple(f"i{n}" for n in range(6))


def curves(levels: list[int], factor: float = 1.0) -> dict[str, Curve]:
    """Return curves of six images whose quality is a smooth function of log-rate."""
    found = {}
    for number, image in enumerate(IMAGES):
        rates = 0.1 * 1.5 ** np.array(levels) * (1 + 0.1 * number)
        quality = 30 + 2 * np.log2(rates) - 0.3 * np.log2(rates) ** 2 * 0.1
        found[image] = Curve(tuple(factor * rates), tuple(quality))
    return found


@pytest.mark.parametrize("levels", [[1, 4, 7], [0, 2, 4, 6], list(range(8))])
@pytest.mark.parametrize("factor", [0.9, 1.0, 1.25])
def test_a_factor_is_found(levels, factor):
    """Curves that need x times the bits are told so, whichever has fewer points."""
    whole, some = curves(list(range(8))), curves(levels, factor)

    there, points = matched_percent(whole, some, IMAGES, "psnr_db")
    back, same = matched_percent(some, whole, IMAGES, "psnr_db")

    assert 100 * (factor - 1) == pytest.approx(there, abs=0.15)
    assert 100 * (1 / factor - 1) == pytest.approx(back, abs=0.15)
    assert points == same
    assert points >= len(levels) - 1


def test_only_shared_qualities_count():
    """Points beyond the other curve are left out; where none is shared there is no number."""
    low = curves([0, 1, 2])

    nothing, none = matched_percent(low, curves([5, 6]), IMAGES, "psnr_db")

    assert 2 == matched_percent(low, curves([1, 2, 3]), IMAGES, "psnr_db")[1]
    assert 1 == matched_percent(low, curves([2, 3, 4, 5]), IMAGES, "psnr_db")[1]
    assert 0 == none
    assert math.isnan(nothing)


def test_an_interval_needs_images():
    """Six images have an interval around the value, four have none."""
    anchor, test = curves([0, 1, 2, 3]), curves([0, 1, 2], 1.1)

    found = compare(anchor, test, "psnr_db")
    few = compare({k: anchor[k] for k in IMAGES[:4]}, test, "psnr_db")

    assert found.low <= found.percent <= found.high
    assert 3 == found.points == few.points
    assert math.isnan(few.low)
