"""Bjontegaard deltas by pchip for many pairs of curves at once: each image, each resample.

The same numbers as the package ``bjontegaard`` gives (tested to 1e-9), in one pass over arrays
where a bootstrap would call it thousands of times. The interpolant is SciPy's
``PchipInterpolator``: F. N. Fritsch and J. Butland, "A method for constructing local monotone
piecewise cubic interpolants", SIAM J. Sci. Stat. Comput. 5, 1984, with three-point end slopes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MIN_OVERLAP_PERCENT = 10.0
"""Curves that share less of their quality (or log-rate) range are not compared."""


@dataclass(frozen=True, slots=True)
class Stack:
    """One codec's curves, a row each: rates and qualities of shape (curves, points)."""

    rate: Floats
    quality: Floats

    @classmethod
    def join(cls, stacks: Iterable[Stack]) -> Stack:
        """Return the rows of all of them."""
        rates, qualities = zip(*((stack.rate, stack.quality) for stack in stacks), strict=True)
        return cls(np.concatenate(rates), np.concatenate(qualities))


def overlaps_percent(a: Floats, b: Floats) -> Floats:
    """Return intersection over union of the ranges of rising rows, shape (curves,)."""
    shared = np.minimum(a[:, -1], b[:, -1]) - np.maximum(a[:, 0], b[:, 0])
    union = np.maximum(a[:, -1], b[:, -1]) - np.minimum(a[:, 0], b[:, 0])
    return np.asarray(100 * np.maximum(shared, 0) / union)


def deltas(anchor: Stack, test: Stack) -> tuple[Floats, Floats, Floats]:
    """Return the deltas of each pair of rows.

    Parameters
    ----------
    anchor, test
        Equal numbers of rows; at least 3 points; rates and qualities strictly increase along rows.

    Returns
    -------
    bd_rate_percent, bd_quality, overlap_percent
        Shape (curves,) each. The overlap is of the quality ranges; deltas are NaN where the ranges
        that they are means over overlap by less than ``MIN_OVERLAP_PERCENT``.
    """
    anchor_log, test_log = np.log10(anchor.rate), np.log10(test.rate)
    rates, overlap = _mean_gap(anchor.quality, anchor_log, test.quality, test_log)
    gains, _ = _mean_gap(anchor_log, anchor.quality, test_log, test.quality)
    return 100 * (10**rates - 1), gains, overlap


def resampled_rates(anchor: Stack, test: Stack, resamples: int, seed: int) -> Floats:
    """Return the BD-rate in percent of the mean curves of bootstrap resamples of the rows.

    Parameters
    ----------
    anchor, test
        One row per image, the same images in both; one column per setting; larger quality is
        better.
    resamples, seed
        How many draws, from which generator.

    Returns
    -------
    ndarray
        Shape (resamples,); NaN where a resample's mean curves cannot be compared.
    """
    images = len(anchor.rate)
    draws = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), resamples)
    fits = np.ones(resamples, dtype=bool)
    means = []
    for stack in (anchor, test):
        rate, quality = draws @ stack.rate / images, draws @ stack.quality / images
        order = np.argsort(rate, axis=1, kind="stable")
        rate, quality = (np.take_along_axis(part, order, axis=1) for part in (rate, quality))
        fits &= (np.diff(rate) > 0).all(axis=1) & (np.diff(quality) > 0).all(axis=1)
        means.append(Stack(rate, quality))
    result = np.full(resamples, np.nan)
    result[fits] = deltas(*(Stack(mean.rate[fits], mean.quality[fits]) for mean in means))[0]
    return result


def _mean_gap(ax: Floats, ay: Floats, tx: Floats, ty: Floats) -> tuple[Floats, Floats]:
    """Return the mean of test y minus anchor y over the shared x range, and its overlap in %."""
    overlap = overlaps_percent(ax, tx)
    fits = overlap >= MIN_OVERLAP_PERCENT
    low = np.maximum(ax[:, 0], tx[:, 0])[fits]
    high = np.minimum(ax[:, -1], tx[:, -1])[fits]
    gap = np.full(len(overlap), np.nan)
    gap[fits] = interval_means(tx[fits], ty[fits], low, high)
    gap[fits] -= interval_means(ax[fits], ay[fits], low, high)
    return gap, overlap


def interval_means(x: Floats, y: Floats, low: Floats, high: Floats) -> Floats:
    """Return the mean of each curve's interpolant over its own interval.

    Parameters
    ----------
    x, y
        Shape (curves, points) with at least 3 points; each row of ``x`` strictly increases.
    low, high
        Shape (curves,); low < high, both inside the range of the row of ``x``.

    Returns
    -------
    ndarray
        Shape (curves,).
    """
    step = np.diff(x)
    slope = np.diff(y) / step
    knot = _knot_slopes(step, slope)
    left, right = knot[:, :-1], knot[:, 1:]
    second = (3 * slope - 2 * left - right) / step
    third = (left + right - 2 * slope) / step**2

    def antiderivative(at: Floats) -> Floats:
        t = np.clip(at[:, None] - x[:, :-1], 0, step)
        area = t * (y[:, :-1] + t * (left / 2 + t * (second / 3 + t * third / 4)))
        return np.asarray(area.sum(axis=1))

    return (antiderivative(high) - antiderivative(low)) / (high - low)


def _knot_slopes(step: Floats, slope: Floats) -> Floats:
    """Return derivatives at the points: weighted harmonic means, 0 at a change of direction."""
    before, after = slope[:, :-1], slope[:, 1:]
    same = before * after > 0
    weight_before = 2 * step[:, 1:] + step[:, :-1]
    weight_after = step[:, 1:] + 2 * step[:, :-1]
    inverse = np.zeros_like(before)
    np.divide(weight_before, before, out=inverse, where=same)
    inverse += np.divide(weight_after, after, out=np.zeros_like(after), where=same)
    inner = np.divide(weight_before + weight_after, inverse, out=np.zeros_like(before), where=same)
    first = _end_slope(step[:, 0], step[:, 1], slope[:, 0], slope[:, 1])
    last = _end_slope(step[:, -1], step[:, -2], slope[:, -1], slope[:, -2])
    return np.column_stack([first, inner, last])


def _end_slope(step: Floats, next_step: Floats, slope: Floats, next_slope: Floats) -> Floats:
    """Return the slope of the parabola through the three outermost points, held to the shape."""
    parabola = ((2 * step + next_step) * slope - step * next_slope) / (step + next_step)
    steep = (np.sign(slope) != np.sign(next_slope)) & (abs(parabola) > 3 * abs(slope))
    held = np.where(steep, 3 * slope, parabola)
    return np.where(np.sign(parabola) == np.sign(slope), held, 0.0)
