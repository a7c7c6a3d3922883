"""The loss is rate plus weighted distortion; MS-SSIM is the library's."""

from __future__ import annotations

import pytest
import pytorch_msssim
import torch

from bench.codecs.agvae.model.config import LAMBDAS_MSE
from bench.codecs.agvae.model.model import Estimate
from bench.codecs.agvae.model.ms_ssim import ms_ssim
from bench.codecs.agvae.training.losses import level_weights, rate_distortion


@pytest.mark.parametrize("size", [(161, 161), (192, 256), (171, 182)])
def test_ms_ssim_is_the_librarys(size):
    """Values equal those of pytorch_msssim, odd sides included."""
    torch.manual_seed(1)
    x = torch.nn.functional.interpolate(torch.rand(3, 3, 20, 20), size, mode="bilinear")
    y = (x + 0.1 * torch.randn_like(x)).clamp(0, 1)

    expected = pytorch_msssim.ms_ssim(x, y, data_range=1.0, size_average=False)

    assert torch.allclose(expected, ms_ssim(x, y), atol=2e-6)


def test_ms_ssim_has_a_slope_everywhere():
    """Even where structure is inverted, gradients are finite."""
    x = torch.rand(1, 3, 176, 176)
    y = (1 - x).requires_grad_()

    (1 - ms_ssim(x, y)).sum().backward()

    assert torch.isfinite(y.grad).all()


def test_ms_ssim_refuses_small_images():
    """Under 161 pixels a side there is no coarsest window."""
    with pytest.raises(ValueError, match="161"):
        ms_ssim(torch.rand(1, 3, 160, 200), torch.rand(1, 3, 160, 200))


@pytest.mark.parametrize("similarity", [False, True])
def test_loss_by_hand(similarity):
    """bpp + lambda D, weighted per crop, D = 255^2 MSE or 1 - MS-SSIM."""
    torch.manual_seed(2)
    x = torch.rand(2, 3, 192, 192)
    out = Estimate((x + 0.01).clamp(0, 2), torch.tensor([3000.0, 9000.0]), torch.tensor([0.0, 600]))
    lambdas, weights = torch.tensor([0.01, 0.1]), torch.tensor([1.5, 0.5])

    loss = rate_distortion(out, x, lambdas, weights, ms_ssim_loss=similarity)

    bpp = torch.tensor([3000.0, 9600.0]) / 192**2
    distortion = 1 - ms_ssim(out.x_hat, x) if similarity else torch.full((2,), 6.5025)
    assert torch.allclose(bpp, loss.bpp)
    assert torch.allclose(distortion, loss.distortion, rtol=1e-3)
    assert torch.allclose(((bpp + lambdas * distortion) * weights).mean(), loss.total, rtol=1e-3)


def test_level_weights():
    """Mean 1, falling with lambda to the power 0.4."""
    weights = level_weights(torch.tensor(LAMBDAS_MSE))

    assert 1 == pytest.approx(weights.mean().item())
    assert 100**0.4 == pytest.approx((weights[0] / weights[-1]).item())
    assert [1.0] == level_weights(torch.tensor([0.05])).tolist()
    assert [1.0] * 8 == level_weights(torch.tensor(LAMBDAS_MSE), 0).tolist()
