"""The columns of results that hold qualities: whose they are, their titles, units and directions.

Everything here comes from the classes of the metrics; no metric is created, so that a table can be
made where a metric cannot be computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.errors import UsageError, one_line
from bench.metrics import Metric, basic_names, discover
from bench.metrics.class_checks import MOST_DIGITS

if TYPE_CHECKING:  # every worker process imports this file, and no worker needs pandas
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Column:
    """A column that holds a metric's values or their form in decibels.

    Attributes
    ----------
    column
        Its name in ``rows.csv`` and ``summary.csv``.
    words, short, unit
        What tables and what sentences call it; its unit, empty where there is none.
    digits
        Decimals to show.
    higher_is_better
        The direction.
    definition
        One sentence; may be empty.
    metric, family
        Name of the metric; its family, or the name again.
    source
        The column that holds the values which means are taken of: of a form in decibels, that of
        the metric itself.
    decibels
        Value -> decibels where this is a form in decibels, else None.
    limits
        The least and the largest value.
    smallest_px
        The shortest side for which it is defined, in pixels.
    """

    column: str
    words: str
    short: str
    unit: str
    digits: int
    higher_is_better: bool
    definition: str
    metric: str
    family: str
    source: str
    decibels: Callable[[float], float] | None
    limits: tuple[float, float]
    smallest_px: int

    @property
    def title(self) -> str:
        """Name and unit, for axes and heads of tables."""
        return f"{self.words} ({self.unit})" if self.unit else self.words

    @property
    def better(self) -> str:
        """``higher`` or ``lower``."""
        return "higher" if self.higher_is_better else "lower"

    @property
    def exact(self) -> float:
        """The value of an exact copy: the limit at the better end."""
        return self.limits[1] if self.higher_is_better else self.limits[0]

    def of_means(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return means of ``source`` in this column's form; NaN stays NaN."""
        array = np.asarray(values, dtype=np.float64)
        if (form := self.decibels) is None:
            return array
        flat = [_applied(form, float(value)) for value in array.ravel()]
        return np.array(flat, dtype=np.float64).reshape(array.shape)


def _applied(form: Callable[[float], float], value: float) -> float:
    """Return ``form(value)``, NaN where it is not defined."""
    try:
        return math.nan if math.isnan(value) else float(form(value))
    except (ArithmeticError, ValueError):
        return math.nan


def _columns_of(cls: type[Metric]) -> list[Column]:
    plain = Column(
        cls.column,
        cls.title,
        cls.short or cls.title,
        cls.unit,
        cls.digits,
        cls.higher_is_better,
        cls.definition,
        cls.name,
        cls.family or cls.name,
        cls.column,
        None,
        cls.limits,
        cls.smallest_px,
    )
    if (form := cls.decibels) is None:
        return [plain]
    ends = [_applied(form.of, value) for value in cls.limits]
    decibels = replace(
        plain,
        column=form.column,
        words=form.title,
        short=cls.short or form.title,
        unit="dB",
        digits=form.digits,
        higher_is_better=True,
        definition=form.definition,
        decibels=form.of,
        limits=(min(ends), max(ends)),
    )
    return [plain, decibels]


_recorded: dict[str, Column] = {}


def about(name: str) -> dict[str, Any]:
    """Return what a record of results must say of a metric that may not be there to be asked.

    Empty for the suite's own. A form in decibels is a program, which no record holds.
    """
    item = discover()[name]
    if item.cls is None or item.source.startswith("metrics/"):
        return {}
    found = asdict(replace(_columns_of(item.cls)[0], decibels=None))
    found["limits"] = [end if math.isfinite(end) else None for end in item.cls.limits]
    return {key: found[key] for key in RECORDED}


RECORDED: Mapping[str, type] = {
    **dict.fromkeys(("words", "short", "unit", "definition"), str),
    **dict.fromkeys(("digits", "smallest_px"), int),
    "higher_is_better": bool,
    "limits": list,
}
"""What a record says of a stranger's column, and as what."""


def learn(name: str, column: str, recorded: Mapping[str, Any]) -> None:
    """Take what a record says of a metric's column, unless that metric is installed here.

    Raises
    ------
    UsageError
        If it cannot be, or says something else than another record did.
    """
    if any(item.cls is not None and item.cls.column == column for item in discover().values()):
        return
    low, high = recorded["limits"] if len(recorded["limits"]) == 2 else (1.0, 0.0)
    ends = (-math.inf if low is None else low, math.inf if high is None else high)
    texts = [column, *(recorded[key] for key in ("words", "short", "unit", "definition"))]
    numbers = all(isinstance(end, int | float) for end in ends) and ends[0] < ends[1]
    printable = all(one_line(text) == text for text in texts) and recorded["words"]
    if not (numbers and printable and 0 <= recorded["digits"] <= MOST_DIGITS):
        raise UsageError(f"the metric {one_line(name, 80)!r} of these results cannot be one")
    facts = {key: recorded[key] for key in RECORDED} | {"limits": ends}
    found = Column(column=column, metric=name, family=name, source=column, decibels=None, **facts)
    if _recorded.setdefault(column, found) != found:
        raise UsageError(
            f"two results mean different metrics by {column!r}", "Look at them one at a time."
        )


def known() -> dict[str, Column]:
    """Return every quality column by name, in the order of tables.

    Those of installed metrics first, then those that results brought with them.
    """
    own = _own(tuple(item.cls for item in discover().values() if item.cls is not None))
    return own | {name: column for name, column in _recorded.items() if name not in own}


@cache
def _own(classes: tuple[type[Metric], ...]) -> dict[str, Column]:
    return {column.column: column for cls in classes for column in _columns_of(cls)}


def column(name: str) -> Column:
    """Return what is known of a quality column.

    Raises
    ------
    UsageError
        If no metric that is installed here has it.
    """
    found = known()
    if name not in found:
        raise UsageError(
            f"no metric has the column {name!r}",
            f"Known: {', '.join(found)}; a file or command is named by --metric.",
        )
    return found[name]


def drawn_form(form: Column) -> Column:
    """Return the form that curves of a column's metric are drawn in: decibels where it has them."""
    return next((c for c in known().values() if c.decibels and c.source == form.source), form)


def metric_columns(frame: pd.DataFrame) -> list[str]:
    """Return the columns of ``frame`` that hold a metric's own values, empty ones too."""
    return [n for n, c in known().items() if c.decibels is None and n in frame.columns]


def file_columns(frame: pd.DataFrame) -> list[str]:
    """Return the columns of metrics that a file of results has.

    Those are the ones that ``frame`` has, and those that every default run can have, so that the
    files of different runs have the same first columns.
    """
    basic = basic_names()
    own = {c.column for c in known().values() if c.metric in basic and c.decibels is None}
    return [name for name in known() if name in own.union(metric_columns(frame))]


def quality_columns(frame: pd.DataFrame) -> list[str]:
    """Return the quality columns of ``frame`` that hold at least one value."""
    return [name for name in known() if name in frame.columns and frame[name].notna().any()]


def curve_columns(frame: pd.DataFrame) -> list[str]:
    """Return the columns that curves are drawn in, of the metrics that ``frame`` has values of.

    Of a metric with a form in decibels that is the decibels, whether ``frame`` has them (means) or
    not (rows).
    """
    found = known()
    present = {found[name].source for name in quality_columns(frame)}
    return [name for name, c in found.items() if c.source in present and drawn_form(c) == c]
