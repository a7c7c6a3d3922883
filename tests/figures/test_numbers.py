"""Fits, counts and differences: against what is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import integrate

from bench.codec.complexity import counted
from bench.codecs.agvae.model.compressai_backbones import GainedBackbone
from bench.codecs.agvae.model.config import preset
from bench.codecs.agvae.model.model import AGVAE
from bench.codecs.agvae.paper import complexity
from bench.codecs.agvae.paper.residual_densities import SplitNormal, fit_split_normal, split_density
from bench.figures import rate_distortion


@pytest.mark.parametrize(("left", "right"), [(1.0, 1.0), (0.5, 2.0), (3.0, 0.4)])
def test_split_normal_integrates_to_one(left, right):
    """The density is one, with its mode at zero."""
    total = sum(
        integrate.quad(lambda x: float(split_density(np.array(x), left, right)), *ends)[0]
        for ends in ((-40, 0), (0, 40))
    )

    assert total == pytest.approx(1)


@pytest.mark.parametrize(("left", "right"), [(1.0, 1.0), (0.5, 2.0), (3.0, 1.0)])
def test_fit_recovers_what_was_drawn(rng, left, right):
    """Mode and scales of 100,000 draws come back, and the entropy is minus the likelihood."""
    size = 100_000
    half = np.abs(rng.normal(size=size))
    is_left = rng.random(size) < left / (left + right)
    x = 0.3 + np.where(is_left, -left * half, right * half)

    fitted = fit_split_normal(x)

    assert fitted.mode == pytest.approx(0.3, abs=0.1)
    assert (left, right) == pytest.approx((fitted.left, fitted.right), rel=0.06)
    likelihood = -np.log2(fitted.density(x)).mean()
    assert likelihood == pytest.approx(fitted.entropy_bits, rel=1e-3)
    truth = SplitNormal(0.3, left, right)
    assert likelihood <= -np.log2(truth.density(x)).mean() + 1e-3


def test_macs_of_a_convolution():
    """A 3x3 convolution from 3 to 8 channels costs 3 * 8 * 9 MACs a pixel."""
    conv = torch.nn.Conv2d(3, 8, 3, padding=1).to("meta")

    macs, _ = counted(lambda: conv(torch.empty(1, 3, 256, 256, device="meta")))

    assert 3 * 8 * 9 * 256**2 == macs


@pytest.mark.usefixtures("compressai")
def test_gain_units_of_the_ablation_backbone_cost_what_the_paper_says():
    """With N = 128, M = 192 and six levels, 0.076 % of Balle's hyperprior: the paper's number."""
    options = complexity.Options(backbones=(("bmshj2018-hyperprior", 128, 192, 6),))

    [found] = complexity.computed(options)

    assert 2 * 6 * (128 + 192) == found.parameters_added
    assert "0.076" == f"{found.parameters_percent:.3f}"
    assert "0.023" == f"{100 * 6 * 192 / found.parameters:.3f}"  # the paper's bottleneck scaling
    net = GainedBackbone("bmshj2018-hyperprior", 128, 192, gain=False, asymmetric=False)
    assert complexity.parameters(net) == found.parameters
    assert 2 * (192 * 16**2 + 128 * 4**2) == found.macs_added


def test_other_mechanisms_are_counted_on_the_network():
    """One table or two, one number a level, or two for each output of every convolution."""
    costs = list(complexity.computed(complexity.Options(presets=(("small", 8),))))

    gain, cvr, scaling, scalar, conditional = costs
    latent, hyper = 64, 32
    assert 2 * 8 * (latent + hyper) == gain.parameters_added
    assert 2 * 8 * latent == cvr.parameters_added
    assert 8 * latent == scaling.parameters_added
    assert 8 == scalar.parameters_added
    assert 2 * latent * 16**2 == cvr.macs_added == scaling.macs_added == scalar.macs_added
    outputs = conditional.parameters_added / 16
    assert outputs == sum(
        len(weight)
        for name, weight in AGVAE(preset("small")).named_parameters()
        if weight.ndim == 4 and name.startswith(("g_a", "g_s", "h_a", "h_s"))
    )
    assert conditional.macs_added > 100 * gain.macs_added


def test_difference_of_parallel_curves_is_their_distance():
    """Curves half a decibel apart differ by that everywhere; curves that do not meet, nowhere."""
    rates = np.geomspace(0.1, 2, 7)
    low = np.column_stack([rates, 20 + 5 * np.log2(rates)])
    high = low + np.array([0, 0.5])

    assert np.allclose(0.5, rate_distortion.difference(high, low)[:, 1])
    assert 0 == len(rate_distortion.difference(low[:3], high[4:]))
