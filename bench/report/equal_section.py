"""Bits at equal quality, of a run that searched, with what ``bench match`` adds to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup

from bench.analysis.at_targets import at_targets
from bench.errors import OutputError
from bench.measurement.results import read_csv
from bench.output import match, targets
from bench.output.labels import short_names
from bench.report.dataset_view import Context
from bench.report.family_section import sortable
from bench.report.html import render

_KEY = ["dataset", "target", "codec"]


def section(context: Context, folder: Path) -> Markup:
    """Return the tables of one dataset; empty where nothing was searched.

    Parameters
    ----------
    context
        Of the dataset.
    folder
        Of the results, where ``bench match`` wrote its table.
    """
    found = at_targets(context.rows, context.anchor)
    if found.empty:
        return Markup("")
    mine = _matched(found, folder)
    if mine is None:
        stem = f"targets-{context.name}"
        names = short_names(context.rows)
        tables = [targets.table(found, names, title=context.name, stem=stem, notes=())]
    else:
        groups = mine.groupby("target", sort=False)
        tables = [
            match.table(g, title=context.name, stem=f"match-{context.name}") for _, g in groups
        ]
    return render(
        "equal.html",
        lines=[] if mine is None else [*match.remarks(mine), *match.lines(mine)],
        tables=[sortable(table) for table in tables],
    )


def _matched(found: pd.DataFrame, folder: Path) -> pd.DataFrame | None:
    """Return the lines of ``match.csv`` where they are of these rows, else None."""
    path = folder / f"{match.STEM}.csv"
    if not path.is_file():
        return None
    try:
        every = read_csv(path)
        mine = every[every["dataset"].isin(found["dataset"])]
        both = found[[*_KEY, "bytes"]].merge(mine[[*_KEY, "bytes"]], on=_KEY, how="left")
        equal = np.isclose(both["bytes_x"], both["bytes_y"], rtol=1e-9, equal_nan=True)
        rest = mine[~mine["codec"].isin(found["codec"])]
        complete = set(match.COLUMNS) <= set(mine.columns)
    except (OutputError, KeyError, TypeError):
        return None
    return mine if complete and equal.all() and set(rest["codec"]) <= {match.AS_IS} else None
