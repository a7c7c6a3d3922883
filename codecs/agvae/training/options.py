"""Everything that decides what a training run does, in one object that is stored beside it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.codecs.agvae.model.config import (
    LAMBDAS_MS_SSIM,
    LAMBDAS_MSE,
    MECHANISMS,
    PRESETS,
    Config,
    preset,
)
from bench.codecs.agvae.model.ms_ssim import MS_SSIM_MIN_SIDE
from bench.codecs.agvae.training.losses import LEVEL_POWER
from bench.codecs.agvae.training.schedule import Budget
from bench.codecs.agvae.weights.export import storage_bits
from bench.errors import UsageError

VARIANTS = (
    *("gain-asym", "gain-gauss", "nogain-asym", "nogain-gauss"),
    *(f"{mechanism}-asym" for mechanism in MECHANISMS[1:]),
)
METRICS = ("mse", "ms-ssim")
CROP_MULTIPLE = 64
"""Sides of crops and validation pictures: whole hyper-latent positions, no padding in the rate."""


@dataclass(frozen=True, slots=True)
class Options:
    """A run.

    Attributes
    ----------
    data
        Tars, folders or images to train on.
    out
        The weights' file, ``NAME.safetensors``; manifest, log and state get names beside it.
    budget
        How long.
    variant, preset, metric
        Which network, and for what.
    level
        The one level of a variant without gain; None with gain.
    init
        Weights or state to start from, or None.
    validation
        Pictures for the final table; empty: ``held_out`` of the data, never trained on.
    held_out
        How many, where ``validation`` is empty.
    batch, crop
        Crops per step and their side in pixels.
    seed
        Of weights, crops and noise.
    rate
        Share of the full learning rates.
    decay
        Last share of the budget, over which the rate falls to zero.
    level_power
        Each level's loss counts (lambda_mid / lambda)^level_power; smaller favours high rates.
    warm_up_steps
        Steps over which the rate rises.
    average
        Weight of the past in the moving average of the weights, which is what is released.
    storage_bits
        Bits per weight that the file holds at most, 8 to 12; None: as ``export`` finds best.
        While the rate falls, the network is trained with its weights rounded so.
    branch
        Store differences from ``init``, which is a base file of a gained network.
    predicted_from
        Store the integers as predicted from those of this file, where it is there: a base file for
        whole weights, another branch of ``init`` for a branch.
    """

    data: tuple[Path, ...]
    out: Path
    budget: Budget
    variant: str = "gain-asym"
    preset: str = "base"
    metric: str = "mse"
    level: int | None = None
    init: Path | None = None
    validation: tuple[Path, ...] = field(default=())
    held_out: int = 16
    batch: int = 32
    crop: int = 256
    seed: int = 0
    rate: float = 1.0
    decay: float = 0.2
    level_power: float = LEVEL_POWER
    warm_up_steps: int = 100
    average: float = 0.9995
    storage_bits: int | None = None
    branch: bool = False
    predicted_from: Path | None = None

    def __post_init__(self) -> None:
        """Check what does not depend on files.

        Raises
        ------
        UsageError
            If a value is unknown or does not go with another.
        """
        known = (("variant", VARIANTS), ("preset", tuple(PRESETS)), ("metric", METRICS))
        for name, choices in known:
            if getattr(self, name) not in choices:
                raise UsageError(
                    f"unknown --{name} {getattr(self, name)!r}", f"Known: {', '.join(choices)}."
                )
        self._check_level()
        self._check_crop()
        if self.storage_bits is not None and not 8 <= self.storage_bits <= 12:
            raise UsageError(f"--storage-bits must be 8 to 12, found {self.storage_bits}")
        if self.branch and (self.init is None or self.init.suffix != ".safetensors"):
            raise UsageError(
                "--branch stores differences from released weights: wanted --init "
                f"NAME.safetensors, found {self.init or 'none'}"
            )
        if not 0 < self.rate <= 4 or not 0 <= self.decay <= 1:
            raise UsageError(
                f"--rate must lie in (0, 4] and --decay in [0, 1], found {self.rate:g}, "
                f"{self.decay:g}"
            )
        if not 0 <= self.level_power <= 1:
            raise UsageError(f"--level-power must lie in [0, 1], found {self.level_power:g}")

    def _check_level(self) -> None:
        top = self.config.levels - 1
        if self.config.gain and self.level is not None:
            raise UsageError(
                f"--level {self.level} does not go with {self.variant}: it serves all levels",
                "Leave it out, or choose a nogain variant.",
            )
        if not self.config.gain and (self.level is None or not 0 <= self.level <= top):
            found = "none" if self.level is None else str(self.level)
            raise UsageError(
                f"{self.variant} is trained for one level: wanted --level 0 to {top}, found {found}"
            )

    def _check_crop(self) -> None:
        if self.crop % CROP_MULTIPLE or self.crop <= 0:
            raise UsageError(
                f"--crop must be a multiple of {CROP_MULTIPLE} pixels, found {self.crop}"
            )
        if self.metric == "ms-ssim" and self.crop < MS_SSIM_MIN_SIDE:
            raise UsageError(
                f"MS-SSIM needs crops of {MS_SSIM_MIN_SIDE} pixels or more, found {self.crop}",
                "Give --crop 192 or 256.",
            )
        if self.batch < 1 or (self.config.gain and self.batch % self.config.levels):
            raise UsageError(
                f"every batch holds all {self.config.levels} levels alike: --batch must be a "
                f"multiple of that, found {self.batch}"
            )

    @property
    def config(self) -> Config:
        """The network's configuration."""
        word, model = self.variant.split("-")
        gain = word != "nogain"
        mechanism = word if gain else MECHANISMS[0]
        return preset(self.preset, gain=gain, asymmetric=model == "asym", mechanism=mechanism)

    @property
    def bits(self) -> dict[str, int]:
        """Bits per weight of convolutions in the file, by prefix of the name."""
        cap = self.storage_bits or 99
        return {prefix: min(bits, cap) for prefix, bits in storage_bits(self.config).items()}

    @property
    def lambdas(self) -> tuple[float, ...]:
        """Weights of distortion by level."""
        return LAMBDAS_MSE if self.metric == "mse" else LAMBDAS_MS_SSIM

    @property
    def trained_levels(self) -> tuple[int, ...]:
        """Levels that appear in a batch."""
        return tuple(range(self.config.levels)) if self.level is None else (self.level,)

    @property
    def name(self) -> str:
        """Stem of the weights' files."""
        return self.out.stem

    @property
    def manifest(self) -> Path:
        """Where the manifest goes; it is there when the run is finished."""
        return self.out.with_suffix(".json")

    @property
    def log(self) -> Path:
        """Where the log goes."""
        return self.out.with_suffix(".csv")

    @property
    def state(self) -> Path:
        """The state that the same command continues from."""
        return self.out.with_suffix(".state")

    def fixed(self) -> dict[str, Any]:
        """Return as plain data what may not change when a run is continued."""
        values = asdict(self)
        for name in ("data", "out", "init", "validation", "budget", "branch", "predicted_from"):
            del values[name]
        return values

    def with_out(self, out: Path) -> Options:
        """Return a copy that writes elsewhere; a missing suffix is added."""
        return replace(
            self, out=out if out.suffix == ".safetensors" else Path(f"{out}.safetensors")
        )
