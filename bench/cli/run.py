"""``bench all``: plan, measure, store, write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from bench.dataset.open import Dataset
    from bench.measurement.executor import Outcome
    from bench.measurement.plan import Plan, Request
    from bench.measurement.store import Store

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the results.")]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Folder of datasets, searched first.")
]
DatasetNames = Annotated[
    list[str] | None,
    typer.Option("--dataset", "-d", help="Name or folder:PATH; repeat for more."),
]
ImageNames = Annotated[
    list[str] | None, typer.Option("--image", help="Only images of this name; repeatable.")
]
Qualities = Annotated[
    str | None,
    typer.Option("--quality", "-q", help="5,15,...: values of the codec's own rate parameter."),
]
Device = Annotated[str, typer.Option(help="cpu or cuda, for codecs that can choose.")]
Download = Annotated[
    bool, typer.Option("--download/--offline", help="Whether to look for datasets on the web.")
]
Anchor = Annotated[
    str | None, typer.Option(help="Codec that BD-rates refer to; default bpg, else jpeg.")
]


def all_(  # noqa: PLR0913, PLR0917 - one parameter an option
    dataset: DatasetNames = None,
    codec: Annotated[
        list[str] | None,
        typer.Option(
            "--codec", "-c", help="NAME or NAME:OPTION=VALUE,... (avif:subsampling=4:2:0)."
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", "-m", help="A metric of `bench list`; repeatable."),
    ] = None,
    image: ImageNames = None,
    points: Annotated[
        int | None, typer.Option("--points", help="This many rungs of each ladder.")
    ] = None,
    quality: Qualities = None,
    quick: Annotated[bool, typer.Option("--quick", help="Three rungs a codec.")] = False,
    data_dir: DataDir = None,
    out: Out = Path("results/run"),
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=0, help="Processes; 0: one a core.")] = 0,
    device: Device = "cpu",
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler instead of local processes.")
    ] = None,
    anchor: Anchor = None,
    download: Download = True,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Measure failed cells again.")
    ] = False,
) -> None:
    """Measure every codec on every image; write rows, tables and plots. Run again to go on."""
    from bench.measurement.plan import QUICK_POINTS, Request
    from bench.measurement.store import Store

    console = _console()
    opened = _open_datasets(console, dataset or [], image or [], data_dir, download=download)
    request = Request(
        datasets=opened,
        codecs=codec or [],
        metrics=metric or [],
        points=QUICK_POINTS if quick and points is None else points,
        quality=_numbers(quality),
        device=_device(device),
    )
    try:
        with Store(out) as store:
            plan, outcome = _measure(
                console, store, request, jobs, scheduler, retry_failed=retry_failed
            )
            _write(console, store, anchor)
    except KeyboardInterrupt:
        console.print("interrupted; what was measured is stored, run again to go on")
        raise typer.Exit(130) from None
    _report(console, plan, outcome, out)


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def _say(console: Console, style: str, text: str) -> None:
    """Print words that may have brackets of their own: names of files, texts of errors."""
    console.print(text, style=style, markup=False)


def _numbers(text: str | None) -> list[float] | None:
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


def _device(device: str) -> str:
    from bench.errors import UsageError

    if device not in ("cpu", "cuda"):
        raise UsageError(f"unknown device {device!r}", "Choose cpu or cuda.")
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise UsageError("--device cuda: torch sees no CUDA device here", "Use --device cpu.")
    return device


def _open_datasets(
    console: Console,
    names: list[str],
    images: list[str],
    data_dir: Path | None,
    *,
    download: bool,
) -> list[Dataset]:
    """Open what was asked for, or what is at hand, and say what is incomplete."""
    from bench.dataset import open as datasets

    with console.status("datasets") as status:
        if names:
            messages: list[str] = []
            opened = [
                datasets.open_dataset(
                    name, data_dir, download=download, images=images, progress=status.update
                )
                for name in dict.fromkeys(names)
            ]
        else:
            opened, messages = datasets.choose_default(
                data_dir, download=download, images=images, progress=status.update
            )
    for message in messages:
        _say(console, "bold yellow", message)
    for dataset in opened:
        if dataset.note:
            _say(console, "yellow", f"{dataset.name}: {dataset.note}")
    return opened


def _measure(
    console: Console,
    store: Store,
    request: Request,
    jobs: int,
    scheduler: str | None,
    *,
    retry_failed: bool,
) -> tuple[Plan, Outcome]:
    """Plan, tell, measure with a progress bar."""
    from functools import partial

    from bench.measurement import executor, plan, provenance
    from bench.measurement.store import Encoding

    made = plan.make(request, store, retry_failed=retry_failed)
    for name, reason in made.unavailable:
        _say(console, "yellow", f"left out: {name}: {reason}")
    _tell_unreadable(console, made)
    jobs = jobs or provenance.cpu_count()
    store.start_run(
        provenance.record(
            datasets={d.display_name: d.provenance() for d in request.datasets},
            curves=[c.codec.label(c.settings[0]) for c in made.curves],
            notes={c.codec.name: c.codec.note() for c in made.curves if c.codec.note()},
            metrics=[m.name for m in made.metrics],
            unavailable=made.unavailable,
            jobs=jobs,
            threads_per_job=1,
            device=request.device,
            scheduler=bool(scheduler),
        )
    )
    store.put_cells(made.cells)
    if not made.tasks:
        return made, executor.Outcome()
    make_executor = (
        (lambda _: executor.dask_pool(scheduler)) if scheduler else partial(executor.local_pool)
    )
    with _progress(console) as bar:
        task = bar.add_task("measuring", total=len(made.cells), completed=_done(made))

        def advance(row: Encoding) -> None:
            bar.update(task, advance=1, description=row.codec)
            if row.error:
                _say(bar.console, "red", f"{row.label} {row.setting}: {row.error}")

        outcome = executor.measure(
            made.tasks, store, jobs=jobs, progress=advance, make_executor=make_executor
        )
    return made, outcome


def _tell_unreadable(console: Console, plan: Plan) -> None:
    """Name the images that cannot be read; refuse a run that has no others."""
    from bench.errors import UsageError

    broken = {(c.dataset, c.image): c.error for c in plan.cells if not c.key}
    if broken and all(not cell.key for cell in plan.cells):
        raise UsageError(f"no image can be measured: {next(iter(broken.values()))}")
    for (_, image), error in broken.items():
        _say(console, "red", f"left out: {image}: {error}")


def _done(plan: Plan) -> int:
    return len(plan.cells) - len(plan.tasks)


def _progress(console: Console):  # type: ignore[no-untyped-def] # noqa: ANN202 - rich is lazy
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description:>12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("elapsed"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )


def _write(console: Console, store: Store, anchor: str | None) -> None:
    from bench.output import write as outputs

    with console.status("tables and plots"):
        outputs.write(store, anchor=anchor)


def _report(console: Console, plan: Plan, outcome: Outcome, out: Path) -> None:
    """Say what was done in two lines; print the headline table."""
    from bench.errors import CodecError

    failed = outcome.failed + plan.failed_before
    console.print(
        f"{len(plan.cells)} cells: {outcome.measured} measured now, "
        f"{len(plan.cells) - outcome.measured - plan.failed_before} stored before"
        + (f", [red]{failed} failed (column error of rows.csv)[/]" if failed else "")
    )
    if failed == len(plan.cells):
        raise CodecError(
            f"nothing was measured: all {failed} cells failed",
            f"{out / 'rows.csv'} says why; --retry-failed measures them again.",
        )
    for line in _headline(plan, out):
        typer.echo(line)
    _say(console, "", f"results: {out}/summary.csv, {out}/tables/, {out}/plots/")


def _headline(plan: Plan, out: Path) -> list[str]:
    """Return the Bjontegaard rates of this run's datasets, as ``bd_rate.csv`` has them."""
    from bench.output import headline
    from bench.output.csv_files import read_csv

    deltas = read_csv(out / "bd_rate.csv")
    names = dict.fromkeys(cell.dataset for cell in plan.cells)
    return [line for name in names for line in headline.lines(deltas, name)]
