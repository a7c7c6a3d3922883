"""``bench compare``, ``merge`` and ``import``: results beside other results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import Anchor, DataDir, MetricNames, References, check_folders

if TYPE_CHECKING:
    from bench.analysis.published_curves import Reference
    from bench.measurement.results import Results


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


def merge(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER...", help="Folders of results, at least two.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="A new folder for the result.")
    ],
    prefer_first: Annotated[
        bool,
        typer.Option(
            "--prefer-first",
            help="Where the runs contradict each other, keep what the first folder has and record "
            "what was left out. Default: refuse.",
        ),
    ] = False,
    anchor: Anchor = None,
    reference: References = None,
) -> None:
    """Make one folder of results out of several, of several machines for example.

    The folders are only read. Results of `bench throughput` belong to one machine each and stay
    where they are.
    """
    from bench.analysis.published_names import references
    from bench.measurement.merge import merge as merged

    published = references(reference or [])
    _written(merged(folders, out, prefer_first=prefer_first), out, anchor, published)
    for folder in folders:
        if any((folder / name).exists() for name in ("throughput", "throughput.json")):
            typer.echo(f"{folder}: its throughput belongs to that machine and stays there")


def _written(
    results: Results, out: Path, anchor: str | None, references: Sequence[Reference]
) -> None:
    """Write tables and plots, and say what there is now."""
    from bench.output.reported_rates import undrawn
    from bench.output.write import write

    write(results, anchor=anchor, references=references)
    for line in results.remarks:
        typer.echo(line)
    for line in undrawn(results.rows, references):
        typer.echo(f"bench: {line}", err=True)
    rows = results.every_row
    codecs = ", ".join(sorted(str(name) for name in rows["codec"].unique()))
    typer.echo(f"{len(rows)} cells of {', '.join(results.datasets)}: {codecs}")
    typer.echo(f"results: {out}/summary.csv, {out}/tables/, {out}/plots/")


def import_(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="A CSV or JSON file, a folder of them, or a folder of compressed files with "
            "decoded pictures.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FOLDER", help="A new folder, or one of imports."),
    ],
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset",
            "-d",
            metavar="NAME",
            help="The originals: a dataset of `bench list`, or folder:PATH. Default: as the files "
            "say.",
        ),
    ] = "",
    name: Annotated[
        str,
        typer.Option(metavar="NAME", help="What to call the codec. Default: as the files say."),
    ] = "",
    metric: MetricNames = None,
    data_dir: DataDir = None,
    anchor: Anchor = None,
) -> None:
    """Take over results of others, marked as imported wherever they are shown.

    Sizes and scores of decoded pictures are measured here, from the originals. Numbers of a file
    are taken as they are. `bench merge` puts them beside your own.
    """
    from bench.cli.working import Working, console
    from bench.measurement.imports import import_results

    check_folders(data_dir=data_dir, dataset=dataset if dataset.startswith("folder:") else None)
    with Working("import", console()) as work:
        results = import_results(
            path,
            out,
            dataset=dataset,
            name=name,
            metrics=metric or [],
            data_dir=data_dir,
            progress=work.update,
        )
    _written(results, out, anchor, ())
