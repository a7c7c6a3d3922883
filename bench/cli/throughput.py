"""``bench throughput``: the speed of every codec, alone on the machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import (
    DEVELOPERS,
    CodecNames,
    DataDir,
    DatasetNames,
    Device,
    Download,
    ImageNames,
    Qualities,
)

if TYPE_CHECKING:
    from rich.console import Console

    from bench.dataset.open import Dataset
    from bench.measurement.plan import Curve
    from bench.throughput.options import Options

_DEFAULTS = {"cpu": ("1", 8), "cuda": ("1,4,8,24", 24)}
"""Device -> batches and number of images where nothing is said."""


def throughput(  # noqa: PLR0913, PLR0917 - one parameter an option
    dataset: DatasetNames = None,
    codec: CodecNames = None,
    image: ImageNames = None,
    images: Annotated[
        int | None,
        typer.Option(
            "--images",
            metavar="N",
            min=1,
            help="Take at most this many images of each dataset. Default: 8, on a GPU 24.",
        ),
    ] = None,
    points: Annotated[
        int | None,
        typer.Option(
            "--points",
            metavar="N",
            help="Measure this many settings of each ladder. Default: the middle one.",
        ),
    ] = None,
    quality: Qualities = None,
    device: Device = "cpu",
    batch: Annotated[
        str | None,
        typer.Option(
            metavar="1,4,...",
            help="Numbers of images per call, for codecs that code several at once. Default: 1, on "
            "a GPU 1,4,8,24.",
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Arithmetic of networks: float32, bfloat16 or fastest. Default: the codec's own "
            "choice.",
        ),
    ] = None,
    threads: Annotated[
        str,
        typer.Option(
            metavar="1,all,...",
            help="Numbers of cores: threads of a network, processes of any other codec.",
        ),
    ] = "1,all",
    repeats: Annotated[
        int | None,
        typer.Option(
            "--repeats",
            metavar="N",
            min=1,
            rich_help_panel=DEVELOPERS,
            help="Number of timed passes. Default: 5 to 50, for about 10 s.",
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder of the results.")
    ] = Path("results/throughput"),
    results: Annotated[
        Path | None,
        typer.Option(
            "--results",
            "-r",
            metavar="FOLDER",
            help="Plot speed against the BD-rates of this folder of `bench all`. Without --codec, "
            "its codecs are measured.",
        ),
    ] = None,
    data_dir: DataDir = None,
    download: Download = True,
    allow_busy: Annotated[
        bool,
        typer.Option(
            "--allow-busy",
            rich_help_panel=DEVELOPERS,
            help="Measure on a busy machine as well, and flag every number.",
        ),
    ] = False,
) -> None:
    """Measure the speed of every codec, phase by phase, alone on the machine."""
    from bench.cli.options import numbers
    from bench.cli.screen import Screen
    from bench.files import check_folder
    from bench.measurement.run import open_datasets
    from bench.registry import check_device
    from bench.throughput import idle_check, options, plots

    check_device(device)
    check_folder(out)
    screen = Screen()
    console = screen.console
    default_batches, default_images = _DEFAULTS[device]
    wanted = options.Options(
        device=device,
        batches=options.batches(batch or default_batches),
        threads=options.threads(threads),
        precision=precision or "",
        repeats=repeats,
    )
    rungs = 1 if points is None and quality is None else points
    words, unknown = _words(results) if results and not codec else (codec or [], [])
    curves, unavailable = options.curves(wanted, words, rungs, numbers(quality))
    unavailable += [(name, "not known here; --codec names it as the run did") for name in unknown]
    for name, reason in unavailable:
        console.print(f"[yellow]left out: {name}: {reason}[/]")
    with screen:
        opened, _ = open_datasets(dataset or [], image or [], data_dir, screen, download=download)
    cut = [one.few(images or default_images) for one in opened]
    if results:  # refuses before anything is measured
        for one in cut:
            plots.bd_rates(results, one.display_name)
    busy = idle_check.claim(device, allow_busy=allow_busy)
    if busy:
        console.print(f"[bold yellow]MACHINE IS BUSY: {busy}; every number is flagged[/]")
    _measure(console, wanted, (cut, curves), out, results, busy=busy, unavailable=unavailable)


def _words(results: Path) -> tuple[list[str], list[str]]:
    """Return the codecs of a run that are known here, and the others."""
    from bench import registry
    from bench.errors import UsageError
    from bench.measurement.results import load_results

    measured = [str(word) for word in load_results(results).rows["codec"].unique()]
    known = [word for word in measured if registry.Spec.parse(word).name in registry.discover()]
    if not known:
        raise UsageError(
            f"{results} has no codec that is known here: {', '.join(measured)}",
            "Name codecs of files by --codec, as the run did.",
        )
    return known, [word for word in measured if word not in known]


def _measure(
    console: Console,
    options: Options,
    work: tuple[list[Dataset], list[Curve]],
    out: Path,
    results: Path | None,
    **more: Any,  # noqa: ANN401 - plain data for the record
) -> None:
    """Measure with a plain line a configuration: a bar that moves would use processor time."""
    import tempfile

    from bench.errors import UsageError
    from bench.files import make_folder
    from bench.measurement import provenance
    from bench.throughput import tables
    from bench.throughput import write as output
    from bench.throughput.measure import Request, measure

    datasets, curves = work
    with tempfile.TemporaryDirectory(prefix=".files-", dir=make_folder(out)) as folder:
        request = Request(datasets, curves, options, Path(folder), busy=more["busy"])
        result = measure(request, console.print)
    for name, reason in result.failed:
        console.print(f"[red]failed: {name}: {reason}[/]")
    if not result.rows:
        raise UsageError("nothing could be measured", "The reasons stand above.")
    record = provenance.record(
        datasets={d.display_name: d.provenance() for d in datasets},
        curves=[c.codec.label(s) for c in curves for s in c.settings],
        notes={c.codec.name: c.codec.note() for c in curves if c.codec.note()},
        options=options.plain(),
        **more,
    )
    written = output.write(result, out, record, results)
    typer.echo(tables.documents(result, record))
    console.print(f"results: {', '.join(str(path) for path in written)}")
