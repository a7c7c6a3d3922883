"""The training form of AG-VAE."""

from __future__ import annotations

import pytest
import torch

from bench.codecs.agvae.model.config import preset
from bench.codecs.agvae.model.model import AGVAE


@pytest.fixture(params=[(g, a) for g in (True, False) for a in (True, False)])
def net(request):
    """One small network of each variant."""
    torch.manual_seed(0)
    gain, asymmetric = request.param
    return AGVAE(preset("small", gain=gain, asymmetric=asymmetric))


def test_forward_shapes(net):
    """An image of the input's shape and bits per image come back."""
    x = torch.rand(2, 3, 64, 128)

    out = net(x, torch.tensor([0.0, 7.0]))

    assert x.shape == out.x_hat.shape
    assert (2,) == out.bits_y.shape == out.bits_z.shape


def test_every_parameter_learns(net):
    """Rate and distortion reach every parameter; unused gain levels alone stay still."""
    # An untrained g_a is faint: without the factor every hyper-latent rounds to zero.
    out = net(1000 * torch.rand(1, 3, 64, 64), torch.tensor([2.5]))
    (out.bits_y.sum() + out.bits_z.sum() + 1e3 * out.x_hat.square().sum()).backward()

    still = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]

    assert [] == still
    if net.config.gain:
        moved = net.gain_y.log_gain.grad.abs().sum(1).nonzero().flatten()
        assert [2, 3] == moved.tolist()


def test_gains_move_the_rate(small_net):
    """A higher level costs more bits, and interpolated levels lie between."""
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    bits = [
        small_net(x, torch.tensor([level]), hard=True).bits_y.item() for level in (1.0, 1.5, 2.0)
    ]

    assert bits == sorted(bits)
    assert bits[0] < bits[1] < bits[2]


def test_noise_estimates_the_hard_rate(small_net):
    """The differentiable rate is close to that of the rounded residuals."""
    torch.manual_seed(0)
    x = torch.rand(4, 3, 128, 128)
    level = torch.tensor([3.0, 4.0, 5.0, 6.0])

    noisy, hard = small_net(x, level), small_net(x, level, hard=True)

    torch.testing.assert_close(hard.bits_y, noisy.bits_y, rtol=0.05, atol=0)


def test_gaussian_variant_has_one_scale():
    """Both scales of the symmetric variant are the same tensor's values."""
    context = AGVAE(preset("small", asymmetric=False)).context

    _, left, right = context.parameters_of(0, torch.randn(1, 64, 4, 4), torch.zeros(1))

    assert torch.equal(left, right)


def test_a_pass_sees_only_what_is_decoded(small_net):
    """Later quarters of y cannot change the parameters of a pass: they are masked to zero."""
    torch.manual_seed(0)
    psi, y = torch.randn(1, 64, 4, 4), torch.randn(1, 64, 4, 4)
    context = small_net.context
    seen = y * context.mask(0, y)
    more = y * (context.mask(0, y) + context.mask(1, y))

    assert not torch.equal(
        context.parameters_of(1, psi, seen)[0], context.parameters_of(2, psi, more)[0]
    )
    assert torch.equal(context.parameters_of(0, psi, seen)[0], context.parameters_of(0, psi, y)[0])
