"""Other ways for one network to serve all rates (Cui et al. 2021, Figs. 9 and 11).

A configuration names one of them; ``gain`` is the paper's own, ``gain_units``:

``cvr``          gain units on y alone; z has none.
``scaling``      one gain per channel and level on y, its inverse the strict reciprocal
                 (Theis et al. 2017, as the paper's Table 1 counts it).
``scalar``       one gain per level on y, likewise.
``conditional``  every convolution of the four transforms has a scale and a shift per output
                 channel and level (Choi et al. 2019); y and z have a fixed gain.

All begin at a trained gained network: what they cannot express stays as it is at the middle level,
a fixed gain for each channel. Files hold the first three as gain units (``as_stored``), so the
codec runs them like any other; of a conditional one it runs a plain network per level
(``at_one_level``).

References
----------
Theis et al., "Lossy image compression with compressive autoencoders", ICLR 2017.
Choi et al., "Variable rate deep image compression with a conditional autoencoder", ICCV 2019.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from bench.codecs.agvae.model.config import Config
from bench.codecs.agvae.model.gain_units import (
    GainUnit,
    NoGain,
    at_level,
    beside,
    folding,
    interpolated,
)

SCALES, SHIFTS = "scales", "shifts"
"""Last words of the names of a convolution's tables as files hold them, (levels, outputs)."""
FIXED_GAINS = ("gain_y.gain", "gain_y.inverse", "gain_z.gain", "gain_z.inverse")
"""Names of a conditional network's fixed gains as files hold them, (channels,)."""

_TRANSFORMS = ("g_a", "g_s", "h_a", "h_s")
_LOG_SCALE, _SHIFT = "log_scale", "shift"
_SCALE_Y = f"gain_y.{_LOG_SCALE}"
CONDITIONAL_TABLES = (f".{_LOG_SCALE}", f".{_SHIFT}")
"""How the names of a conditional convolution's own tables end."""
_FIXED = "log_fixed_"


class FixedGain(nn.Module):
    """A gain and an inverse for each channel, the same at every level.

    They could be folded into the convolutions beside them; kept apart they leave those at the
    scale that they were trained at, for the optimiser and for differences from a base file.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_fixed_gain = nn.Parameter(torch.zeros(channels))
        self.log_fixed_inverse = nn.Parameter(torch.zeros(channels))

    def gain(self, level: Tensor) -> Tensor:
        """Return the gain, (1, C, 1, 1), at any levels, (B,)."""
        return torch.exp(self.log_fixed_gain + self._of_level(level))[:, :, None, None]

    def inverse(self, level: Tensor) -> Tensor:
        """Return the inverse gain, (1, C, 1, 1), at any levels, (B,)."""
        return torch.exp(self.log_fixed_inverse - self._of_level(level))[:, :, None, None]

    def _of_level(self, level: Tensor) -> Tensor:
        return torch.zeros(1, 1, device=level.device)


class Scaling(FixedGain):
    """A table of log-gains, level by channel, whose inverse is the reciprocal, on a fixed gain.

    Parameters
    ----------
    channels
        Of the tensor.
    log_start
        Log-gain of each level at the start, (levels,).
    by_channel
        Whether each channel has a gain of its own.
    """

    def __init__(self, channels: int, log_start: Tensor, *, by_channel: bool) -> None:
        super().__init__(channels)
        self.log_scale = nn.Parameter(log_start[:, None].repeat(1, channels if by_channel else 1))

    def _of_level(self, level: Tensor) -> Tensor:
        return interpolated(self.log_scale, level)


Unit = GainUnit | NoGain | FixedGain


class ConditionalConv2d(nn.Conv2d):
    """A convolution with a scale and a shift per output channel and level, at first the identity.

    ``level`` holds the real level of each image, (B,); ``set_level`` says it before a pass.
    """

    level: Tensor

    def condition(self, levels: int) -> None:
        """Add the tables, (levels, outputs), of ones in logarithms and of zeros."""
        shape = (levels, self.out_channels)
        self.log_scale = nn.Parameter(torch.zeros(shape))
        self.shift = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Return scale * (weight * x + bias) + shift."""
        out = super().forward(x)
        shift = interpolated(self.shift, self.level)[:, :, None, None]
        scaled: Tensor = out * at_level(self.log_scale, self.level).to(out.dtype)
        return scaled + shift.to(out.dtype)


def units(config: Config, start_y: Tensor, start_z: Tensor) -> tuple[Unit, Unit]:
    """Return what gains y and z, from the log-gains that each level begins with, (levels,)."""
    if not config.gain:
        return NoGain(), NoGain()
    if config.mechanism == "gain":
        return GainUnit(config.latent, start_y), GainUnit(config.hyper, start_z)
    of_y: Unit = FixedGain(config.latent)
    if config.mechanism == "cvr":
        of_y = GainUnit(config.latent, start_y)
    elif not config.conditional:
        of_y = Scaling(config.latent, start_y, by_channel=config.mechanism == "scaling")
    return of_y, FixedGain(config.hyper)


def condition(net: nn.Module, levels: int) -> None:
    """Make every convolution of the four transforms of a network conditional, in its place."""
    for transform in _TRANSFORMS:
        for module in net.get_submodule(transform).modules():
            if type(module) is nn.Conv2d:  # its weights, name and place stay
                module.__class__ = ConditionalConv2d
                assert isinstance(module, ConditionalConv2d)
                module.condition(levels)


def set_level(net: nn.Module, level: Tensor) -> None:
    """Tell the conditional convolutions the level of each image, (B,)."""
    for module in net.modules():
        if isinstance(module, ConditionalConv2d):
            module.level = level


def start(tensors: Mapping[str, Tensor], config: Config) -> dict[str, Tensor]:
    """Return a state dict of a network with gain units as one of ``config.mechanism``.

    At the middle level both compute the same, but for ``scaling``, whose tables are the nearest
    reciprocal ones over all levels. ``scalar`` and ``conditional`` begin with one gain a level.
    """
    if config.mechanism == "gain":
        return dict(tensors)
    middle = config.levels // 2
    log_gain, log_inverse = tensors["gain_y.log_gain"], tensors["gain_y.log_inverse"]
    kept = ("gain_y.",) if config.mechanism == "cvr" else ()
    state = {k: v for k, v in tensors.items() if not k.startswith("gain_") or k.startswith(kept)}
    state |= _fixed("gain_z", tensors["gain_z.log_gain"], tensors["gain_z.log_inverse"], middle)
    if config.mechanism == "cvr":
        return state
    state |= _fixed("gain_y", log_gain, log_inverse, middle)
    scale = (log_gain - log_inverse) / 2
    if config.mechanism == "scaling":
        constant = ((log_gain + log_inverse) / 2).mean(0)  # what reciprocals leave over
        state |= dict.fromkeys((f"gain_y.{_FIXED}gain", f"gain_y.{_FIXED}inverse"), constant)
        state[_SCALE_Y] = scale
    elif config.mechanism == "scalar":
        state[_SCALE_Y] = _mean_scale(tensors, "gain_y", middle)
    else:
        for stem in convolutions(tensors):
            zeros = torch.zeros(config.levels, len(tensors[f"{stem}.weight"]))
            state |= {f"{stem}.{_LOG_SCALE}": zeros, f"{stem}.{_SHIFT}": zeros.clone()}
        for unit, before, after in beside(config):
            state |= _one_gain(tensors, unit, before, after, middle)
    return state


def _one_gain(
    tensors: Mapping[str, Tensor], unit: str, before: str, after: str, middle: int
) -> dict[str, Tensor]:
    """Return the tables with which two conditional convolutions gain all channels alike.

    The one before the quantiser multiplies its outputs by the level's mean gain, the one after it
    divides by it, which is the start of ``scalar``. Gains that differ by channel cannot be undone
    by factors of outputs: the least squares that come nearest lost 3 to 7 dB on Kodak.
    """
    scale = _mean_scale(tensors, unit, middle)
    undone = -scale.expand(-1, len(tensors[f"{after}.bias"]))
    return {
        f"{before}.{_LOG_SCALE}": scale.repeat(1, len(tensors[f"{before}.bias"])),
        f"{after}.{_LOG_SCALE}": undone.clone(),
        f"{after}.{_SHIFT}": (1 - undone.exp()) * tensors[f"{after}.bias"],
    }


def _mean_scale(tensors: Mapping[str, Tensor], unit: str, middle: int) -> Tensor:
    """Return each level's log-gain over the middle one's, mean of the channels, (levels, 1)."""
    scale = (tensors[f"{unit}.log_gain"] - tensors[f"{unit}.log_inverse"]) / 2
    return (scale - scale[middle]).mean(1, keepdim=True)


def _fixed(unit: str, log_gain: Tensor, log_inverse: Tensor, level: int) -> dict[str, Tensor]:
    """Return the fixed gains of a unit that are those of a level of its tables."""
    return {
        f"{unit}.{_FIXED}gain": log_gain[level].clone(),
        f"{unit}.{_FIXED}inverse": log_inverse[level].clone(),
    }


def as_stored(state: Mapping[str, Tensor], config: Config) -> dict[str, Tensor]:
    """Return a state dict as files hold it.

    ``cvr``, ``scaling`` and ``scalar`` become gain units that compute the same. Of ``conditional``
    scales and gains are no logarithms any more: what a decoder computes with has to be the same on
    every machine, and exponentials are not.
    """
    if not config.gain:
        return dict(state)
    return _plain(state) if config.conditional else _gain_units(state, config)


def as_trained(stored: Mapping[str, Tensor], config: Config) -> dict[str, Tensor]:
    """Return a state dict of ``config.as_stored`` from what a file holds."""
    if not config.conditional:
        return dict(stored)
    state = {name: value for name, value in stored.items() if name not in FIXED_GAINS}
    for stem in convolutions(stored):
        state[f"{stem}.{_LOG_SCALE}"] = state.pop(f"{stem}.{SCALES}").log()
        state[f"{stem}.{_SHIFT}"] = state.pop(f"{stem}.{SHIFTS}")
    for name in FIXED_GAINS:
        unit, word = name.split(".")
        state[f"{unit}.{_FIXED}{word}"] = stored[name].log()
    return state


def _gain_units(state: Mapping[str, Tensor], config: Config) -> dict[str, Tensor]:
    stored = dict(state)
    scale = stored.pop(_SCALE_Y, torch.zeros(config.levels, 1))
    for unit, of_level in (("gain_y", scale), ("gain_z", torch.zeros(config.levels, 1))):
        for word, sign in (("gain", 1), ("inverse", -1)):
            fixed = stored.pop(f"{unit}.{_FIXED}{word}", None)
            if fixed is not None:
                stored[f"{unit}.log_{word}"] = fixed + sign * of_level
    return stored


def _plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    stored = dict(state)
    for stem in convolutions(state):
        stored[f"{stem}.{SCALES}"] = stored.pop(f"{stem}.{_LOG_SCALE}").exp()
        stored[f"{stem}.{SHIFTS}"] = stored.pop(f"{stem}.{_SHIFT}")
    for name in FIXED_GAINS:
        unit, word = name.split(".")
        stored[name] = stored.pop(f"{unit}.{_FIXED}{word}").exp()
    return stored


def at_one_level(stored: Mapping[str, Tensor], config: Config, level: int) -> dict[str, Tensor]:
    """Return a conditional network, as a file holds it, at one of its levels without gain.

    Each weight is multiplied by its scale, each bias too before its shift is added, and those
    beside a gain are multiplied by it (``gain_units.folding``): single operations, in this order.
    """
    tables = (f".{SCALES}", f".{SHIFTS}")
    folded = {
        name: value
        for name, value in stored.items()
        if not name.endswith(tables) and name not in FIXED_GAINS
    }
    for stem in convolutions(stored):
        scale, shift = stored[f"{stem}.{SCALES}"][level], stored[f"{stem}.{SHIFTS}"][level]
        folded[f"{stem}.weight"] = folded[f"{stem}.weight"] * scale[:, None, None, None]
        folded[f"{stem}.bias"] = folded[f"{stem}.bias"] * scale + shift
    for name, factor in folding(config, {name: stored[name] for name in FIXED_GAINS}).items():
        folded[name] = folded[name] * factor
    return folded


def convolutions(state: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield the names of the convolutions of the four transforms."""
    for name, value in state.items():
        if value.ndim == 4 and name.startswith(tuple(f"{part}." for part in _TRANSFORMS)):
            yield name.removesuffix(".weight")
