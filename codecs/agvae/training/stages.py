"""All weights that the package ships, as stages: trained in order, each once, resumable.

1. ``base-gain-asym-mse``: the default codec, continued from the packaged weights.
2. ``base-gain-asym-ms-ssim``: its twin, fine-tuned from it for MS-SSIM.
3. ``small-gain-asym-mse``: a small network from scratch, for tests and the gate.
4. ``branch-*``: the ablation. Eight networks that continue the default codec for a few hundred
   steps, each from the same start, on the same crops, with the same number of steps and the same
   schedule; they are stored as differences from it.
5. ``mechanism-*``: other ways to serve all rates with one network, branched and stored likewise.
"""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from bench.codecs.agvae.model.config import MECHANISMS
from bench.codecs.agvae.training.contamination import guard
from bench.codecs.agvae.training.export_and_measure import Outcome, train
from bench.codecs.agvae.training.losses import LEVEL_POWER
from bench.codecs.agvae.training.options import Options
from bench.codecs.agvae.training.photographs import read as read_photos
from bench.codecs.agvae.training.run import Progress, Session
from bench.codecs.agvae.training.schedule import Budget
from bench.codecs.agvae.weights.checkpoints import SOURCES, read_manifest
from bench.errors import UsageError
from bench.files import make_folder, write_atomically

PACKAGED = Path(__file__).parents[1] / "weights" / "base-gain-asym-mse.safetensors"
MSE, MS_SSIM = "base-gain-asym-mse", "base-gain-asym-ms-ssim"
SMALL = "small-gain-asym-mse"
_BRANCH_DECAY = 0.8
"""Branches are short, so their rate falls nearly all the way."""
BASE_BUDGET, MS_SSIM_BUDGET = Budget(time_s=1300.0), Budget(time_s=360.0)
_MS_SSIM_CROP = 192
"""The smallest that MS-SSIM allows."""
MIN_SESSION_S = 60.0
"""No stage is begun with less time left: it would only be compiled."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What to train, with how much of everything.

    Attributes
    ----------
    data
        Tars or folders.
    work
        Folder of weights, logs and states.
    base_budget, ms_ssim_budget
        Of the first two stages.
    small_steps
        Of the small network.
    trunk
        Weights that the ablation branches off.
    branch_steps, branch_batch, branch_rate
        Of every branch: optimiser steps, crops per step, and the share of the full learning rate
        that it begins with; the full one undoes much of what the trunk learnt while its own rate
        fell.
    levels
        Of the branches without gain.
    init
        Where the default codec starts; None: from scratch.
    only
        Patterns of stage names; empty: all.
    storage_bits
        Bits per weight of every file at most; None: as ``export`` finds best.
    base_rate, base_decay
        Share of the full learning rate that the default codec begins with, and the last share of
        its budget over which that falls; lower and longer suit short runs from trained weights.
    base_level_power
        Of the default codec: its levels' losses count (lambda_mid / lambda)^power.
    batch
        Crops per step of every stage that is no branch.
    crop, seed
        Of every stage.
    """

    data: tuple[Path, ...]
    work: Path
    base_budget: Budget = BASE_BUDGET
    ms_ssim_budget: Budget = MS_SSIM_BUDGET
    small_steps: int = 20_000
    trunk: Path = PACKAGED
    branch_steps: int = 300
    branch_batch: int = 8
    branch_rate: float = 0.1
    levels: tuple[int, ...] = (1, 4, 7)
    init: Path | None = PACKAGED
    only: tuple[str, ...] = field(default=())
    storage_bits: int | None = None
    base_rate: float = 1.0
    base_decay: float = 0.2
    base_level_power: float = LEVEL_POWER
    batch: int = 32
    crop: int = 256
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Stage:
    """One network.

    Attributes
    ----------
    options
        Of its training.
    after
        Name of the stage whose weights it starts from, or None.
    """

    options: Options
    after: str | None = None

    @property
    def name(self) -> str:
        """Stem of its files."""
        return self.options.name

    @property
    def finished(self) -> bool:
        """Whether its weights are there, measured."""
        manifest = self.options.manifest
        return manifest.is_file() and '"reached"' in manifest.read_text(encoding="utf-8")


def stages(settings: Settings) -> list[Stage]:
    """Return the stages in order.

    Raises
    ------
    UsageError
        If ``settings.only`` names none.
    """
    common = Options(
        data=settings.data,
        out=settings.work / f"{MSE}.safetensors",
        budget=settings.base_budget,
        init=settings.init,
        batch=settings.batch,
        crop=settings.crop,
        seed=settings.seed,
        storage_bits=settings.storage_bits,
    )
    twin = replace(
        common,
        out=settings.work / f"{MS_SSIM}.safetensors",
        budget=settings.ms_ssim_budget,
        init=common.out,
        metric="ms-ssim",
        crop=max(settings.crop, _MS_SSIM_CROP),
        rate=0.5,
        predicted_from=common.out,
    )
    base = replace(
        common,
        rate=settings.base_rate,
        decay=settings.base_decay,
        level_power=settings.base_level_power,
    )
    steps = Budget(steps=settings.small_steps)
    small = replace(common, preset="small", budget=steps, init=None)
    small = small.with_out(settings.work / SMALL)
    every = [Stage(base), Stage(twin, MSE), Stage(small), *_branches(settings, common)]
    patterns = settings.only or ("*",)
    chosen = [s for s in every if any(fnmatch.fnmatch(s.name, pattern) for pattern in patterns)]
    if not chosen:
        raise UsageError(
            f"no stage is called {', '.join(patterns)}",
            f"Known: {', '.join(stage.name for stage in every)}.",
        )
    return chosen


def _branches(settings: Settings, common: Options) -> list[Stage]:
    """Return the networks that are compared: of the trunk's size, on equal terms."""
    manifest = settings.trunk.with_suffix(".json")
    base = replace(
        common,
        preset=read_manifest(manifest).config.preset if manifest.is_file() else "base",
        budget=Budget(steps=settings.branch_steps),
        init=settings.trunk,
        batch=settings.branch_batch,
        rate=settings.branch_rate,
        decay=_BRANCH_DECAY,
        branch=True,
    )
    named = (
        {
            f"branch-{variant}-mse": replace(base, variant=variant)
            for variant in ("gain-asym", "gain-gauss")
        }
        | {
            f"branch-{variant}-mse-level{level}": replace(base, variant=variant, level=level)
            for level in settings.levels
            for variant in ("nogain-asym", "nogain-gauss")
        }
        | {
            f"mechanism-{word}-asym-mse": replace(base, variant=f"{word}-asym")
            for word in MECHANISMS[1:]
        }
    )
    for name, options in named.items():  # some move as another does, which predicts them
        alike = name.replace("-gauss-", "-asym-")
        if name.startswith("mechanism-"):
            alike = "branch-gain-asym-mse"
        if alike != name:
            named[name] = replace(options, predicted_from=settings.work / f"{alike}.safetensors")
    return [Stage(options.with_out(settings.work / name)) for name, options in named.items()]


@dataclass(slots=True)
class Result:
    """What a session came to: names of stages finished before, in it, and left."""

    before: list[str] = field(default_factory=list)
    now: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    paused: Stage | None = None


Tell = Callable[[Stage, Progress], None]
Told = Callable[[Stage, Outcome], None]


def run(
    settings: Settings, session: Session, *, real_files: bool, tell: Tell, told: Told
) -> Result:
    """Train what is not finished, until all is or the session ends; the same settings continue.

    ``tell`` is called every few steps of a stage instead of the session's own, ``told`` when one
    is finished or paused.

    Raises
    ------
    UsageError
        If a stage needs the weights of one that is neither finished nor chosen.
    """
    planned = stages(settings)
    result = Result(before=[stage.name for stage in planned if stage.finished])
    todo = [stage for stage in planned if not stage.finished]
    if not todo:
        return result
    photos = read_photos(settings.data)
    guard(photos)
    for position, stage in enumerate(todo):
        left_s = _left_s(session)
        if position and left_s is not None and left_s < MIN_SESSION_S:
            result.left = [other.name for other in todo[position:]]
            return result
        _check_start(stage)
        mine = replace(session, tell=partial(tell, stage))
        outcome = train(stage.options, mine, photos, real_files=real_files)
        told(stage, outcome)
        if not outcome.finished:
            result.paused = stage
            result.left = [other.name for other in todo[position:]]
            return result
        result.now.append(stage.name)
    return result


def _left_s(session: Session) -> float | None:
    return None if session.pause_at_s is None else session.pause_at_s - time.monotonic()


def _check_start(stage: Stage) -> None:
    init = stage.options.init
    if init is not None and not init.exists():
        raise UsageError(
            f"{stage.name} starts from {init.name}, which is not there",
            f"Train {stage.after} first."
            if stage.after
            else "Give --init or --trunk another FILE.",
        )


def install(settings: Settings, folder: Path) -> list[str]:
    """Copy finished weights to where the codecs look for them; return their names.

    A weights file is written before its manifest, so that no codec sees one without the other.
    """
    make_folder(folder / SOURCES)
    done = [stage for stage in stages(settings) if stage.finished and stage.options.out.is_file()]
    for stage in done:
        options = stage.options
        listed = read_manifest(options.manifest).facts["training"]["data"]["sources"]
        for path in (options.out, options.out.parent / listed, options.manifest):
            write_atomically(folder / path.relative_to(options.out.parent), path.read_bytes())
    return [stage.name for stage in done]
