"""The scores that the gate judges: one column of a baseline per metric, all taken one way up."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

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
    form
        The column: its metric, direction, limits, and the smallest image it is defined for.
    to_db
        Value -> decibels, where the metric has such a form.
    """

    form: Column
    to_db: Callable[[float], float] | None = None

    @property
    def title(self) -> str:
        """For tables and sentences, without the unit."""
        return self.form.short

    @property
    def digits(self) -> int:
        """Decimals to show: of values that crowd near their best, one more than elsewhere."""
        return self.form.digits + (self.to_db is not None)

    @property
    def in_db(self) -> bool:
        """Whether values are decibels already."""
        return self.form.unit == "dB"

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
        return value if self.form.higher_is_better else -value

    def fault(self, value: float) -> str:
        """Return why ``value`` cannot be a score of this metric; empty where it can."""
        worst = -math.inf if self.form.higher_is_better else math.inf
        if math.isnan(value) or value == worst:
            return "not a number"
        low, high = self.form.limits
        if not low <= value <= high:
            return f"{value:g}, outside {low:g} to {high:g}"
        return ""


def of(column: str) -> Score:
    """Return what is known of a column.

    Raises
    ------
    UsageError
        If no metric fills a column of that name.
    """
    form = columns.column(columns.column(column).source)
    return Score(form, columns.drawn_form(form).decibels)
