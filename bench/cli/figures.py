"""``bench figures``: the figures of a paper from our own measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import DataDir, References, check_folders


def figures(
    paper: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Set of figures: its name, or the path of its TOML file."
        ),
    ] = "agvae2021",
    results: Annotated[
        Path,
        typer.Option("--results", "-r", metavar="FOLDER", help="Folder that `bench all` wrote to."),
    ] = Path("results/run"),
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="ID",
            help="Make only the figure of this id. Repeat it for more. Default: all of the set.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="Folder of the figures. Default: figures/ in --results.",
        ),
    ] = None,
    reference: References = None,
    data_dir: DataDir = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Measure again what figures measured themselves.")
    ] = False,
) -> None:
    """Make the figures of a paper from our own measurements: PDF, SVG, PNG, CSV and LaTeX."""
    from bench.analysis.published_names import references
    from bench.cli.working import Working, console
    from bench.figures.build import build

    check_folders(data_dir=data_dir)
    published = references(reference or [])
    screen = console()
    with Working(paper, screen) as work:
        built = build(
            paper,
            results,
            only=only or [],
            out=out,
            data_dir=data_dir,
            fresh=fresh,
            references=published,
            progress=work.update,
        )
    for path in built.written:
        typer.echo(path)
    for name, reason in built.skipped:
        screen.print(f"[yellow]left out: {name}: {reason}[/]", markup=True)
