"""``bench train-all``: every network that the package ships, here or on a borrowed machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.codecs.agvae.commands.train import (
    Bar,
    Data,
    Device,
    More,
    PauseAfter,
    console,
    device_of,
    paths_of,
    pause_at,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.console import Console

    from bench.codecs.agvae.training.run import Progress


def train_all(  # noqa: PLR0913, PLR0917 - one parameter an option
    more: More = None,
    data: Data = None,
    work: Annotated[Path, typer.Option(help="Folder of weights, logs and states.")] = Path(
        "results/training"
    ),
    plan: Annotated[
        bool, typer.Option("--plan", help="Print the commands for a borrowed GPU machine.")
    ] = False,
    pack: Annotated[
        Path | None, typer.Option(help="Write what such a machine needs here, in loads.")
    ] = None,
    collect: Annotated[Path | None, typer.Option(help="Take in what came back from there.")] = None,
    install: Annotated[
        bool, typer.Option("--install", help="Copy finished weights to where codecs look.")
    ] = False,
    install_to: Annotated[
        Path | None, typer.Option(help="Instead of the package's own weights folder.")
    ] = None,
    bring: Annotated[
        Path | None, typer.Option(help="Put what this call made here, in pieces that may travel.")
    ] = None,
    bring_pieces: Annotated[int, typer.Option(help="Files that come back.")] = 4,
    bring_mib: Annotated[int, typer.Option(help="MiB of the largest.")] = 16,
    travel_mib: Annotated[int, typer.Option(help="MiB that travel with a call.")] = 64,
    base_budget: Annotated[str | None, typer.Option(help="Of the default codec.")] = None,
    ms_ssim_budget: Annotated[str | None, typer.Option(help="Of its MS-SSIM twin.")] = None,
    ablation_steps: Annotated[
        int | None, typer.Option(help="Of every network of the ablation.")
    ] = None,
    trunk_steps: Annotated[
        int | None, typer.Option(help="Of a start that the ablation shares; default 0: none.")
    ] = None,
    trunk: Annotated[
        Path | None, typer.Option(help="Weights that the ablation's networks all start from.")
    ] = None,
    branch_rate: Annotated[
        float | None, typer.Option(help="Of networks with such a start: share of the full rate.")
    ] = None,
    levels: Annotated[str | None, typer.Option(help="1,4,7: of the networks without gain.")] = None,
    init: Annotated[
        str | None, typer.Option(help="Where the default codec starts: FILE, or scratch.")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Crops a step.")] = None,
    crop: Annotated[int | None, typer.Option(help="Side of a crop in pixels.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything.")] = None,
    storage_bits: Annotated[
        int | None, typer.Option(help="Bits per weight in the files at most.")
    ] = None,
    base_rate: Annotated[
        float | None, typer.Option(help="Of the default codec: share of the full learning rate.")
    ] = None,
    base_decay: Annotated[
        float | None, typer.Option(help="Of the default codec: last share, in which it falls.")
    ] = None,
    base_level_power: Annotated[
        float | None, typer.Option(help="Of the default codec: smaller favours its high rates.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Stage, or a pattern of names; repeatable.")
    ] = None,
    pause_after: PauseAfter = None,
    device: Device = "auto",
    fuse: Annotated[
        bool, typer.Option("--fuse/--no-fuse", help="On a GPU: compile, one CUDA graph a step.")
    ] = True,
    real_files: Annotated[
        bool, typer.Option("--real-files/--estimate", help="How final tables are measured.")
    ] = True,
) -> None:
    """Train every network that the package ships; run again to go on. --plan: on a lent GPU."""
    given = locals()
    texts = {option: _text(given[name_of(option)]) for option in READERS}
    settings = _settings(paths_of(data, more), work, texts, only or [])
    if collect is not None:
        _collect(settings, collect)
    elif install or install_to is not None:
        _install(settings, install_to)
    elif plan or pack is not None:
        _plan(settings, texts, only or [], pack, travel_mib)
    else:
        _train_all(
            settings,
            (bring, bring_pieces, bring_mib),
            real_files=real_files,
            device=device_of(device),
            pause_at_s=pause_at(pause_after),
            fuse=fuse,
        )


def _settings(
    data: tuple[Path, ...], work: Path, texts: Mapping[str, str | None], only: list[str]
) -> Any:  # noqa: ANN401 - torch is lazy
    """Return what to train; options that were not given keep their defaults."""
    from bench.codecs.agvae.training.stages import Settings

    values = {
        name_of(option): READERS[option](text) for option, text in texts.items() if text is not None
    }
    return Settings(data=data, work=work, only=tuple(only), **values)


def name_of(option: str) -> str:
    """Return the name in Python of an option: ``base_rate`` of ``--base-rate``."""
    return option.removeprefix("--").replace("-", "_")


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _budget(text: str) -> Any:  # noqa: ANN401 - torch is lazy
    from bench.codecs.agvae.training.schedule import Budget

    return Budget.parse(text)


def _levels(text: str) -> tuple[int, ...]:
    from bench.errors import UsageError

    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise UsageError(
            f"--levels wants whole numbers, found {text!r}", "Write them like --levels 1,4,7."
        ) from None


READERS: dict[str, Callable[[str], Any]] = {
    "--base-budget": _budget,
    "--ms-ssim-budget": _budget,
    "--ablation-steps": int,
    "--trunk-steps": int,
    "--trunk": Path,
    "--branch-rate": float,
    "--levels": _levels,
    "--init": lambda text: None if text == "scratch" else Path(text),
    "--batch": int,
    "--crop": int,
    "--seed": int,
    "--storage-bits": int,
    "--base-rate": float,
    "--base-decay": float,
    "--base-level-power": float,
}
"""Options that say what is trained, and how their text becomes a field of ``Settings``."""


def _collect(settings: Any, folder: Path) -> None:  # noqa: ANN401 - torch is lazy
    from bench.codecs.agvae.training import parcel, stages

    names = parcel.read(folder, settings.work)
    typer.echo(f"took in {len(names)} files: {', '.join(names)}")
    for name, where in stages.state_of(stages.stages(settings)).items():
        typer.echo(f"  {name}: {where}")


def _install(settings: Any, folder: Path | None) -> None:  # noqa: ANN401 - torch is lazy
    from bench.codecs.agvae.training import stages

    target = folder or stages.PACKAGED.parent
    names = stages.install(settings, target)
    typer.echo(
        f"{len(names)} networks copied to {target}: {', '.join(names) or 'none is finished'}"
    )


def _plan(
    settings: Any,  # noqa: ANN401 - torch is lazy
    texts: Mapping[str, str | None],
    only: list[str],
    pack: Path | None,
    travel_mib: int,
) -> None:
    """Print the commands of a training on a borrowed machine, or write its luggage."""
    from bench.codecs.agvae.training import parcel
    from bench.codecs.agvae.training import plan as plans

    machine = plans.Machine(travel_bytes=travel_mib * parcel.MIB)
    tree = parcel.tree_bytes(Path.cwd())
    if tree is None:
        tree = _UNKNOWN_TREE_MIB * parcel.MIB
    if pack is not None:
        for load in plans.pack(settings, machine, pack, tree):
            size = sum(path.stat().st_size for path in load.iterdir()) / parcel.MIB
            typer.echo(f"{load}: {size:.1f} MiB")
        return
    words = [*plans.words_of(texts), *(word for name in only for word in ("--only", name))]
    for line in plans.lines(settings, machine, words, folder=Path(".travel"), tree=tree):
        typer.echo(line)


_UNKNOWN_TREE_MIB = 40


def _train_all(
    settings: Any,  # noqa: ANN401 - torch is lazy
    luggage: tuple[Path | None, int, int],
    *,
    real_files: bool,
    **sitting: Any,  # noqa: ANN401 - handed on
) -> None:
    """Train what is left, with a bar per stage; pack what came of it."""
    from bench.codecs.agvae.training import parcel, stages
    from bench.codecs.agvae.training.run import Sitting

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
            settings, Sitting(**sitting), real_files=real_files, tell=bars.show, told=told
        )
    finally:
        bars.close()
    folder, pieces, mib = luggage
    if folder is not None:
        piece_bytes = mib * parcel.MIB - parcel.MIB // 16
        words = stages.bring(settings, result, folder, pieces=pieces, piece_bytes=piece_bytes)
        screen.print(f"in {folder}: {words}")
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
