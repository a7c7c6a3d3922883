"""Rate plus weighted distortion of all levels in a batch: the paper's eq. 6, one term a crop."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from bench.codecs.agvae.model.model import Estimate
from bench.codecs.agvae.model.ms_ssim import ms_ssim

LEVEL_POWER = 0.4
"""Each level's loss counts (lambda_mid / lambda)^0.4: the high rates' terms are large by nature.

Smaller gives the high rates more weight.
"""


def level_weights(lambdas: Tensor, power: float = LEVEL_POWER) -> Tensor:
    """Return the weight of each level's loss, mean 1, shape (levels,)."""
    weights = (lambdas[lambdas.shape[0] // 2] / lambdas) ** power
    return weights / weights.mean()


@dataclass(frozen=True, slots=True)
class Loss:
    """What one batch gave, per crop: (B,) each but ``total``.

    Attributes
    ----------
    total
        To be minimised, without dimensions.
    bpp
        Estimated bits per pixel.
    mse
        Mean squared error of samples in [0, 1].
    distortion
        What the loss weighs: 255^2 MSE, or 1 - MS-SSIM.
    """

    total: Tensor
    bpp: Tensor
    mse: Tensor
    distortion: Tensor


def rate_distortion(
    estimate: Estimate, x: Tensor, lambdas: Tensor, weights: Tensor, *, ms_ssim_loss: bool
) -> Loss:
    """Return the loss of a batch: crops in [0, 1], (B, 3, H, W), and what the network made of them.

    ``lambdas`` and ``weights`` are of each crop's level, (B,); distortion is 255^2 MSE, or
    1 - MS-SSIM where ``ms_ssim_loss``.
    """
    bpp = (estimate.bits_y + estimate.bits_z) / (x.shape[2] * x.shape[3])
    mse = (estimate.x_hat - x).square().mean((1, 2, 3))
    distortion = 1 - ms_ssim(estimate.x_hat, x) if ms_ssim_loss else 255**2 * mse
    total = ((bpp + lambdas * distortion) * weights).mean()
    return Loss(total, bpp, mse, distortion)
