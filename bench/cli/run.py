"""``bench all``: plan, measure, store, write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bench.measurement.plan import Plan

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
Timeout = Annotated[
    float,
    typer.Option(
        min=0.1,
        help="Seconds that one cell (one image, codec and setting) may take; then it fails.",
    ),
]
Download = Annotated[
    bool, typer.Option("--download/--offline", help="Whether to look for datasets on the web.")
]
Anchor = Annotated[
    str | None, typer.Option(help="Codec that BD-rates refer to; default bpg, else jpeg.")
]
References = Annotated[
    list[Path] | None,
    typer.Option(help="Published curve (CompressAI's JSON shape), drawn dashed."),
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
    quick: Annotated[
        bool, typer.Option("--quick", help="Four rates of each codec; no slow curves and variants.")
    ] = False,
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
    timeout: Timeout = 1800.0,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", help="Print failures and warnings about the numbers only."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on standard output.")
    ] = False,
) -> None:
    """Measure every codec on every image; write rows, tables and plots. Run again to continue."""
    from bench.cli import outcome
    from bench.cli.screen import Screen
    from bench.measurement.provenance import cpu_count
    from bench.measurement.run import run
    from bench.output.write import write

    screen = Screen(
        check=lambda plan: _check_anchor(plan, anchor),
        write=lambda results: write(results, anchor=anchor),
        jobs=jobs or cpu_count(),
        quiet=quiet,
    )
    try:
        with screen:
            results = run(
                dataset or [],
                codec or [],
                metric or [],
                points=points,
                quick=quick,
                quality=numbers(quality),
                images=image or [],
                data_dir=data_dir,
                out=out,
                jobs=jobs,
                device=device,
                scheduler=scheduler,
                download=download,
                retry_failed=retry_failed,
                timeout_s=timeout,
                progress=screen,
            )
    except KeyboardInterrupt:
        screen.console.print(
            "interrupted; what was measured is stored: run the same command again to continue"
        )
        raise typer.Exit(130) from None
    outcome.show(screen, results, out, as_json=as_json, quiet=quiet)


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


def check_folders(**options: Path | str | None) -> None:
    """Refuse folders to read from that are not there: option -> folder, ``folder:`` before it."""
    from bench.errors import UsageError

    for name, value in options.items():
        folder = str(value or "").removeprefix("folder:")
        if folder and not Path(folder).expanduser().is_dir():
            raise UsageError(
                f"--{name.replace('_', '-')}: there is no folder {folder}", "Check the path."
            )


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
