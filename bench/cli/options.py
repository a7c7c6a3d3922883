"""Options that several commands share, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import completion

DEVELOPERS = "For developers"
"""Panel of the options and commands that measuring and looking at results do not need."""

Out = Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder of the results.")]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", metavar="FOLDER", help="Folder of datasets that is searched first."),
]
DatasetNames = Annotated[
    list[str] | None,
    typer.Option(
        "--dataset",
        "-d",
        metavar="NAME",
        autocompletion=completion.datasets,
        help="Measure this dataset of `bench list`, or folder:PATH. Repeat it for more. "
        "Default: Kodak and the CLIC sets that are complete here.",
    ),
]
CodecNames = Annotated[
    list[str] | None,
    typer.Option(
        "--codec",
        "-c",
        metavar="NAME",
        autocompletion=completion.codecs,
        help="Measure this codec: NAME, NAME:OPTION=VALUE,..., FILE.py:Class, FILE.toml or "
        "compressai:arch=ARCH,weights=FILES. Repeat it for more. Default: those that `bench list` "
        "marks.",
    ),
]
MetricNames = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        "-m",
        metavar="NAME",
        autocompletion=completion.metrics,
        help="Compute this metric: NAME, FILE.py:Class or cmd:NAME=PROGRAM {reference} {decoded}. "
        "Repeat it for more. Default: all of the default run that can be computed here.",
    ),
]
ImageNames = Annotated[
    list[str] | None,
    typer.Option(
        "--image",
        metavar="NAME",
        help="Measure only the image of this name. Repeat it for more.",
    ),
]
Qualities = Annotated[
    str | None,
    typer.Option(
        "--quality",
        "-q",
        metavar="5,15,...",
        help="Measure these values of each codec's own rate parameter instead of its ladder.",
    ),
]
Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        "-t",
        metavar="METRIC=70,80",
        help="Search for the setting of each codec and image that comes nearest to these values "
        "of a metric, or to these bpp, instead of measuring its ladder.",
    ),
]
Jobs = Annotated[
    int,
    typer.Option(
        "--jobs",
        "-j",
        metavar="N",
        min=0,
        help="Number of processes that measure; 0 is one for each core.",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="cpu|cuda",
        help="Where codecs run that can choose.",
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        min=0.1,
        rich_help_panel=DEVELOPERS,
        help="Time that one image may take with one codec and setting before it fails.",
    ),
]
Download = Annotated[
    bool,
    typer.Option(
        "--download/--offline",
        help="Look for missing datasets and weights on the web, or use only what is here.",
    ),
]
Anchor = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        autocompletion=completion.codecs,
        help="Compute BD-rates against this codec. Default: bpg, else jpeg.",
    ),
]
References = Annotated[
    list[str] | None,
    typer.Option(
        "--reference",
        metavar="NAME",
        autocompletion=completion.references,
        help="Show this published curve, reported and not measured: names of `bench list "
        "--references`, separated by commas, or a file of CompressAI's JSON form. Repeat it for "
        "more.",
    ),
]


def check_folders(**options: Path | str | None) -> None:
    """Refuse folders to read from that are not there: option -> folder, ``folder:`` before it."""
    from bench.errors import UsageError

    for name, value in options.items():
        folder = str(value or "").removeprefix("folder:")
        if folder and not Path(folder).expanduser().is_dir():
            raise UsageError(
                f"--{name.replace('_', '-')}: there is no folder {folder}", "Check the path."
            )


def targets(
    texts: list[str] | None, points: int | None = None, quality: str | None = None
) -> list[str] | None:
    """Return what ``--target`` says, which excludes other choices of settings."""
    from bench.errors import UsageError

    if texts and (points is not None or quality is not None):
        raise UsageError("--target excludes --points and --quality", "Give one of them.")
    return texts


def numbers(text: str | None) -> list[float] | None:
    """Read ``5,15,25``."""
    from bench.errors import UsageError

    if text is None:
        return None
    try:
        found = [float(word) for word in text.split(",") if word.strip()]
    except ValueError:
        found = []
    if not found:
        raise UsageError(
            f"--quality wants numbers, found {text!r}", "Write them like --quality 5,15,25."
        )
    return found
