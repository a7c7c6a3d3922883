"""One configuration object for every network of the family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

LAMBDAS_MSE = (0.0018, 0.0035, 0.0067, 0.0130, 0.0250, 0.0483, 0.0932, 0.1800)
"""Weights of 255^2 MSE in the loss, one per level (CompressAI's zoo)."""

LAMBDAS_MS_SSIM = (2.40, 4.58, 8.73, 16.64, 31.73, 60.50, 115.37, 220.00)
"""Weights of 1 - MS-SSIM in the loss, one per level (CompressAI's zoo)."""

STRIDE = 16
"""Pixels per latent position and side: four stages of stride 2."""

HYPER_STRIDE = 4
"""Latent positions per hyper-latent position and side: two stages of stride 2."""

MECHANISMS = ("gain", "cvr", "scaling", "scalar", "conditional")
"""Ways for one network to serve all levels; see ``mechanisms``."""

PASSES = 4
"""Context passes; each decodes a quarter of the channels at every position of a 2x2 cell."""


LOWEST_LEVEL = -2
"""Of a network with gain units: their tables go on below level 0, where training ended."""


def lambda_at(level: float, metric: str) -> float:
    """Return lambda of ``mse`` or ``ms-ssim`` at a level up to 7, interpolated exponentially.

    Below level 0 the line through the logarithms at levels 0 and 1 goes on.
    """
    table = LAMBDAS_MSE if metric == "mse" else LAMBDAS_MS_SSIM
    below = min(max(int(level), 0), len(table) - 2)
    share = level - below
    return float(table[below] ** (1 - share) * table[below + 1] ** share)


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that decides the shape of a network and the meaning of its weights.

    Attributes
    ----------
    preset
        Name of the size, ``base`` or ``small``.
    channels
        Of the three inner stages of g_a, finest first; g_s mirrors them.
    depth
        Bottleneck blocks after each of those stages.
    latent
        Channels of y; a multiple of 4.
    hyper
        Channels of z.
    blocks
        Depthwise blocks in the context trunk.
    levels
        Discrete rates that the gain units are trained for.
    gain
        Whether gain units make one network serve all levels; without them it serves one.
    asymmetric
        Whether the two scales of the entropy model differ.
    mechanism
        How one network serves all levels where ``gain`` is true, one of ``MECHANISMS``.
    """

    preset: str = "base"
    channels: tuple[int, int, int] = (96, 128, 192)
    depth: tuple[int, int, int] = (2, 3, 4)
    latent: int = 256
    hyper: int = 128
    blocks: int = 2
    levels: int = 8
    gain: bool = True
    asymmetric: bool = True
    mechanism: str = "gain"

    def __post_init__(self) -> None:
        if self.mechanism not in (MECHANISMS if self.gain else MECHANISMS[:1]):
            raise ValueError(f"no mechanism {self.mechanism!r} where gain is {self.gain}")
        if self.latent % PASSES:
            raise ValueError(f"latent must be a multiple of {PASSES}, found {self.latent}")
        if self.levels < 2:
            raise ValueError(f"levels must be at least 2, found {self.levels}")

    @property
    def lowest_level(self) -> int:
        """Lowest level that files may have."""
        return LOWEST_LEVEL if self.gain else 0

    @property
    def variant(self) -> str:
        """``gain-asym``, ``nogain-gauss``, ``scalar-asym``: one mechanism and one entropy model."""
        gain = self.mechanism if self.gain else "nogain"
        return f"{gain}-{'asym' if self.asymmetric else 'gauss'}"

    @property
    def quarter(self) -> int:
        """Channels that one pass decodes at one position."""
        return self.latent // PASSES

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for a manifest; gain units are not named, as ever."""
        values = asdict(self)
        if self.mechanism == MECHANISMS[0]:
            del values["mechanism"]
        return values

    @property
    def conditional(self) -> bool:
        """Whether convolutions depend on the level: one plain network for each whole level."""
        return self.mechanism == "conditional"

    @property
    def as_stored(self) -> Config:
        """The network that weights of this one are stored as: one with gain units if need be."""
        return self if self.conditional else replace(self, mechanism=MECHANISMS[0])

    @property
    def at_one_level(self) -> Config:
        """The network that a conditional one is at a level."""
        return replace(self, gain=False, mechanism=MECHANISMS[0])

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Config:
        """Return the configuration that ``to_dict`` wrote; lists stand for tuples."""
        plain: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(**plain)


SMALL: dict[str, Any] = {
    "preset": "small",
    "channels": (32, 48, 64),
    "depth": (1, 1, 1),
    "latent": 64,
    "hyper": 32,
    "blocks": 1,
}

PRESETS: dict[str, dict[str, Any]] = {"base": {}, "small": SMALL}


def preset(
    name: str, *, gain: bool = True, asymmetric: bool = True, mechanism: str = "gain"
) -> Config:
    """Return the configuration of a preset and a variant.

    Raises
    ------
    KeyError
        If there is no such preset.
    """
    return Config(**PRESETS[name], gain=gain, asymmetric=asymmetric, mechanism=mechanism)


def latent_size(height: int, width: int) -> tuple[int, int]:
    """Return rows and columns of the latent of an image: both sides divided by 16, rounded up."""
    return -(-height // STRIDE), -(-width // STRIDE)


def hyper_size(height: int, width: int) -> tuple[int, int]:
    """Return rows and columns of the hyper-latent for a latent of that size."""
    return -(-height // HYPER_STRIDE), -(-width // HYPER_STRIDE)
