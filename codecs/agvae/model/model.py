"""AG-VAE in training form: a gained variational autoencoder with an asymmetric entropy model.

::

    x --g_a--> y --gain--> y' --h_a--> gain --round--> z_hat --inverse--h_s--> psi
                           |                                                    |
                           +--- 4 passes: mu, s_l, s_r from psi and y_hat <-----+
                           |    k = round(y' - mu),  y_hat = k + mu
                           +--> y_hat --inverse gain--g_s--> x_hat

References
----------
Cui et al., "Asymmetric Gained Deep Image Compression With Continuous Rate Adaptation", CVPR 2021.
Balle et al., "Variational image compression with a scale hyperprior", ICLR 2018.
Minnen et al., "Joint autoregressive and hierarchical priors", NeurIPS 2018.
Li et al., "Neural video compression with diverse contexts" (quadtree partition), CVPR 2023.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.codecs.agvae.model.config import LAMBDAS_MSE, PASSES, Config
from bench.codecs.agvae.model.context_model import QuadtreeContext
from bench.codecs.agvae.model.factorized_prior import FactorizedPrior
from bench.codecs.agvae.model.gain_units import log_start
from bench.codecs.agvae.model.layers import SLOPE, bottlenecks, down, up
from bench.codecs.agvae.model.mechanisms import condition, set_level, units
from bench.codecs.agvae.model.split_normal import split_normal_bits

Z_POWER = 0.3
"""Hyper-latents hold scales and shapes, which move less with the level than the latent does."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a network returns in training.

    Attributes
    ----------
    x_hat
        Reconstruction, (B, 3, H, W), nominally in [0, 1], not clamped.
    bits_y, bits_z
        Estimated bits of each image, (B,).
    """

    x_hat: Tensor
    bits_y: Tensor
    bits_z: Tensor


def straight_through(x: Tensor) -> Tensor:
    """Return round(x) with the gradient of x."""
    return x + (x.round() - x).detach()


def with_noise(x: Tensor) -> Tensor:
    """Return x plus uniform noise of one quantisation step."""
    return x + torch.rand_like(x) - 0.5


def analysis(config: Config) -> nn.Sequential:
    """Return g_a: (B, 3, 16 H, 16 W) -> (B, latent, H, W)."""
    (a, b, c), (d0, d1, d2) = config.channels, config.depth
    return nn.Sequential(
        down(3, a),
        *bottlenecks(a, d0),
        down(a, b),
        *bottlenecks(b, d1),
        down(b, c),
        *bottlenecks(c, d2),
        down(c, config.latent),
    )


def synthesis(config: Config) -> nn.Sequential:
    """Return g_s: (B, latent, H, W) -> (B, 3, 16 H, 16 W)."""
    (a, b, c), (d0, d1, d2) = config.channels, config.depth
    return nn.Sequential(
        up(config.latent, c),
        *bottlenecks(c, d2),
        up(c, b),
        *bottlenecks(b, d1),
        up(b, a),
        *bottlenecks(a, d0),
        up(a, 3, 5),
    )


def hyper_analysis(config: Config) -> nn.Sequential:
    """Return h_a: (B, latent, 4 H, 4 W) -> (B, hyper, H, W)."""
    z = config.hyper
    return nn.Sequential(
        nn.Conv2d(config.latent, z, 3, padding=1),
        nn.LeakyReLU(SLOPE),
        down(z, z),
        nn.LeakyReLU(SLOPE),
        down(z, z),
    )


def hyper_synthesis(config: Config) -> nn.Sequential:
    """Return h_s: (B, hyper, H, W) -> (B, latent, 4 H, 4 W)."""
    z = config.hyper
    return nn.Sequential(
        up(z, z),
        nn.LeakyReLU(SLOPE),
        up(z, z),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(z, config.latent, 3, padding=1),
    )


class AGVAE(nn.Module):
    """The whole network; the codec's decoder runs its parts, the trainer its ``forward``.

    The gains start at sqrt(lambda_s / lambda_ref) of ``lambdas``, the loss weights of the levels.
    """

    def __init__(self, config: Config, lambdas: tuple[float, ...] = LAMBDAS_MSE) -> None:
        super().__init__()
        self.config = config
        start = log_start(lambdas[: config.levels])
        self.g_a, self.g_s = analysis(config), synthesis(config)
        self.h_a, self.h_s = hyper_analysis(config), hyper_synthesis(config)
        self.z_prior = FactorizedPrior(config.hyper)
        self.context = QuadtreeContext(config)
        self.gain_y, self.gain_z = units(config, start, Z_POWER * start)
        if config.conditional:
            condition(self, config.levels)

    def forward(self, x: Tensor, level: Tensor, *, hard: bool = False) -> Estimate:
        """Return reconstruction and estimated bits of images in [0, 1], (B, 3, H, W).

        Sides are multiples of 64; ``level`` holds each image's real rate level, (B,). The rate is
        that of the noisy residuals (training), or of the rounded ones (evaluation) where ``hard``.
        """
        if self.config.conditional:
            set_level(self, level)
        y = self.g_a(x - 0.5).float() * self.gain_y.gain(level)
        z = self.h_a(y).float() * self.gain_z.gain(level)
        z_hat = straight_through(z)
        bits_z = self.z_prior.bits(z_hat if hard else with_noise(z))
        psi = self.h_s(z_hat * self.gain_z.inverse(level))
        noisy = None if hard else with_noise(y)
        bits_y, y_hat = self._code(y, noisy, psi)
        x_hat = self.g_s(y_hat * self.gain_y.inverse(level)).float() + 0.5
        return Estimate(x_hat, bits_y, bits_z)

    def _code(self, y: Tensor, noisy: Tensor | None, psi: Tensor) -> tuple[Tensor, Tensor]:
        """Return the bits of y, (B,), and y_hat, (B, M, H, W), pass by pass."""
        y_hat = torch.zeros_like(y)
        bits = torch.zeros(y.shape[0], device=y.device)
        for k in range(PASSES):
            mask = self.context.mask(k, y)
            mu, log_left, log_right = self.context.parameters_of(k, psi, y_hat)
            residual = straight_through(y - mu)
            shown = residual if noisy is None else noisy - mu
            bits = bits + (split_normal_bits(shown, log_left, log_right) * mask).sum((1, 2, 3))
            y_hat = y_hat + (residual + mu) * mask
        return bits, y_hat
