"""The Pareto line of a plot: what nothing else beats in both directions."""

from __future__ import annotations

from collections.abc import Iterable

from matplotlib.axes import Axes

from bench.output.sheet import GREY

Point = tuple[float, float]


def front(points: Iterable[Point]) -> list[Point]:
    """Return the points that no other one equals or beats in both numbers, by the first.

    Smaller is better in both.

    >>> front([(1, 9), (2, 9), (3, 4), (4, 5)])
    [(1, 9), (3, 4)]
    """
    kept: list[Point] = []
    for point in sorted(set(points)):
        if not kept or point[1] < kept[-1][1]:
            kept.append(point)
    return kept


def draw(axes: Axes, points: Iterable[Point]) -> None:
    """Join the points of a front by a thin line beneath everything else."""
    x, y = zip(*points, strict=True)
    axes.plot(x, y, color=GREY, linewidth=0.6, linestyle=(0, (1, 2)), zorder=1)
