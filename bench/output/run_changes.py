"""What changed between two runs, as tables and as plain data; see ``analysis.run_changes``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bench.analysis.run_changes import SAME, Changes, tolerance
from bench.metrics.columns import column, metric_columns
from bench.output.coverage import count_text, setting_text
from bench.output.provenance import provenance_note
from bench.output.table_formats import DOWN, Cell, Table, number

_SHOWN = 200
"""As many changed cells are listed for people; the JSON document has all."""


def headline(found: Changes) -> str:
    """Return the answer in one sentence."""
    states = found.cells["state"]
    differ = int((states != SAME).sum())
    same = count_text(int((states == SAME).sum()), "cell")
    if not found.any:
        return f"nothing changed: {same} equal"
    more = f"{differ} of {count_text(len(states), 'cell')} differ" if differ else f"{same} equal"
    return "; ".join([more, *found.remarks])


def tables(
    found: Changes, records: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> list[Table]:
    """Return the tables: by codec, BD-rates, versions, single cells; empty ones are left out.

    Parameters
    ----------
    found
        What changed.
    records, names
        Record of each run, and what to call it.
    """
    metrics = [name for name in metric_columns(found.codecs) if name in found.codecs]
    about = [f"{name}: {provenance_note(r)}" for name, r in zip(names, records, strict=True)]
    limits = [f"{column(name).words} by up to {tolerance(name):g}" for name in metrics]
    counted = f"Counted as equal: scores that differ in {', '.join(limits)}." if metrics else ""
    made = [
        _codecs(found.codecs, metrics, [*filter(None, (counted,)), *found.remarks, *about]),
        _rates(found.rates),
        _versions(found.versions, names),
        _cells(found.cells, metrics),
    ]
    return [table for table in made if table.rows]


def _texts(*words: str) -> list[Cell]:
    return [Cell(word) for word in words]


def _codecs(lines: pd.DataFrame, metrics: Sequence[str], notes: Sequence[str]) -> Table:
    rows = [
        _texts(
            str(line["dataset"]),
            str(line["codec"]),
            *(str(line[name]) for name in ("same", "changed", "removed", "added")),
            number(float(line["bpp_percent"]), 2, sign=True),
            *(number(float(line[m]), column(m).digits + 1, sign=True) for m in metrics),
        )
        for line in lines.to_dict("records")
    ]
    heads = ["Dataset", "Codec", "Same", "Changed", "Only in the first", "Only in the second"]
    return Table(
        name="changes-codecs",
        caption="Cells, and mean changes over the cells that both runs have",
        head=[*heads, f"bpp (%) {DOWN}", *(column(m).title for m in metrics)],
        align="ll" + "r" * (5 + len(metrics)),
        rows=rows,
        notes=notes,
        group=True,
    )


def _rates(lines: pd.DataFrame) -> Table:
    rows = [
        _texts(
            str(line["dataset"]),
            str(line["codec"]),
            column(str(line["metric"])).title,
            number(float(line["bd_rate_percent"]), 2, sign=True),
            interval(line),
            number(float(line["overlap_percent"]), 0),
            str(line["note"]),
        )
        for line in lines.to_dict("records")
    ]
    return Table(
        name="changes-bd-rate",
        caption="BD-rate of the second run against the first, of the codecs that changed",
        head=(
            *("Dataset", "Codec", "Metric", f"BD-rate (%) {DOWN}", "95 % interval"),
            *("overlap (%)", "Note"),
        ),
        align="lllrrrl",
        rows=rows,
        notes=["Over the images of both runs; interval: bootstrap over images."],
        group=True,
    )


def interval(line: Mapping[Any, Any]) -> str:
    """Return ``-1.20 to +0.31``; empty where there is none."""
    ends = [float(line[name]) for name in ("ci_low", "ci_high")]
    return "" if any(map(math.isnan, ends)) else " to ".join(number(e, 2, sign=True) for e in ends)


def _versions(found: Mapping[str, tuple[str, str]], names: Sequence[str]) -> Table:
    return Table(
        name="changes-versions",
        caption="Versions that differ",
        head=("What", *names),
        align="lll",
        rows=[_texts(name, one or "none", two or "none") for name, (one, two) in found.items()],
    )


def _cells(cells: pd.DataFrame, metrics: Sequence[str]) -> Table:
    changed = cells[cells["state"] != SAME]
    rows = []
    for line in changed.head(_SHOWN).to_dict("records"):
        pairs = [("bytes", 0), *((m, column(m).digits + 1) for m in metrics)]
        values = [_pair(line, name, digits) for name, digits in pairs]
        words = (str(line[k]) for k in ("dataset", "codec"))
        setting = setting_text(_setting(str(line["setting"])))
        state = f"{line['state']}: {line['why']}" if line["why"] else str(line["state"])
        rows.append(_texts(*words, setting, str(line["image"]), state, *values))
    more = len(changed) - len(rows)
    return Table(
        name="changes-cells",
        caption=f"{count_text(len(changed), 'cell')} that differ",
        head=(
            *("Dataset", "Codec", "Setting", "Image", "What"),
            *("bytes", *(column(m).title for m in metrics)),
        ),
        align="lllll" + "r" * (1 + len(metrics)),
        rows=rows,
        notes=[f"{more} more are not shown; --json has all."] if more else [],
        group=True,
    )


def _setting(text: str) -> Mapping[str, object]:
    from bench.analysis.summary import parse_setting

    return parse_setting(text)


def _pair(line: Mapping[Any, Any], name: str, digits: int) -> str:
    one, two = (number(float(line[f"{name}_{run}"]), digits) for run in ("first", "second"))
    return one if one == two else f"{one or 'none'} \u2192 {two or 'none'}"


def document(found: Changes, names: Sequence[str]) -> dict[str, Any]:
    """Return everything as plain data for JSON: no NaN, infinity as a text."""
    changed = found.cells[found.cells["state"] != SAME]
    return {
        "first": names[0],
        "second": names[1],
        "changed": found.any,
        "remarks": list(found.remarks),
        "codecs": _plain(found.codecs),
        "bd_rates": _plain(found.rates),
        "cells": _plain(changed),
        "versions": {name: {"first": a, "second": b} for name, (a, b) in found.versions.items()},
    }


def _plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): _value(v) for k, v in line.items()} for line in frame.to_dict("records")]


def _value(value: Any) -> Any:  # noqa: ANN401 - of any column
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value.item() if hasattr(value, "item") else value
