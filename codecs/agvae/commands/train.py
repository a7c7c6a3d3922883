"""``bench train``: make the weights of one network of AG-VAE."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.console import Console

    from bench.codecs.agvae.training.run import Progress

Data = Annotated[
    list[Path] | None,
    typer.Option("--data", help="Training photographs: a tar, a folder or an image; repeatable."),
]
More = Annotated[list[Path] | None, typer.Argument(help="More of --data.", show_default=False)]
Device = Annotated[str, typer.Option(help="cuda, cpu, or auto: the GPU if there is one.")]
PauseAfter = Annotated[
    str | None,
    typer.Option(
        "--pause-after", help="Pause after this time, such as 540s; the same command continues."
    ),
]
Fuse = Annotated[
    bool,
    typer.Option("--fuse/--no-fuse", help="On a GPU: compile, and run each step as a CUDA graph."),
]
RealFiles = Annotated[
    bool,
    typer.Option(
        "--real-files/--estimate",
        help="Measure the final table from real files, or estimate it from the entropy model.",
    ),
]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Folder of datasets, searched first.")
]


def train(  # noqa: PLR0913, PLR0917 - one parameter an option
    more: More = None,
    data: Data = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File of the weights to write: NAME.safetensors."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Length of the training: 1500s or 60000steps.")
    ] = None,
    variant: Annotated[
        str, typer.Option(help="gain-asym, gain-gauss, nogain-asym or nogain-gauss.")
    ] = "gain-asym",
    level: Annotated[
        int | None, typer.Option(help="The level of a variant without gain units.")
    ] = None,
    preset: Annotated[str, typer.Option(help="Size of the network: base or small.")] = "base",
    metric: Annotated[
        str, typer.Option(help="Distortion that the network is trained for: mse or ms-ssim.")
    ] = "mse",
    init: Annotated[
        Path | None, typer.Option(help="Weights to start from: NAME.safetensors or NAME.state.")
    ] = None,
    validation: Annotated[
        list[Path] | None,
        typer.Option(help="Images for the final table; default: 16 held out of --data."),
    ] = None,
    batch: Annotated[int, typer.Option(help="Crops per step.")] = 32,
    crop: Annotated[int, typer.Option(help="Side of a crop in pixels.")] = 256,
    rate: Annotated[float, typer.Option(help="Learning rates, as a share of the full ones.")] = 1.0,
    decay: Annotated[
        float, typer.Option(help="Last share of the budget, over which the rate falls to zero.")
    ] = 0.2,
    level_power: Annotated[
        float,
        typer.Option(help="Weight of a level's loss: lambda^-power; less favours high rates."),
    ] = 0.4,
    seed: Annotated[int, typer.Option(help="Seed of weights, crops and noise.")] = 0,
    storage_bits: Annotated[
        int | None, typer.Option(help="Most bits per weight in the file, 8 to 12.")
    ] = None,
    branch: Annotated[
        bool, typer.Option("--branch", help="Store the weights as differences from --init.")
    ] = False,
    predicted_from: Annotated[
        Path | None,
        typer.Option(help="Store the integers smaller, as predicted from NAME.safetensors."),
    ] = None,
    pause_after: PauseAfter = None,
    device: Device = "auto",
    fuse: Fuse = True,
    real_files: RealFiles = True,
    check: Annotated[
        bool, typer.Option("--check", help="Only search the data for test images.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Train one network, or continue: the same command goes on where it was stopped."""
    from bench.codecs.agvae.training.options import Options
    from bench.codecs.agvae.training.schedule import Budget
    from bench.codecs.agvae.weights.checkpoints import read_manifest

    paths = paths_of(data, more)
    if predicted_from is not None:
        read_manifest(predicted_from.with_suffix(".json"))
    if check:
        _check(paths, data_dir)
        return
    options = Options(
        data=paths,
        out=_required("--out", out),
        budget=Budget.parse(_required("--budget", budget)),
        variant=variant,
        preset=preset,
        metric=metric,
        level=level,
        init=init,
        validation=tuple(validation or ()),
        batch=batch,
        crop=crop,
        rate=rate,
        decay=decay,
        level_power=level_power,
        seed=seed,
        storage_bits=storage_bits,
        branch=branch,
        predicted_from=predicted_from,
    )
    _train(
        options.with_out(options.out),
        device=device_of(device),
        pause_at_s=pause_at(pause_after),
        fuse=fuse,
        real_files=real_files,
    )


def _train(options: Any, *, real_files: bool, **session: Any) -> None:  # noqa: ANN401 - torch is lazy
    """Train with a progress bar, then say what came of it."""
    from bench.codecs.agvae.training.export_and_measure import train as run
    from bench.codecs.agvae.training.run import Session

    screen = console()
    screen.print(f"{options.name}: reading the photographs", soft_wrap=True)
    with Bar(screen, options.name) as bar:
        outcome = run(options, Session(tell=bar.show, **session), real_files=real_files)
    if not outcome.finished:
        screen.print(
            f"paused at step {outcome.step} after {outcome.elapsed_s:.0f} s; "
            f"the same command continues from {options.state}"
        )
        return
    for line in table(outcome.reached):
        typer.echo(line)
    screen.print(f"weights: {options.out}, log: {options.log}")


def table(rows: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    """Yield the rate-distortion table in columns."""
    yield f"{'level':>6} {'bpp':>8} {'PSNR dB':>8} {'MS-SSIM':>8}"
    for row in rows:
        similarity = f"{row['ms_ssim']:8.5f}" if "ms_ssim" in row else f"{'-':>8}"
        yield f"{row['level']:6g} {row['bpp']:8.4f} {row['psnr_db']:8.3f} {similarity}"


def _check(paths: tuple[Path, ...], data_dir: Path | None) -> None:
    """Compare the photographs with every test image; fail where one is among them."""
    from bench.codecs.agvae.training import contamination, matched_features, photographs

    screen = console()
    with screen.status("reading"):
        training = photographs.read(paths)
        tests = contamination.at_hand(data_dir)
    with screen.status(f"comparing {len(training.members)} photographs") as status:
        prints = [*contamination.known(), *contamination.fingerprints_of(tests)]
        verdicts = contamination.check(training, prints)
        for count in matched_features.check(training, tests, verdicts):
            status.update(f"features of test image {count} of {len(tests)}")
    typer.echo(f"{len(training.members)} training photographs against")
    for verdict in verdicts.values():
        nearest = "{} bits ({} - {})".format(*verdict.nearest) if verdict.nearest else "-"
        typer.echo(
            f"  {verdict.dataset}: of {verdict.images} images compared by pixels "
            f"{verdict.by_pixels}, by hash {verdict.by_hash}, by features {verdict.by_fragments}; "
            f"nearest {nearest}; found {len(verdict.suspects)}"
        )
        for suspect in verdict.suspects:
            typer.echo(f"    {suspect.photo} shows {suspect.image}: {suspect.reason}")
    contamination.refuse(verdicts.values())


class Bar:
    """A live line: share done, loss, mean rate and PSNR, speed, time left."""

    def __init__(self, screen: Console, name: str) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[words]}"),
            console=screen,
            refresh_per_second=2,
        )
        self._task = self._bar.add_task(name, total=1.0, words="compiling")
        self._first: tuple[float, int, float] | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, progress: Progress) -> None:
        """Draw where the run is."""
        now = (progress.elapsed_s, progress.step, progress.share)
        self._first = self._first or now
        words = [f"step {progress.step}"]
        if progress.report is not None:
            bpp, psnr_db = (_mean(v) for v in (progress.report.bpp, progress.report.psnr_db))
            words.append(f"loss {progress.report.loss:.3f}  {bpp:.3f} bpp  {psnr_db:.2f} dB")
        spent_s, steps, share = (b - a for a, b in zip(self._first, now, strict=True))
        if spent_s > 0 and share > 0:
            left_s = spent_s / share * (1 - progress.share)
            words.append(f"{steps / spent_s:.1f} steps/s  {_clock(left_s)} left")
        self._bar.update(self._task, completed=progress.share, words="  ".join(words))


def _mean(values: Mapping[int, float]) -> float:
    return sum(values.values()) / len(values)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def console() -> Console:
    """Return the console that progress and notes go to."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def paths_of(data: list[Path] | None, more: list[Path] | None) -> tuple[Path, ...]:
    """Return what --data and the words after it name."""
    from bench.errors import UsageError

    paths = tuple(dict.fromkeys([*(data or []), *(more or [])]))
    if not paths:
        raise UsageError("no training data", "Give tars or folders of photographs to --data.")
    return paths


def _required(option: str, value: Any) -> Any:  # noqa: ANN401 - as it came
    from bench.errors import UsageError

    if value is None:
        raise UsageError(f"{option} is missing", "See `bench train --help`.")
    return value


def pause_at(text: str | None) -> float | None:
    """Read ``540s`` and return when that will be."""
    import time

    from bench.codecs.agvae.training.schedule import Budget
    from bench.errors import UsageError

    if text is None:
        return None
    seconds = Budget.parse(text).time_s
    if seconds is None:
        raise UsageError(f"--pause-after wants seconds, found {text!r}", "Write it like 540s.")
    return time.monotonic() + seconds


def device_of(name: str) -> str:
    """Return cpu or cuda for what was typed."""
    import torch

    from bench.errors import UsageError

    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"unknown device {name!r}", "Choose cuda, cpu or auto.")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch sees no CUDA device here", "Use --device cpu.")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name
