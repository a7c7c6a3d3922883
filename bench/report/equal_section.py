"""Bits at equal quality, of a run that searched, with what ``bench match`` adds to it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup

from bench.analysis.at_targets import at_targets, is_rate
from bench.analysis.common_images import natural
from bench.errors import OutputError
from bench.measurement.results import read_csv
from bench.measurement.rows import records
from bench.metrics.columns import column
from bench.output import match, targets
from bench.output.labels import short_names
from bench.output.table_formats import number
from bench.report.dataset_view import Context
from bench.report.family_section import sortable
from bench.report.html import render
from bench.report.rate_matching import target_of
from bench.report.verdicts import change, words

_KEY = ["dataset", "target", "codec"]


def of_rows(rows: pd.DataFrame, anchor: str | None, folder: Path) -> pd.DataFrame:
    """Return ``at_targets`` of one dataset, or what ``bench match`` wrote where it is of its rows.

    Empty where nothing was searched.

    Parameters
    ----------
    rows, anchor
        As of ``at_targets``.
    folder
        Of the results, where ``bench match`` wrote its table.
    """
    found = at_targets(rows, anchor)
    mine = None if found.empty else _matched(found, folder)
    return found if mine is None else mine


def section(context: Context) -> Markup:
    """Return the tables of one dataset; empty where nothing was searched."""
    found = context.equal
    if found.empty:
        return Markup("")
    if not _is_match(found):
        stem = f"targets-{context.name}"
        names = short_names(context.rows)
        tables = [targets.table(found, names, title=context.name, stem=stem, notes=())]
        lines = []
    else:
        groups = found.groupby("target", sort=False)
        tables = [
            match.table(g, title=context.name, stem=f"match-{context.name}") for _, g in groups
        ]
        lines = [*match.remarks(found), *match.lines(found)]
    return render("equal.html", lines=lines, tables=[sortable(table) for table in tables])


def headline(context: Context) -> str:
    """Return the answer at each target, with marks for the codecs; empty: nothing was searched."""
    told = []
    if len(context.equal):
        groups = context.equal.groupby("target", sort=False)
        told = [part for name, one in groups for part in _sentences(context, str(name), one)]
    names = context.means["setting"].map(target_of)
    for target in sorted({name for name in names if is_rate(name)}, key=natural):
        told += _at_rate(context, target, context.means[names == target])
    return " ".join(told)


def _at_rate(context: Context, target: str, means: pd.DataFrame) -> Iterator[str]:
    """Yield who is best at one rate by each metric, with the rates that the files have."""
    for metric in context.metrics if len(means) > 1 else ():
        about = column(metric)
        known = means[means[metric].notna()]
        lines = records(known.sort_values(metric, ascending=not about.higher_is_better))
        shown = [
            f"{context.marks[str(line['codec'])]} {number(float(line[metric]), about.digits)} at "
            f"{number(float(line['bpp']), 3)} bpp"
            for line in lines
        ]
        yield f"At {target}, by {words(metric)}: {', '.join(shown)}."


def _sentences(context: Context, target: str, group: pd.DataFrame) -> Iterator[str]:
    entries = records(group)
    names = {match.AS_IS: "the files as they are", **context.marks}
    base = str(entries[0]["anchor"])
    if _is_match(group) and base != match.AS_IS:
        yield f"{match.equation(entries)}."
    reached = [
        line
        for line in entries
        if math.isfinite(float(line["bytes"])) and line["codec"] in {*context.looks, base}
    ]
    if len(reached) < 2:
        yield f"At {target} nothing can be compared: fewer than two codecs reach it on one image."
        return
    best, other = reached[0], reached[1]
    if best["codec"] != base:
        other = best
    text = f"{names[str(best['codec'])]} needs the fewest bits"
    if best["codec"] == match.AS_IS:
        text = "no codec needs fewer bits than the files as they are"
    if math.isfinite(percent := float(other["bytes_percent"])):
        more = change(percent)
        if other is best:
            text += f", {more.removesuffix(' bits')} than {names[base]}"
        else:
            text += f"; {names[str(other['codec'])]} needs {more} than {names[base]}"
    if float(other.get("low", math.nan)) <= 0 <= float(other.get("high", math.nan)):
        text += ", but the 95 % interval over images includes no difference: not settled"
    yield f"At {target}, {text} ({best['images']:.0f} of {best['of']:.0f} images)."


def _is_match(found: pd.DataFrame) -> bool:
    return "saved_bytes" in found


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
