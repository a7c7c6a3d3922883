"""CompressAI's hyperpriors must carry our gain units and entropy model unchanged."""

from __future__ import annotations

import pytest
import torch

from bench.codecs.agvae.model.compressai_backbones import NAMES, GainedBackbone
from bench.codecs.agvae.model.gain_units import GainUnit, NoGain

pytestmark = pytest.mark.usefixtures("compressai")


def small(name: str, **options: bool) -> GainedBackbone:
    """Return a narrow backbone with reproducible weights."""
    torch.manual_seed(1)
    return GainedBackbone(name, 16, 24, **options)


@pytest.mark.parametrize("name", NAMES)
def test_shapes(name):
    """A backbone returns an image of the input's shape and bits per image."""
    x = torch.rand(2, 3, 64, 128)

    out = small(name)(x, torch.tensor([0.0, 6.5]))

    assert x.shape == out.x_hat.shape
    assert (2,) == out.bits_y.shape == out.bits_z.shape
    assert (out.bits_y > 0).all()
    assert (out.bits_z > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_gains_and_both_scales(name):
    """Rate and distortion move every gain table, and h_s through each of the two scales."""
    net = small(name)
    # An untrained g_a is faint: without the factor every latent of bmshj2018 rounds to zero.
    out = net(200 * torch.rand(1, 3, 64, 64), torch.tensor([2.5]))
    (out.bits_y.sum() + out.bits_z.sum() + 1e4 * out.x_hat.square().mean()).backward()

    for unit in (net.gain_y, net.gain_z):
        for table in (unit.log_gain, unit.log_inverse):
            assert [2, 3] == table.grad.abs().sum(1).nonzero().flatten().tolist()
    left, right = net.base.h_s[-1].weight.grad[-48:].chunk(2)
    assert left.abs().sum() > 0
    assert right.abs().sum() > 0
    assert not torch.equal(left, right)


@pytest.mark.parametrize("name", NAMES)
def test_symmetric_form_ties_the_scales(name):
    """Without asymmetry one scale serves both sides, and h_s predicts fewer channels."""
    net, wide = small(name, asymmetric=False), small(name)

    _, left, right = net.parameters_of(torch.randn(1, 16, 2, 2))

    assert torch.equal(left, right)
    assert 24 == wide.base.h_s[-1].out_channels - net.base.h_s[-1].out_channels


def test_only_the_mean_backbone_has_a_mean():
    """bmshj2018 predicts no mode: it stays at zero."""
    z = torch.randn(1, 16, 2, 2)

    assert 0 == small("bmshj2018-hyperprior").parameters_of(z)[0].abs().max()
    assert small("mbt2018-mean").parameters_of(z)[0].abs().max() > 0


@pytest.mark.parametrize("name", NAMES)
def test_level_matters_only_with_gain(name):
    """A higher level spends more bits with gain units, and the same without."""
    x, low, high = torch.rand(1, 3, 64, 64), torch.tensor([0.0]), torch.tensor([7.0])
    gained, plain = small(name).eval(), small(name, gain=False).eval()

    assert gained(x, low, hard=True).bits_y < gained(x, high, hard=True).bits_y
    assert plain(x, low, hard=True).bits_y == plain(x, high, hard=True).bits_y
    assert isinstance(gained.gain_y, GainUnit)
    assert isinstance(plain.gain_y, NoGain)
    assert [] == list(plain.gain_y.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_gain_units_are_nearly_free(name):
    """Six levels of gain add under 0.1 % of parameters (the paper's Table 1: 0.04 to 0.08 %)."""
    lambdas = (0.05, 0.03, 0.007, 0.003, 0.001, 0.0003)

    count = {
        gain: sum(p.numel() for p in GainedBackbone(name, lambdas=lambdas, gain=gain).parameters())
        for gain in (True, False)
    }

    assert 2 * 6 * (320 + 192) == count[True] - count[False]
    assert (count[True] - count[False]) / count[False] < 1e-3


def test_unknown_backbone_is_refused():
    """A name that is no backbone is refused with the known ones."""
    with pytest.raises(ValueError, match="mbt2018-mean"):
        GainedBackbone("mbt2018")
