"""The scores that the gate judges: one column of a baseline per metric, all taken one way up."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from bench.errors import UsageError
from bench.metrics import basic_names, columns
from bench.metrics.columns import Column

DEFAULT_METRICS = tuple(basic_names())
"""What a new baseline holds unless ``--metric`` says otherwise."""

NOISE = 1e-5
"""What scores of the very same pixels may differ by: filters run in float32."""


@dataclass(frozen=True, slots=True)
class Score:
    """What the gate must know of one column of scores.

    Attributes
    ----------
    column, metric
        Name of the column, and of the metric that fills it.
    title
        For tables and sentences, without the unit.
    digits
        Digits after the point, as the gate shows them: of values that crowd near their best,
        one more than elsewhere.
    higher_is_better
        The direction.
    smallest_px
        Shortest side of an image for which the metric is defined.
    to_db
        Value -> decibels, where the metric has such a form.
    in_db
        Whether values are decibels already.
    limits
        The least and the largest value.
    """

    column: str
    metric: str
    title: str
    digits: int
    higher_is_better: bool = True
    smallest_px: int = 1
    to_db: Callable[[float], float] | None = None
    in_db: bool = False
    limits: tuple[float, float] = (-math.inf, math.inf)

    @property
    def unit(self) -> str:
        """The unit of ``quality``, with a space ahead; empty where it has none."""
        return " dB" if self.in_db or self.to_db else ""

    @property
    def tolerance(self) -> float:
        """What a codec may lose where no tolerance is given: one unit of the last digit shown."""
        return float(10.0**-self.digits)

    def quality(self, value: float) -> float:
        """Return ``value`` so that more is better, in dB where the metric has decibels."""
        if self.to_db is not None:
            return self.to_db(value)
        return value if self.higher_is_better else -value

    def fault(self, value: float) -> str:
        """Return why ``value`` cannot be a score of this metric; empty where it can."""
        worst = -math.inf if self.higher_is_better else math.inf
        if math.isnan(value) or value == worst:
            return "not a number"
        low, high = self.limits
        if not low <= value <= high:
            return f"{value:g}, outside {low:g} to {high:g}"
        return ""


def _of_column(form: Column) -> Score:
    decibels = next(
        (c.decibels for c in columns.known().values() if c.decibels and c.source == form.column),
        None,
    )
    return Score(
        form.column,
        form.metric,
        form.short,
        form.digits + (decibels is not None),
        form.higher_is_better,
        form.smallest_px,
        decibels,
        form.unit == "dB",
        form.limits,
    )


def of(column: str) -> Score:
    """Return what is known of a column.

    Raises
    ------
    UsageError
        If no metric fills a column of that name.
    """
    form = columns.column(column)
    return _of_column(columns.column(form.source))


def of_metric(metric: str) -> Score:
    """Return what is known of the column that a metric fills.

    Raises
    ------
    UsageError
        If there is no such metric.
    """
    for form in columns.known().values():
        if form.metric == metric:
            return of(form.column)
    raise UsageError(f"unknown metric {metric!r}")
