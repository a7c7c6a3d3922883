"""``bench compare``: results beside other results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def compare(
    first: Annotated[Path, typer.Argument(metavar="FIRST", help="Folder of results.")],
    second: Annotated[Path, typer.Argument(metavar="SECOND", help="Folder of later results.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document with every cell that differs.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write an offline page as well."),
    ] = None,
) -> None:
    """Show what changed from one run to another: sizes, scores, BD-rates, versions.

    Exit code 0: nothing changed; 1: something did; 2: they could not be compared. `bench check`
    judges whether a change is for the worse.
    """
    from bench.analysis.run_changes import changes
    from bench.files import check_writable
    from bench.measurement.results import load_results
    from bench.output import run_changes

    if html is not None:
        check_writable(html)
    runs = [load_results(folder) for folder in (first, second)]
    records = [run.record for run in runs]
    found = changes(runs[0].every_row, runs[1].every_row, *records)
    names = [str(first), str(second)]
    if html is not None:
        from bench.report import changes_page

        changes_page.write(html, found, records, names)
    if as_json:
        typer.echo(json.dumps(run_changes.document(found, names), indent=1, allow_nan=False))
    else:
        typer.echo(run_changes.headline(found))
        for table in run_changes.tables(found, records, names):
            typer.echo(f"\n{table.markdown()}", nl=False)
    raise typer.Exit(int(found.any))
