"""What ``bench all`` says at its end: two tables for people, or one JSON document for programs."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

    from bench.analysis.published_curves import Reference
    from bench.cli.screen import Screen
    from bench.measurement.plan import Plan
    from bench.measurement.results import Results


def show(
    screen: Screen,
    results: Results,
    out: Path,
    references: Sequence[Reference] = (),
    *,
    as_json: bool,
    quiet: bool,
    page: bool = False,
) -> None:
    """Print the end of a run; where the page is written next, nobody is told to do it.

    Raises
    ------
    CodecError
        If every cell failed.
    """
    from bench.errors import CodecError
    from bench.measurement.results import missed_targets

    plan = screen.plan
    assert plan is not None
    failed = int((results.every_row["error"] != "").sum())
    if not quiet:
        now = len(plan.cells) - plan.stored - plan.failed_before
        screen.console.print(
            f"{len(plan.cells)} cells: {now} measured now, {plan.stored} stored before"
            + (f", [red]{failed} failed (column error of rows.csv)[/]" if failed else "")
        )
    if failed == len(plan.cells):
        raise CodecError(
            f"nothing was measured: all {failed} cells failed",
            f"{out / 'rows.csv'} says why; --retry-failed measures them again.",
        )
    if references:
        from bench.output.reported_rates import undrawn

        for line in undrawn(results.rows, references):
            screen.console.print(line, style="yellow", markup=False)
    if as_json:
        told = document(plan, results, out, references)
        typer.echo(json.dumps(told, indent=1, allow_nan=False))
    elif not quiet:
        _tables(results, out, references)
    for line in missed_targets(results.every_row):
        screen.console.print(line, style="yellow", markup=False)
    if not quiet:
        screen.console.print(
            f"results: {out}/summary.csv, {out}/tables/, {out}/plots/"
            + ("" if page else f"\nnext: bench report --out {shlex.quote(str(out))}"),
            markup=False,
        )


def _tables(results: Results, out: Path, references: Sequence[Reference]) -> None:
    from bench.measurement.results import read_csv
    from bench.output import headline, reported_rates, targets

    deltas = read_csv(out / "bd_rate.csv")
    path = out / f"{targets.STEM}.csv"
    searched = "target_bpp" in results.rows and path.is_file()
    for line in targets.lines(read_csv(path)) if searched else ():
        typer.echo(line)
    for name in () if searched else results.datasets:
        for line in headline.lines(deltas, name, results.rows):
            typer.echo(line)
    for line in reported_rates.words(reported_rates.rates(results.rows, references)):
        typer.echo(line)


def document(
    plan: Plan, results: Results, out: Path, references: Sequence[Reference] = ()
) -> dict[str, Any]:
    """Return the JSON document of a run; ``docs/use.md`` explains its keys."""
    from bench.measurement.results import read_csv
    from bench.output import reported_rates

    deltas = read_csv(out / "bd_rate.csv")
    return {
        "out": str(out),
        "datasets": {name: int(about.nunique()) for name, about in _images(results)},
        "cells": {
            "planned": len(plan.cells),
            "measured": len(plan.cells) - plan.stored - plan.failed_before,
            "stored": plan.stored,
            "failed": int((results.every_row["error"] != "").sum()),
        },
        "means": _records(results.summary()),
        "bd_rates": _records(deltas[deltas["method"] == "pchip"].drop(columns="method")),
        "bd_rates_reported": _records(reported_rates.rates(results.rows, references)),
        "failures": _records(results.failures()),
        "unavailable": [{"name": n, "reason": reason} for n, reason in results.unavailable],
        "remarks": results.remarks,
        "files": [str(path) for path in sorted(out.glob("*.csv"))],
    }


def _images(results: Results) -> list[tuple[str, pd.Series]]:
    return [(str(name), images) for name, images in results.rows.groupby("dataset")["image"]]


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the lines of a frame for JSON, which has no infinity (a text) and no NaN (null)."""
    return [
        {str(key): _plain(value) for key, value in line.items()}
        for line in frame.to_dict("records")
    ]


def _plain(value: Any) -> Any:  # noqa: ANN401 - of any column
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value.item() if hasattr(value, "item") else value
