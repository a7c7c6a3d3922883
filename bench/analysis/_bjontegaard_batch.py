"""The one computation of Bjontegaard deltas, for many pairs of curves at once.

The same numbers as the package ``bjontegaard`` gives (tested to 1e-9 for each method), in one pass
over arrays where a bootstrap would call it thousands of times. The interpolants are SciPy's
``PchipInterpolator`` (F. N. Fritsch and J. Butland, "A method for constructing local monotone
piecewise cubic interpolants", SIAM J. Sci. Stat. Comput. 5, 1984, with three-point end slopes) and
``Akima1DInterpolator`` (H. Akima, "A new method of interpolation and smooth curve fitting based on
local procedures", J. ACM 17, 1970), and one cubic polynomial fitted to all points, which is
Bjontegaard's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
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


def deltas(anchor: Stack, test: Stack, method: str = "pchip") -> tuple[Floats, Floats, Floats]:
    """Return the deltas of each pair of rows.

    Parameters
    ----------
    anchor, test
        Equal numbers of rows; at least 4 points; rates and qualities strictly increase along rows.
    method
        ``pchip``, ``akima`` or ``cubic``.

    Returns
    -------
    bd_rate_percent, bd_quality, overlap_percent
        Shape (curves,) each. The overlap is of the quality ranges; deltas are NaN where the ranges
        that they are means over overlap by less than ``MIN_OVERLAP_PERCENT``.
    """
    anchor_log, test_log = np.log10(anchor.rate), np.log10(test.rate)
    rates, overlap = _mean_gap(anchor.quality, anchor_log, test.quality, test_log, method)
    gains, _ = _mean_gap(anchor_log, anchor.quality, test_log, test.quality, method)
    return 100 * (10**rates - 1), gains, overlap


def resampled_rates(
    anchor: Stack, test: Stack, resamples: int, seed: int, form: Callable[[Floats], Floats]
) -> Floats:
    """Return the BD-rate in percent of the mean curves of bootstrap resamples of the rows.

    Parameters
    ----------
    anchor, test
        One row per image, the same images in both; one column per setting.
    resamples, seed
        How many draws, from which generator.
    form
        Mean quality -> quality of the mean curve, larger being better.

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
        rate, quality = draws @ stack.rate / images, form(draws @ stack.quality / images)
        order = np.argsort(rate, axis=1, kind="stable")
        rate, quality = (np.take_along_axis(part, order, axis=1) for part in (rate, quality))
        fits &= (np.diff(rate) > 0).all(axis=1) & (np.diff(quality) > 0).all(axis=1)
        means.append(Stack(rate, quality))
    result = np.full(resamples, np.nan)
    anchors, tests = (Stack(mean.rate[fits], mean.quality[fits]) for mean in means)
    result[fits] = deltas(anchors, tests)[0]
    return result


def _mean_gap(ax: Floats, ay: Floats, tx: Floats, ty: Floats, method: str) -> tuple[Floats, Floats]:
    """Return the mean of test y minus anchor y over the shared x range, and its overlap in %."""
    overlap = overlaps_percent(ax, tx)
    fits = overlap >= MIN_OVERLAP_PERCENT
    low = np.maximum(ax[:, 0], tx[:, 0])[fits]
    high = np.minimum(ax[:, -1], tx[:, -1])[fits]
    gap = np.full(len(overlap), np.nan)
    gap[fits] = interval_means(tx[fits], ty[fits], low, high, method)
    gap[fits] -= interval_means(ax[fits], ay[fits], low, high, method)
    return gap, overlap


def interval_means(
    x: Floats, y: Floats, low: Floats, high: Floats, method: str = "pchip"
) -> Floats:
    """Return the mean of each curve's interpolant over its own interval.

    Parameters
    ----------
    x, y
        Shape (curves, points) with at least 3 points; each row of ``x`` strictly increases.
    low, high
        Shape (curves,); low < high, both inside the range of the row of ``x``.
    method
        ``pchip``, ``akima`` or ``cubic``.

    Returns
    -------
    ndarray
        Shape (curves,).
    """
    if method == "cubic":
        return _cubic_means(x, y, low, high)
    step = np.diff(x)
    slope = np.diff(y) / step
    knot = _pchip_slopes(step, slope) if method == "pchip" else _akima_slopes(slope)
    left, right = knot[:, :-1], knot[:, 1:]
    second = (3 * slope - 2 * left - right) / step
    third = (left + right - 2 * slope) / step**2

    def antiderivative(at: Floats) -> Floats:
        t = np.clip(at[:, None] - x[:, :-1], 0, step)
        area = t * (y[:, :-1] + t * (left / 2 + t * (second / 3 + t * third / 4)))
        return np.asarray(area.sum(axis=1))

    return (antiderivative(high) - antiderivative(low)) / (high - low)


def _cubic_means(x: Floats, y: Floats, low: Floats, high: Floats) -> Floats:
    """Return the mean of the cubic polynomial of least squares over each curve's interval."""
    areas = [np.polyint(np.polyfit(xs, ys, 3)) for xs, ys in zip(x, y, strict=True)]
    ends = zip(areas, low, high, strict=True)
    gaps = [np.polyval(area, stop) - np.polyval(area, start) for area, start, stop in ends]
    return np.asarray(gaps, dtype=np.float64) / (high - low)


def _akima_slopes(slope: Floats) -> Floats:
    """Return derivatives at the points: means weighted by the change of slope on the other side."""
    before = 2 * slope[:, :1] - slope[:, 1:2]
    after = 2 * slope[:, -1:] - slope[:, -2:-1]
    first, last = 2 * before - slope[:, :1], 2 * after - slope[:, -1:]
    m = np.concatenate([first, before, slope, after, last], axis=1)
    change = abs(np.diff(m))
    left, right = change[:, :-2], change[:, 2:]
    total = left + right
    fits = total > 1e-9 * total.max(axis=1, keepdims=True)
    share = np.divide(left, total, out=np.zeros_like(total), where=fits)
    inner = m[:, 1:-2] + share * (m[:, 2:-1] - m[:, 1:-2])
    return np.where(fits, inner, (m[:, 3:] + m[:, :-3]) / 2)


def _pchip_slopes(step: Floats, slope: Floats) -> Floats:
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
