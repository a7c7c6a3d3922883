"""The paper's ablation backbones: CompressAI's hyperpriors carrying our gain and entropy model.

Gain units and the asymmetric Gaussian are parts, so any hyperprior can wear them. Here CompressAI's
``bmshj2018-hyperprior`` (Balle et al. 2018) and ``mbt2018-mean`` (Minnen et al. 2018) do, whole:
their transforms, GDN layers and EntropyBottleneck are used as they are; only the last layer of h_s
grows by the parameters that it must predict.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bench.codecs import _compressai
from bench.codecs.agvae.model.config import LAMBDAS_MSE
from bench.codecs.agvae.model.gain_units import gain_unit, log_start
from bench.codecs.agvae.model.model import Z_POWER, Estimate, straight_through, with_noise
from bench.codecs.agvae.model.split_normal import bound_log_scale, split_normal_bits, tie_scales

NAMES = ("bmshj2018-hyperprior", "mbt2018-mean")


class GainedBackbone(nn.Module):
    """A hyperprior with gain units on y and z and a split-normal entropy model of y.

    Of ``NAMES`` the first has no mean, the second has. ``channels`` is N, of the inner layers and
    of z, ``latent`` M, of y; the gains start at the loss weights of the levels, ``lambdas``.
    """

    def __init__(
        self,
        name: str,
        channels: int = 192,
        latent: int = 320,
        *,
        lambdas: tuple[float, ...] = LAMBDAS_MSE,
        gain: bool = True,
        asymmetric: bool = True,
    ) -> None:
        super().__init__()
        self.asymmetric = asymmetric
        self.has_mean = name == "mbt2018-mean"
        self.base = _hyperprior(name, channels, latent)
        outputs = latent * ((2 if asymmetric else 1) + self.has_mean)
        self.base.h_s = _widened(self.base.h_s, outputs)
        start = log_start(lambdas)
        self.gain_y = gain_unit(latent, start, gain=gain)
        self.gain_z = gain_unit(channels, Z_POWER * start, gain=gain)

    def forward(self, x: Tensor, level: Tensor, *, hard: bool = False) -> Estimate:
        """Return reconstruction and estimated bits; the same contract as ``AGVAE.forward``."""
        y = self.base.g_a(x) * self.gain_y.gain(level)
        # Without a mean only magnitudes say anything of scales (Balle et al. 2018, section 4).
        z = self.base.h_a(y if self.has_mean else y.abs()) * self.gain_z.gain(level)
        z_hat, likelihood = self.base.entropy_bottleneck(z, training=not hard)
        bits_z = -torch.log2(likelihood).sum((1, 2, 3))
        mu, left, right = self.parameters_of(z_hat * self.gain_z.inverse(level))
        residual = straight_through(y - mu)
        shown = residual if hard else with_noise(y) - mu
        bits_y = split_normal_bits(shown, left, right).sum((1, 2, 3))
        x_hat = self.base.g_s((residual + mu) * self.gain_y.inverse(level))
        return Estimate(x_hat, bits_y, bits_z)

    def parameters_of(self, z_hat: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mu, log s_l and log s_r, each (B, M, H, W); mu is 0 where there is no mean."""
        out = self.base.h_s(z_hat)
        mu, scales = out[:, : out.shape[1] - self._scales], out[:, -self._scales :]
        left, right = scales.chunk(2, 1) if self.asymmetric else tie_scales(scales, scales)
        mean = mu if self.has_mean else torch.zeros_like(left)
        return mean, bound_log_scale(left), bound_log_scale(right)

    @property
    def _scales(self) -> int:
        """Channels of h_s's output that are log-scales."""
        return int(self.base.M) * (2 if self.asymmetric else 1)


def _hyperprior(name: str, channels: int, latent: int) -> Any:  # noqa: ANN401 - untyped library
    """Return CompressAI's untrained network of a name."""
    if name not in NAMES:
        raise ValueError(f"backbone must be one of {', '.join(NAMES)}, found {name!r}")
    models = _compressai.load("models")
    kind = models.MeanScaleHyperprior if name == "mbt2018-mean" else models.ScaleHyperprior
    return kind(channels, latent)


def _widened(h_s: nn.Sequential, outputs: int) -> nn.Sequential:
    """Return ``h_s`` ending in a convolution to ``outputs`` channels, with no activation behind."""
    layers = list(h_s)
    while not isinstance(layers[-1], nn.Conv2d):
        layers.pop()  # the ReLU that kept scales positive; log-scales need none
    last = layers[-1]
    size = last.kernel_size[0]
    layers[-1] = nn.Conv2d(last.in_channels, outputs, size, padding=size // 2)
    return nn.Sequential(*layers)
