"""``bench export``: results as Parquet files with a card, for a hub of datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import Anchor, Out


def export(
    to: Annotated[
        Path,
        typer.Option("--to", metavar="FOLDER", help="A new folder for the card and the tables."),
    ],
    out: Out = Path("results/run"),
    licence: Annotated[
        str,
        typer.Option(
            "--licence",
            metavar="ID",
            help="The licence that you give the numbers under, as the hub writes it, such as "
            "cc-by-4.0. Default: the card names none.",
        ),
    ] = "",
    anchor: Anchor = None,
) -> None:
    """Write results as Parquet files with a dataset card, a folder to upload to a hub.

    Paths of this machine and times are left out. Nothing is uploaded.
    """
    from bench.cli.screen import show_remarks
    from bench.measurement.results import load_results
    from bench.output import hub

    results = load_results(out)
    show_remarks(results, out)
    for path in hub.write_all(results, to, licence=licence, anchor=anchor):
        typer.echo(path)
