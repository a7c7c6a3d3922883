"""``bench all``: plan, measure, store, write."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import (
    DEVELOPERS,
    Anchor,
    CodecNames,
    DataDir,
    DatasetNames,
    Device,
    Download,
    ImageNames,
    Jobs,
    MetricNames,
    Out,
    Qualities,
    References,
    Targets,
    Timeout,
    numbers,
    targets,
)

if TYPE_CHECKING:
    from bench.measurement.experiment import Experiment
    from bench.measurement.head_start import HeadStart
    from bench.measurement.plan import Plan


def all_(  # noqa: PLR0913, PLR0917 - one parameter an option
    ctx: typer.Context,
    experiment: Annotated[
        Path | None,
        typer.Argument(
            metavar="[EXPERIMENT.toml]",
            help="Measure what this file says, such as experiment.toml of another run; options "
            "replace what they name.",
            show_default=False,
        ),
    ] = None,
    dataset: DatasetNames = None,
    codec: CodecNames = None,
    metric: MetricNames = None,
    image: ImageNames = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Measure four settings of each codec, enough for BD-rates, on six images of one "
            "dataset, and no slow curves or variants.",
        ),
    ] = False,
    points: Annotated[
        int | None,
        typer.Option(
            "--points",
            metavar="N",
            help="Measure this many settings of each ladder, spread evenly. Default: all.",
        ),
    ] = None,
    quality: Qualities = None,
    target: Targets = None,
    out: Out = Path("results/run"),
    anchor: Anchor = None,
    reference: References = None,
    page: Annotated[
        bool, typer.Option("--report", help="Write the page of `bench report` as well.")
    ] = False,
    jobs: Jobs = 0,
    device: Device = "cpu",
    data_dir: DataDir = None,
    download: Download = True,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", help="Print only failures and warnings about the numbers."),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            rich_help_panel=DEVELOPERS,
            help="Print one JSON document on standard output, everything else on standard error.",
        ),
    ] = False,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed",
            rich_help_panel=DEVELOPERS,
            help="Measure again what failed in an earlier run.",
        ),
    ] = False,
    timeout: Timeout = 1800.0,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            rich_help_panel=DEVELOPERS,
            help="Measure on the Dask cluster of this scheduler instead of in local processes.",
        ),
    ] = None,
) -> None:
    """Measure every codec on every image and write rows, tables and plots.

    Only what is missing is measured: run the same command again to continue.
    """
    ahead = _start_worker(ctx, jobs, timeout) if experiment is None and not scheduler else None
    from bench.codec.imports import without_collector

    with without_collector():
        from bench.analysis.published_names import references
        from bench.cli import outcome
        from bench.cli.screen import Screen
        from bench.measurement.executor import local_pool
        from bench.measurement.provenance import cpu_count
        from bench.measurement.run import run
        from bench.output.write import prepare, write

    asked = _asked(
        experiment,
        {name for name in ctx.params if _typed(ctx, name)},
        datasets=dataset,
        codecs=codec,
        metrics=metric,
        images=image,
        points=points,
        quality=numbers(quality),
        targets=targets(target, points, quality),
        data_dir=data_dir,
        out=str(out),
        device=device,
        anchor=anchor,
        references=reference,
        report=page or None,
    )
    folder = Path(asked.out or out)
    published = references(asked.references)
    screen = Screen(
        check=lambda plan: _check_anchor(plan, asked.anchor),
        write=lambda results: write(
            results, anchor=asked.anchor, references=published, plots=asked.plots
        ),
        prepare=lambda: prepare(plots=asked.plots),
        jobs=jobs or cpu_count(),
        quiet=quiet,
    )
    try:
        with screen:
            results = run(
                **{**asked.arguments(), "out": folder},
                quick=quick,
                jobs=jobs,
                scheduler=scheduler,
                download=download,
                retry_failed=retry_failed,
                timeout_s=timeout,
                progress=screen,
                make_executor=ahead.make_executor if ahead else local_pool,
            )
    except KeyboardInterrupt:
        screen.console.print(
            "interrupted; what was measured is stored: run the same command again to continue"
        )
        raise typer.Exit(130) from None
    outcome.show(
        screen, results, folder, published, as_json=as_json, quiet=quiet, page=asked.report
    )
    if asked.report:
        _page(folder, asked, quiet=quiet)


def _start_worker(ctx: typer.Context, jobs: int, timeout_s: float) -> HeadStart | None:
    """Start a worker where there surely is something to measure: no run has used the folder.

    Where that fails, measuring will say why, if there is something to measure.
    """
    with contextlib.suppress(OSError):
        if not (ctx.params["out"] / "bench.sqlite").exists():
            from bench.measurement.head_start import HeadStart
            from bench.measurement.provenance import ask_ahead, cpu_count

            ahead = HeadStart(jobs or cpu_count(), timeout_s)
            ctx.call_on_close(ahead.stop)
            ask_ahead()
            return ahead
    return None


def _typed(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _asked(path: Path | None, typed: Collection[str], **options: Any) -> Experiment:  # noqa: ANN401
    """Return what to measure: of a file, with the options that were typed in place of its own."""
    from bench.measurement.experiment import Experiment, load_experiment

    found = Experiment() if path is None else load_experiment(path)
    own = {k: v for k, v in options.items() if k in typed or k not in ("out", "device")}
    return found.overridden(**own)


def _page(folder: Path, asked: Experiment, *, quiet: bool) -> None:
    """Write the page of a run, and say where on standard error."""
    from rich.console import Console

    from bench.cli.report import write_page
    from bench.cli.working import console
    from bench.report import Options

    screen = Console(stderr=True, quiet=True) if quiet else console()
    data_dir = None if asked.data_dir is None else Path(asked.data_dir)
    options = Options(anchor=asked.anchor, data_dir=data_dir, references=asked.references)
    write_page(folder, folder / "report.html", options, screen)
    screen.print(f"page: {folder / 'report.html'}", markup=False)


def _check_anchor(plan: Plan, anchor: str | None) -> None:
    """Refuse an anchor that will not be among the results, before anything is measured."""
    from bench import registry
    from bench.analysis.summary import pick_anchor
    from bench.errors import UsageError, suggest

    apart = {name for names in plan.families.values() for name in names}
    names = [registry.spec_name(c.codec, s) for c in plan.curves for s in c.settings[:1]]
    names = [name for name in names if name not in apart] or names
    if anchor and pick_anchor(names, anchor) not in names:
        raise UsageError(
            f"--anchor {anchor} is not among the codecs of this run", suggest(anchor, names)
        )
