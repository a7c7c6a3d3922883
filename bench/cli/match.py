"""``bench match``: what photographs cost in other formats at the quality of one."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import DataDir, Device, Download, ImageNames, Jobs, Timeout

DEFAULT_CODECS = ("webp", "avif", "jxl", "heic")


def match(  # noqa: PLR0913, PLR0917 - one parameter an option
    dataset: Annotated[
        list[str],
        typer.Argument(metavar="DATASET", help="A dataset of `bench list`, or folder:PATH."),
    ],
    anchor: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="CODEC",
            help="What you have: a codec with its quality, jpeg:quality=80, or as-is, the files "
            "themselves. Default: as-is where all files are JPEG, else jpeg:quality=80.",
        ),
    ] = None,
    codec: Annotated[
        list[str] | None,
        typer.Option(
            "--codec",
            "-c",
            metavar="NAME",
            help="Match it with this codec. Repeat it for more. Default: those of webp, avif, jxl "
            "and heic that are available.",
        ),
    ] = None,
    metric: Annotated[
        str,
        typer.Option("--metric", "-m", metavar="NAME", help="What is to be equal."),
    ] = "ssimulacra2",
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            "-t",
            metavar="METRIC=VALUE",
            help="With as-is: how near to the files. Default: ssimulacra2=90.",
        ),
    ] = None,
    image: ImageNames = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder of the results.")
    ] = Path("results/match"),
    jobs: Jobs = 0,
    device: Device = "cpu",
    data_dir: DataDir = None,
    download: Download = True,
    timeout: Timeout = 1800.0,
) -> None:
    """Say what photographs need in other formats at equal quality.

    "JPEG quality 80 = AVIF quality 64 at equal SSIMULACRA2", and what that saves.
    """
    from bench.cli.screen import Screen
    from bench.cli.working import Working
    from bench.dataset.open import open_all
    from bench.measurement import matching
    from bench.measurement.provenance import cpu_count
    from bench.output import match as output
    from bench.output.write import write

    opened = open_all(dataset, data_dir, download=download, images=image or [])
    words = codec or _available()
    base = matching.choose_anchor(opened, anchor)
    aim = matching.choose_target(base, metric, target)
    how = {"out": out, "jobs": jobs, "device": device, "timeout_s": timeout, "download": download}
    jobs = jobs or cpu_count()
    screen = Screen(jobs=jobs, write=write)
    try:
        with screen:
            results = matching.match(opened, words, base, aim, progress=screen, **how)
    except KeyboardInterrupt:
        screen.console.print("interrupted; what was measured is stored: run it again to continue")
        raise typer.Exit(130) from None
    with Working("encoding times", screen.console):
        found = matching.answer(results, opened, base, device)
    written = output.write(found, out)
    for line in [*results.remarks, *output.remarks(found)]:
        screen.console.print(line, style="yellow", markup=False)
    for line in output.lines(found):
        typer.echo(line)
    screen.console.print(f"results: {', '.join(map(str, written))}", markup=False)
    screen.console.print(f"next: bench report --out {shlex.quote(str(out))}", markup=False)


def _available() -> list[str]:
    """Return the usual formats that can be written here."""
    from bench import registry
    from bench.errors import Unavailable, UsageError

    found = []
    for name in DEFAULT_CODECS:
        try:
            registry.create(name)
        except (Unavailable, UsageError):
            continue
        found.append(name)
    return found
