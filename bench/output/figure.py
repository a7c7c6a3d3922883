"""What a kind of figure hands back: numbers first, the drawing made from them, perhaps a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bench.errors import UsageError
from bench.output.provenance import Stamp
from bench.output.table_formats import Table

if TYPE_CHECKING:  # tables draw nothing, and need no matplotlib
    from matplotlib.figure import Figure

MEASURED = "measured"
"""Real files, decoded."""

COMPUTED = "computed"
"""From weights or measured values, by arithmetic."""

ESTIMATED = "estimated bits"
"""The entropy model's own estimate; no file was written."""

REPORTED = "reported, not measured"
"""Published by others."""

COLUMNS = ("panel", "series", "status", "x_name", "x", "y_name", "y")
"""Every drawn point is one row of these; a figure may add columns behind them."""


class Skipped(UsageError):  # noqa: N818 - a verdict, not a fault
    """A figure that cannot be made here: what is missing, and the command that makes it."""


@dataclass(frozen=True, slots=True)
class Product:
    """One finished figure or table.

    Attributes
    ----------
    data
        What is drawn or printed: the CSV behind it.
    stamp
        Where the numbers come from.
    figure
        The drawing; None where it is a table alone.
    table
        None where a table would not help.
    notes
        Sentences that belong to the caption: what was found, what was left out and why.
    """

    data: pd.DataFrame
    stamp: Stamp
    figure: Figure | None = None
    table: Table | None = None
    notes: tuple[str, ...] = field(default=())


def series(
    panel: str,
    name: str,
    status: str,
    *,
    x: tuple[str, ArrayLike],
    y: tuple[str, ArrayLike],
    **more: Iterable[object],
) -> pd.DataFrame:
    """Return the rows of one drawn series.

    Parameters
    ----------
    panel
        Key of the axes that it is drawn on.
    name
        Of the series.
    status
        ``MEASURED``, ``COMPUTED``, ``ESTIMATED`` or ``REPORTED``.
    x, y
        What the axis shows, with its unit, and the values, (N,).
    more
        Further columns, (N,) each.
    """
    columns = {
        "x_name": x[0],
        "x": np.asarray(x[1], dtype=np.float64),
        "y_name": y[0],
        "y": np.asarray(y[1], dtype=np.float64),
    }
    extra = {key: list(values) for key, values in more.items()}
    return pd.DataFrame({"panel": panel, "series": name, "status": status, **columns, **extra})


def select(data: pd.DataFrame, panel: str, name: str | None = None) -> pd.DataFrame:
    """Return the rows of a panel, or of one of its series, in their order."""
    rows = data[data["panel"] == panel]
    return rows if name is None else rows[rows["series"] == name]


def join(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return several series as one frame."""
    return pd.concat(list(frames), ignore_index=True)
