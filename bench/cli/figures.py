"""``bench figures``: the figures of a paper from our own measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.run import DataDir, check_folders


def figures(
    paper: Annotated[
        str, typer.Option(help="Figure set: a name, or the path of its TOML file.")
    ] = "agvae2021",
    results: Annotated[
        Path, typer.Option("--results", "-r", help="Folder that `bench all` wrote.")
    ] = Path("results/run"),
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Only this figure, by id; repeatable.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Default: figures/ in the results.")
    ] = None,
    data_dir: DataDir = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Measure again what figures measured themselves.")
    ] = False,
) -> None:
    """Make a paper's figures again: PDF, SVG, PNG, the CSV behind each, LaTeX."""
    from bench.cli.working import Working, console
    from bench.figures.build import build

    check_folders(data_dir=data_dir)
    screen = console()
    with Working(paper, screen) as work:
        built = build(
            paper,
            results,
            only=only or [],
            out=out,
            data_dir=data_dir,
            fresh=fresh,
            progress=work.update,
        )
    for path in built.written:
        typer.echo(path)
    for name, reason in built.skipped:
        screen.print(f"[yellow]left out: {name}: {reason}[/]", markup=True)
