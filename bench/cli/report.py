"""``bench report``: stored results as one offline HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import Anchor, DataDir, Out, References, check_folders

if TYPE_CHECKING:
    from rich.console import Console

    from bench.report import Options


def report(  # noqa: PLR0913, PLR0917 - one parameter an option
    out: Out = Path("results/run"),
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="The page. Default: report.html in --out."),
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(
            "--image",
            metavar="NAME",
            help="Show this image in the viewer. Repeat it for more. Default: a telling few.",
        ),
    ] = None,
    rates: Annotated[
        str | None,
        typer.Option(
            "--rates",
            metavar="0.3,0.15,...",
            help="Rates of the viewer in bpp, the most important first. Default: 0.3,0.15,0.6,1; "
            "of a run that searched, its targets.",
        ),
    ] = None,
    exact_rates: Annotated[
        bool,
        typer.Option(
            "--exact-rates",
            help="Encode pictures of just these rates, which takes longer, instead of showing the "
            "nearest that were measured.",
        ),
    ] = False,
    budget_mb: Annotated[
        float,
        typer.Option(
            "--budget-mb",
            metavar="NUMBER",
            min=1.0,
            help="Size of the page, in megabytes, that pictures fill up to.",
        ),
    ] = 24.0,
    title: Annotated[
        str,
        typer.Option(
            "--title", metavar="TEXT", help="Title of the page. Default: codecs and datasets."
        ),
    ] = "",
    reference: References = None,
    codec: Annotated[
        list[str] | None,
        typer.Option(
            "--codec",
            "-c",
            metavar="NAME",
            help="Decode with this codec of a file, named as in the run: FILE.py:Class, FILE.toml "
            "or compressai:... Repeat it for more. Codecs that `bench list` shows need no name.",
        ),
    ] = None,
    data_dir: DataDir = None,
    pictures: Annotated[
        list[str] | None,
        typer.Option(
            "--pictures",
            metavar="FOLDER",
            help="Take original images from this folder, for results of another user: only folders "
            "of your own runs are opened unasked. Repeat it for more.",
        ),
    ] = None,
    anchor: Anchor = None,
    encode_again: Annotated[
        bool,
        typer.Option(
            "--encode-again",
            help="Where compressed files are not stored, encode slow codecs again as well.",
        ),
    ] = False,
) -> None:
    """Write one HTML page of stored results that works offline: curves, pictures, tables."""
    from bench import registry
    from bench.cli.working import console
    from bench.report import Options

    for word in codec or []:
        registry.create(registry.Spec.typed(word).name)
    check_folders(data_dir=data_dir)
    for place in pictures or []:
        check_folders(pictures=place)
    options = Options(
        images=image or [],
        rates=_rates(rates),
        exact_rates=exact_rates,
        budget_mb=budget_mb,
        anchor=anchor,
        title=title,
        data_dir=data_dir,
        pictures=pictures or [],
        references=reference or [],
        encode_again=encode_again,
    )
    typer.echo(write_page(out, html or out / "report.html", options, console()))


def write_page(out: Path, html: Path, options: Options, screen: Console) -> Path:
    """Write the page of the results in ``out``, say what it holds, and return where it lies."""
    from bench.cli.working import Working
    from bench.report import write

    with Working("page", screen) as work:
        done = write(out, html, options, work.update)
    for reason in done.left_out:
        screen.print(f"left out: {reason}", style="yellow", markup=False)
    again = f"; {done.encoded} files encoded again, all equal" if done.encoded else ""
    screen.print(
        f"{done.size_bytes / 1e6:.1f} MB, {done.pictures} pictures, {done.time_s:.0f} s{again}"
    )
    return done.path


def _rates(text: str | None) -> list[float]:
    """Read ``0.15,0.3``."""
    from bench.errors import UsageError

    try:
        found = [float(word) for word in (text or "").split(",") if word.strip()]
    except ValueError:
        found = [-1.0]
    if any(not 0 < rate < 100 for rate in found):
        raise UsageError(
            f"--rates wants bits per pixel, found {text!r}", "Write them like --rates 0.15,0.3."
        )
    return found
