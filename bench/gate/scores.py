"""The scores that the gate judges: one column of a baseline per metric, all taken one way up."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from bench.errors import UsageError

DEFAULT_METRICS = ("psnr", "ms_ssim")
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
        Digits after the point, as tables show them.
    higher_is_better
        The direction.
    smallest_px
        Shortest side of an image for which the metric is defined.
    to_db
        Value -> decibels, where the metric has such a form.
    in_db
        Whether values are decibels already.
    """

    column: str
    metric: str
    title: str
    digits: int
    higher_is_better: bool = True
    smallest_px: int = 1
    to_db: Callable[[float], float] | None = None
    in_db: bool = False

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
        if math.isnan(value) or value == -math.inf:
            return "not a number"
        if self.to_db is not None and not 0 <= value <= 1:
            return f"{value:g}, outside 0 to 1"
        return ""


def _ms_ssim_db(value: float) -> float:
    return math.inf if value >= 1 else -10 * math.log10(1 - value)


_KNOWN = {
    score.column: score
    for score in (
        Score("psnr_db", "psnr", "PSNR", 2, in_db=True),
        Score("ms_ssim", "ms_ssim", "MS-SSIM", 5, smallest_px=161, to_db=_ms_ssim_db),
        Score("lpips_alex", "lpips_alex", "LPIPS (alex)", 4, higher_is_better=False),
        Score("lpips_squeeze", "lpips_squeeze", "LPIPS (squeeze)", 4, higher_is_better=False),
    )
}


def of(column: str) -> Score:
    """Return what is known of a column.

    Raises
    ------
    UsageError
        If no metric fills a column of that name.
    """
    if column not in _KNOWN:
        raise UsageError(
            f"no metric has the column {column!r}", f"Known: {', '.join(sorted(_KNOWN))}."
        )
    return _KNOWN[column]


def of_metric(metric: str) -> Score:
    """Return what is known of the column that a metric fills.

    Raises
    ------
    UsageError
        If there is no such metric.
    """
    for score in _KNOWN.values():
        if score.metric == metric:
            return score
    raise UsageError(f"unknown metric {metric!r}")
