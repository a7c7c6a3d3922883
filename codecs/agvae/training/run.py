"""A training run from start to weights: continue or begin, log, keep the state, export, measure."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from bench.codecs.agvae.training import initialise, state
from bench.codecs.agvae.training.contamination import guard
from bench.codecs.agvae.training.options import Options
from bench.codecs.agvae.training.photographs import Photos
from bench.codecs.agvae.training.photographs import read as read_photos
from bench.codecs.agvae.training.schedule import learning_rate
from bench.codecs.agvae.training.trainer import Report, Trainer
from bench.errors import DatasetError

SYNCHRONISE_STEPS = 10
"""Steps that a GPU may be ahead of the host; the clock is read only between them."""

STATE_EVERY_S = 300.0
_LOG_ROWS = 100
_LOG_STEPS = {"cpu": 10, "cuda": 200}
"""Steps per row of the log where only the time is known beforehand."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is, for a progress bar.

    Attributes
    ----------
    step
        Steps done.
    elapsed_s
        Seconds inside the training loop, all sessions together.
    share
        Of the budget that is spent.
    report
        The last row of the log, or None before the first.
    """

    step: int
    elapsed_s: float
    share: float
    report: Report | None


@dataclass(frozen=True, slots=True)
class Session:
    """What one call decides beside the options: where, how long, and who hears of the progress.

    Attributes
    ----------
    device
        ``cpu`` or ``cuda``.
    pause_at_s
        When the run stops with its state kept, on the clock of ``time.monotonic``; None: when
        it is finished.
    fuse
        Whether to compile and capture on a GPU.
    tell
        Called every few steps.
    """

    device: str = "cpu"
    pause_at_s: float | None = None
    fuse: bool = True
    tell: Callable[[Progress], None] = lambda _: None


class Run:
    """One run: the trainer, its clock, its log and its state.

    ``photos`` are those of ``options``, where they are in memory already and were checked by
    ``contamination.guard``.

    Raises
    ------
    DatasetError
        If a state is there that belongs to another run, or a test image is among the data.
    """

    def __init__(self, options: Options, session: Session, photos: Photos | None = None) -> None:
        self.options, self.session = options, session
        self.training, self.validation = prepare(options, photos)
        if photos is None:
            guard(self.training)
        self.origin: dict[str, Any] = {}
        self.taints: tuple[str, ...] = ()
        self.elapsed_s = 0.0
        self.last_report: Report | None = None
        self.trainer = Trainer(
            options, self.training, torch.device(session.device), fuse=session.fuse
        )
        if options.state.exists():
            self._continue()
        elif options.init is not None:
            begun = initialise.read(options.init, options.config, options.level)
            self.trainer.begin_with(begun.tensors)
            self.origin, self.taints = begun.origin, begun.taints
        self.step = self.trainer.step_count
        self._log = _Log(options, self.step)

    def _continue(self) -> None:
        tensors, facts = state.load(self.options.state)
        for name, wanted in self._identity().items():
            if facts["identity"].get(name) != wanted:
                raise DatasetError(
                    f"{self.options.state} is the state of another run: its {name} is "
                    f"{facts['identity'].get(name)!r}, now {wanted!r}",
                    "Give the options it was begun with, another --out, or remove the state.",
                )
        self.trainer.restore(tensors)
        self.elapsed_s = float(facts["elapsed_s"])
        self.origin, self.taints = facts["origin"], tuple(facts["taints"])

    def _identity(self) -> dict[str, Any]:
        """Return what must be the same in every session."""
        return {**self.options.fixed(), "pixels_sha256": self.training.digest}

    @property
    def share(self) -> float:
        """Share of the budget that is spent."""
        return self.options.budget.progress(self.step, self.elapsed_s)

    def save(self) -> None:
        """Keep the state where the same run looks for it."""
        facts = {
            "identity": self._identity(),
            "config": self.options.config.to_dict(),
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "budget": str(self.options.budget),
            "origin": self.origin,
            "taints": list(self.taints),
        }
        state.save(self.options.state, self.trainer.tensors(), facts)

    def train(self) -> bool:
        """Train until the budget or the session ends; return whether the budget is spent.

        The state is kept at the end, every few minutes, and when interrupted.
        """
        if self.share >= 1:
            return True
        self.trainer.prepare()  # compiling is not training
        clock = _Clock(self.elapsed_s, self.session.pause_at_s)
        try:
            self._train_a_little(clock)  # at least: a short session must not be in vain
            while self.share < 1 and not clock.pauses:
                self._train_a_little(clock)
        except KeyboardInterrupt:
            self._stop()
            raise
        self._stop()
        return self.share >= 1

    def _stop(self) -> None:
        """Keep the state of this very step; never after divergence, which keeps the last one."""
        self.trainer.synchronise()
        self.step = self.trainer.step_count
        self.save()

    def _train_a_little(self, clock: _Clock) -> None:
        """Do some steps, as many as may pass before the clock, the log or the state is due."""
        for _ in range(SYNCHRONISE_STEPS):
            if self.share >= 1:
                break
            share = learning_rate(
                self.share,
                self.step,
                decay=self.options.decay,
                warm_up_steps=self.options.warm_up_steps,
            )
            self.trainer.set_rate(share, rounding=self.share >= 1 - self.options.decay)
            self.trainer.step()
            self.step += 1
            if self.step % self._steps_per_row == 0:
                self.trainer.synchronise()
                self.elapsed_s = clock.elapsed_s
                self.last_report = self.trainer.report()
                self._log.add(self.step, self.elapsed_s, share, self.last_report)
        self.trainer.synchronise()
        self.elapsed_s = clock.elapsed_s
        self.session.tell(Progress(self.step, self.elapsed_s, self.share, self.last_report))
        if clock.state_is_due():
            self.save()

    @property
    def _steps_per_row(self) -> int:
        steps = self.options.budget.steps
        if steps is not None:
            return max(1, steps // _LOG_ROWS)
        return _LOG_STEPS.get(self.session.device, 10)


class _Clock:
    """Time inside the loop: what earlier sessions took and what this one does."""

    def __init__(self, before_s: float, pause_at_s: float | None) -> None:
        self._before_s, self._pause_at_s = before_s, pause_at_s
        self._start = self._saved = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return self._before_s + time.monotonic() - self._start

    @property
    def pauses(self) -> bool:
        return self._pause_at_s is not None and time.monotonic() >= self._pause_at_s

    def state_is_due(self) -> bool:
        due = time.monotonic() - self._saved >= STATE_EVERY_S
        if due:
            self._saved = time.monotonic()
        return due


class _Log:
    """The log as CSV; rows of steps that a lost session did, and this one repeats, are dropped."""

    def __init__(self, options: Options, step: int) -> None:
        self._path = options.log
        self._levels = options.trained_levels
        columns = ["step", "elapsed_s", "rate", "loss", "gradient_norm"]
        for name in ("bpp", "psnr_db", "distortion"):
            columns += [f"{name}_{level}" for level in self._levels]
        kept: list[list[str]] = []
        if step and self._path.is_file():
            with self._path.open(newline="", encoding="utf-8") as file:
                kept = [row for row in csv.reader(file) if row and row[0].isdigit()]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(row for row in kept if int(row[0]) <= step)

    def add(self, step: int, elapsed_s: float, rate: float, report: Report) -> None:
        """Append a row; it is on disk when this returns."""
        values: list[float] = [rate, report.loss, report.gradient_norm]
        for of_level in (report.bpp, report.psnr_db, report.distortion):
            values += [of_level[level] for level in self._levels]
        with self._path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow([step, f"{elapsed_s:.1f}", *(f"{v:.6g}" for v in values)])


def prepare(options: Options, photos: Photos | None = None) -> tuple[Photos, Photos]:
    """Return the photographs to train on and to measure on; none is both.

    Raises
    ------
    DatasetError
        If nothing is left to train on.
    """
    every = read_photos(options.data) if photos is None else photos
    if options.validation:
        validation = read_photos(options.validation)
        known = {photo.rgb_sha256 for photo in validation.members}
        training = Photos(
            tuple(p for p in every.members if p.rgb_sha256 not in known), every.left_out
        )
    else:
        held_out = min(options.held_out, len(every.members) // 2)
        training, validation = every.split(held_out)
    training = training.at_least(options.crop)
    if not training.members:
        reason = training.left_out[-1][1] if training.left_out else "all are for validation"
        raise DatasetError(
            f"no photograph is left to train on: {reason}", "Give more data, or a smaller --crop."
        )
    return training, validation
