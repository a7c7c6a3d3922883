"""Gain units, the training entropy model, the prior of z, the partition: each against a source."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate

from bench.codecs.agvae.model import gain_units, quadtree, split_normal
from bench.codecs.agvae.model.config import LAMBDAS_MSE, PASSES, Config, preset
from bench.codecs.agvae.model.context_model import QuadtreeContext
from bench.codecs.agvae.model.factorized_prior import FactorizedPrior


def test_gain_interpolates_exponentially():
    """Between levels r and t the gain is m_r^l m_t^(1-l), the inverse likewise (eqs. 7-8)."""
    torch.manual_seed(0)
    unit = gain_units.GainUnit(5, torch.randn(4))
    for table in unit.parameters():
        table.data.normal_()
    m, inverse = unit.log_gain.exp(), unit.log_inverse.exp()

    got = unit.gain(torch.tensor([1.25, 3.0]))
    back = unit.inverse(torch.tensor([1.25, 3.0]))

    torch.testing.assert_close(m[1] ** 0.75 * m[2] ** 0.25, got[0, :, 0, 0])
    torch.testing.assert_close(m[3], got[1, :, 0, 0])
    torch.testing.assert_close(inverse[1] ** 0.75 * inverse[2] ** 0.25, back[0, :, 0, 0])
    assert (got * back - 1).abs().max() > 0.1, "the inverse is learned, not a reciprocal"


def test_gains_start_at_the_roots_of_lambda():
    """Gains of two levels start in the ratio of the roots of their loss weights."""
    start = gain_units.log_start(LAMBDAS_MSE).exp()

    assert math.sqrt(0.18 / 0.0018) == pytest.approx(float(start[7] / start[0]), rel=1e-5)
    assert 1 == start[4]


@pytest.mark.parametrize(
    ("left", "right"), [(0.11, 0.11), (0.4, 2.5), (7.0, 0.2), (64, 30), (3, 3)]
)
def test_split_normal_bits_against_numerical_integration(left, right):
    """A bin's bits are -log2 of the integral of the density over it."""

    def density(x: float) -> float:
        scale = left if x < 0 else right
        return math.sqrt(2 / math.pi) / (left + right) * math.exp(-0.5 * (x / scale) ** 2)

    values = [v for v in (-3.0, -1.0, -0.3, 0.0, 0.45, 1.0, 2.0) if -4 * left < v < 4 * right]
    mass = [integrate.quad(density, v - 0.5, v + 0.5, points=[0], epsabs=1e-13)[0] for v in values]

    got = split_normal.split_normal_bits(
        torch.tensor(values, dtype=torch.float64),
        torch.full((len(values),), math.log(left), dtype=torch.float64),
        torch.full((len(values),), math.log(right), dtype=torch.float64),
    )

    np.testing.assert_allclose(-np.log2(np.maximum(mass, 1e-9)), got.numpy(), rtol=1e-6)


def test_equal_scales_give_the_gaussian():
    """With s_l = s_r the model is the Gaussian of Minnen et al. 2018."""
    v = torch.linspace(-6, 6, 97, dtype=torch.float64)
    log_scale = torch.full_like(v, math.log(1.7))
    normal = torch.distributions.Normal(torch.tensor(0.0, dtype=torch.float64), 1.7)

    expected = -torch.log2(normal.cdf(v + 0.5) - normal.cdf(v - 0.5))

    torch.testing.assert_close(expected, split_normal.split_normal_bits(v, log_scale, log_scale))


def test_bins_sum_to_one_and_mirror():
    """All bins together hold the whole mass, and swapping the scales mirrors them."""
    k = torch.arange(-400.0, 401, dtype=torch.float64)
    left, right = (torch.full_like(k, math.log(s)) for s in (0.6, 9.0))

    bits = split_normal.split_normal_bits(k, left, right)

    # Every bin is held to at least 1e-9, so that far tails add up to a little.
    assert 1 == pytest.approx(float(torch.exp2(-bits).sum()), abs=1e-6)
    torch.testing.assert_close(bits.flip(0), split_normal.split_normal_bits(k, right, left))


def test_only_the_near_scale_shapes_a_side():
    """P(k | k > 0) depends on the right scale alone: the ratio of two right bins ignores s_l."""
    k = torch.tensor([1.0, 3.0], dtype=torch.float64)
    right = torch.full_like(k, math.log(2.0))

    gaps = [
        split_normal.split_normal_bits(k, torch.full_like(k, math.log(s)), right).diff().item()
        for s in (0.2, 5.0)
    ]

    assert gaps[0] == pytest.approx(gaps[1], rel=1e-9)


def test_bounded_scales_can_climb_back():
    """A log-scale under the floor still receives the gradient that lifts it, not the other."""
    x = torch.tensor([-5.0, -5.0, 9.0], requires_grad=True)

    bounded = split_normal.bound_log_scale(x)
    (bounded * torch.tensor([-1.0, 1.0, 1.0])).sum().backward()

    assert [math.log(0.11), math.log(0.11), math.log(64)] == pytest.approx(bounded.tolist())
    assert [-1, 0, 0] == x.grad.tolist()


def test_prior_equals_compressai(compressai):
    """With the same parameters every bin's mass is that of CompressAI's EntropyBottleneck."""
    torch.manual_seed(3)
    theirs, ours = compressai("entropy_models").EntropyBottleneck(6), FactorizedPrior(6)
    state = {k: v + 0.3 * torch.randn_like(v) for k, v in ours.state_dict().items()}
    ours.double().load_state_dict(state)
    theirs.double().load_state_dict(state, strict=False)
    z = torch.randint(-8, 9, (2, 6, 3, 4)).double()

    _, likelihood = theirs(z, training=False)

    assert likelihood.min() > 1e-9, "no bin at the bound"
    torch.testing.assert_close(-torch.log2(likelihood).sum((1, 2, 3)), ours.bits(z))


def test_partition_decodes_everything_once():
    """Four passes cover every position and channel once, a quarter at a time."""
    context = QuadtreeContext(preset("small"))
    y = torch.zeros(1, 64, 5, 7)

    masks = torch.stack([context.mask(k, y) for k in range(PASSES)])

    assert torch.equal(torch.ones(64, 5, 7), masks.sum(0))
    assert (16 == masks[:, :, :4, :6].sum(1)).all()


def test_partition_visits_the_diagonal_next():
    """The group that a class decodes in a pass is the diagonal's in the pass after (0->1, 2->3)."""
    for first, second in ((0, 1), (2, 3)):
        for here, diagonal in ((0, 3), (1, 2), (2, 1), (3, 0)):
            assert quadtree.group(first, here) == quadtree.group(second, diagonal)


def test_config_speaks_of_its_variant():
    """A configuration survives its plain form, and names its variant."""
    config = preset("small", gain=False, asymmetric=False)

    assert "nogain-gauss" == config.variant
    assert config == Config.from_dict(config.to_dict())
    assert config == Config.from_dict({k: list(v) if isinstance(v, tuple) else v
                                       for k, v in config.to_dict().items()})  # fmt: skip


@pytest.mark.parametrize("wrong", [{"latent": 30}, {"levels": 1}])
def test_impossible_configs_are_refused(wrong):
    """Sizes that cannot be partitioned or interpolated are refused with the number."""
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        Config(**wrong)
