"""``bench train-all``: every network that the package ships, stage by stage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.codecs.agvae.commands.train import (
    Bar,
    Data,
    Device,
    Fuse,
    More,
    PauseAfter,
    RealFiles,
    console,
    device_of,
    paths_of,
    pause_at,
    table,
)

if TYPE_CHECKING:
    from rich.console import Console

    from bench.codecs.agvae.training.run import Progress


def train_all(  # noqa: PLR0913, PLR0917 - one parameter an option
    more: More = None,
    data: Data = None,
    work: Annotated[Path, typer.Option(help="Folder of weights, logs and states.")] = Path(
        "results/training"
    ),
    install: Annotated[
        bool, typer.Option("--install", help="Copy finished weights to where codecs look.")
    ] = False,
    install_to: Annotated[
        Path | None, typer.Option(help="Another folder than the package's own for --install.")
    ] = None,
    base_budget: Annotated[
        str | None, typer.Option(help="Budget of the default codec, such as 1300s.")
    ] = None,
    ms_ssim_budget: Annotated[str | None, typer.Option(help="Budget of its MS-SSIM twin.")] = None,
    small_steps: Annotated[int | None, typer.Option(help="Steps of the small network.")] = None,
    trunk: Annotated[
        Path | None, typer.Option(help="Weights that the ablation branches off: NAME.safetensors.")
    ] = None,
    branch_steps: Annotated[
        int | None, typer.Option(help="Steps of every branch of the ablation.")
    ] = None,
    branch_batch: Annotated[int | None, typer.Option(help="Crops per step of a branch.")] = None,
    branch_rate: Annotated[
        float | None, typer.Option(help="Learning rate of a branch, as a share of the full one.")
    ] = None,
    levels: Annotated[
        str | None, typer.Option(help="Levels of the networks without gain, such as 1,4,7.")
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(help="Weights that the default codec starts from: a file, or scratch."),
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Crops per step.")] = None,
    crop: Annotated[int | None, typer.Option(help="Side of a crop in pixels.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, crops and noise.")] = None,
    storage_bits: Annotated[
        int | None, typer.Option(help="Most bits per weight in the files, 8 to 12.")
    ] = None,
    base_rate: Annotated[
        float | None, typer.Option(help="Learning rate of the default codec, as a share.")
    ] = None,
    base_decay: Annotated[
        float | None, typer.Option(help="Last share of its budget, over which that rate falls.")
    ] = None,
    base_level_power: Annotated[
        float | None,
        typer.Option(help="--level-power of the default codec; less favours high rates."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only these stages: name or pattern; repeatable."),
    ] = None,
    pause_after: PauseAfter = None,
    device: Device = "auto",
    fuse: Fuse = True,
    real_files: RealFiles = True,
) -> None:
    """Train every network that the package ships; run again to go on."""
    from bench.codecs.agvae.training.schedule import Budget
    from bench.codecs.agvae.training.stages import Settings

    given = {
        "base_budget": base_budget and Budget.parse(base_budget),
        "ms_ssim_budget": ms_ssim_budget and Budget.parse(ms_ssim_budget),
        "small_steps": small_steps,
        "trunk": trunk,
        "branch_steps": branch_steps,
        "branch_batch": branch_batch,
        "branch_rate": branch_rate,
        "levels": levels and _levels(levels),
        "init": init and Path(init),
        "batch": batch,
        "crop": crop,
        "seed": seed,
        "storage_bits": storage_bits,
        "base_rate": base_rate,
        "base_decay": base_decay,
        "base_level_power": base_level_power,
    }
    values: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if init == "scratch":
        values["init"] = None
    settings = Settings(data=paths_of(data, more), work=work, only=tuple(only or ()), **values)
    if install or install_to is not None:
        _install(settings, install_to)
    else:
        _train_all(
            settings,
            real_files=real_files,
            device=device_of(device),
            pause_at_s=pause_at(pause_after),
            fuse=fuse,
        )


def _levels(text: str) -> tuple[int, ...]:
    from bench.errors import UsageError

    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise UsageError(
            f"--levels wants whole numbers, found {text!r}", "Write them like --levels 1,4,7."
        ) from None


def _install(settings: Any, folder: Path | None) -> None:  # noqa: ANN401 - torch is lazy
    from bench.codecs.agvae.training import stages

    target = folder or stages.PACKAGED.parent
    names = stages.install(settings, target)
    typer.echo(
        f"{len(names)} networks copied to {target}: {', '.join(names) or 'none is finished'}"
    )


def _train_all(
    settings: Any,  # noqa: ANN401 - torch is lazy
    *,
    real_files: bool,
    **session: Any,  # noqa: ANN401 - handed on
) -> None:
    """Train what is left, with a bar per stage."""
    from bench.codecs.agvae.training import stages
    from bench.codecs.agvae.training.run import Session

    screen = console()
    bars = _Bars(screen)

    def told(stage: Any, outcome: Any) -> None:  # noqa: ANN401 - torch is lazy
        bars.close()
        where = "finished" if outcome.finished else "paused"
        screen.print(f"{stage.name}: {where} at step {outcome.step}, {outcome.elapsed_s:.0f} s")
        for line in table(outcome.reached) if outcome.finished else ():
            screen.print(line)

    try:
        result = stages.run(
            settings, Session(**session), real_files=real_files, tell=bars.show, told=told
        )
    finally:
        bars.close()
    if result.left:
        screen.print(f"left: {', '.join(result.left)}; the same command continues")
    else:
        typer.echo(f"all stages are finished: {len(result.before) + len(result.now)} networks")


class _Bars:
    """One bar after the other, opened by the first progress of a stage."""

    def __init__(self, screen: Console) -> None:
        self._screen = screen
        self._bar: Bar | None = None

    def show(self, stage: Any, progress: Progress) -> None:  # noqa: ANN401 - torch is lazy
        """Draw where a stage is."""
        if self._bar is None:
            self._bar = Bar(self._screen, stage.name).__enter__()
        self._bar.show(progress)

    def close(self) -> None:
        """End the bar of a stage."""
        if self._bar is not None:
            self._bar.__exit__()
            self._bar = None
