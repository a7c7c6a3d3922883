"""Axes with plain numbers: logarithmic ones, and rate axes with room for labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bench.output.label_placement import Points


def log_axis(
    axes: Axes, which: Literal["x", "y"], low: float, high: float, *, before: float, after: float
) -> None:
    """Make an axis logarithmic with plain numbers.

    Parameters
    ----------
    axes, which
        ``x`` or ``y`` of a panel.
    low, high
        Range of the values; at least a factor of two is shown.
    before, after
        Shares of the axis that stay free below and above them.
    """
    middle = (math.log10(low) + math.log10(high)) / 2
    half = max(math.log10(high / low), math.log10(2)) / 2
    whole = 2 * half / (1 - before - after)
    ends = (10 ** (middle - half - before * whole), 10 ** (middle + half + after * whole))
    axes.set(**{f"{which}scale": "log", f"{which}lim": ends})
    axis = axes.xaxis if which == "x" else axes.yaxis
    digits = (1, 2, 3, 5, 7) if whole < 0.9 else (1, 2, 5) if whole < 2.4 else (1,)
    axis.set_major_locator(FixedLocator([d * 10.0**e for e in range(-4, 6) for d in digits]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def fit_rates(axes: Axes, scale: str, curves: Sequence[Points], shares: Sequence[float]) -> None:
    """Set the limits of a rate axis so that every curve has its label's share at its end."""
    low = min(float(points[:, 0].min()) for points in curves)
    ends = [float(points[-1, 0]) for points in curves]
    free = [1 - min(share, 0.35) for share in shares]
    if scale == "linear":
        axes.set_xlim(0, max(end / part for end, part in zip(ends, free, strict=True)))
        return
    start = math.log10(low) - 0.03
    reach = [(math.log10(end) - start) / part for end, part in zip(ends, free, strict=True)]
    after = 1 - (math.log10(max(ends)) - start) / max(reach)
    log_axis(axes, "x", low, max(ends), before=0.04, after=min(after, 0.35))
