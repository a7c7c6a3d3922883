"""Fixed-point layers: exact for any order of summation, or not built at all."""

from __future__ import annotations

import math
import random

import pytest
import torch
from torch.nn import functional

from bench.codecs.agvae.integer import fixed_point
from bench.codecs.agvae.integer.fixed_point import LIMIT, Affine, Conv3, Depthwise


def integers(*shape: int, top: int = 4000) -> torch.Tensor:
    """Return random activations in steps."""
    return torch.randint(-top, top + 1, shape).double()


def test_affine_equals_integer_arithmetic():
    """A layer gives what Python's integers give, at the largest activations there can be."""
    torch.manual_seed(0)
    layer = Affine(torch.randn(96, 3) * 8, torch.randn(3))
    x = torch.where(torch.rand(2, 96) < 0.5, LIMIT, -LIMIT).double()
    # A sum small enough not to saturate: pair every large activation with its opposite.
    x[1, 48:] = -x[1, :48]

    got = layer(x)

    for row in range(2):
        for column in range(3):
            # In units of 2^-12 step: weights * 2^12, bias (value * 2^8) * 2^12.
            total = sum(
                int(a) * int(w * 4096)
                for a, w in zip(x[row].tolist(), layer.weight[:, column].tolist(), strict=True)
            ) + int(layer.bias[column].item() * 4096)
            rounded = (total + 2048) // 4096
            if total % 4096 == 2048:
                rounded -= rounded % 2
            assert max(-LIMIT, min(LIMIT, rounded)) == got[row, column].item()


def test_any_order_of_summation_gives_the_same_bits():
    """Permuting the inputs of a layer changes nothing, leaky activations included."""
    torch.manual_seed(1)
    weight, bias = torch.randn(1024, 16), torch.randn(16)
    x = fixed_point.leak(integers(8, 1024, top=LIMIT))
    order = list(range(1024))
    random.Random(0).shuffle(order)

    straight = torch.addmm(Affine(weight, bias).bias, x, Affine(weight, bias).weight)
    shuffled = Affine(weight[order], bias)
    other = torch.addmm(shuffled.bias, x[:, order], shuffled.weight)
    one_by_one = shuffled.bias.expand(8, 16).clone()
    for i in range(1024):
        one_by_one += x[:, order[i], None] * shuffled.weight[i]

    assert torch.equal(straight, other)
    assert torch.equal(straight, one_by_one)


def test_weights_too_large_to_be_exact_are_refused():
    """A layer whose sums could pass 2^53 units is not built."""
    limit = 2.0**53 * fixed_point.UNIT / LIMIT  # of the L1 norm of a row

    Affine(torch.full((4, 1), limit / 4 - 1), torch.zeros(1))
    with pytest.raises(ValueError, match=r"2\^53"):
        Affine(torch.full((4, 1), limit / 4), torch.zeros(1))
    with pytest.raises(ValueError, match=r"2\^53"):
        Affine(torch.full((4, 1), math.nan), torch.zeros(1))


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 6)])
def test_convolutions_equal_torch(size):
    """Written-out convolutions compute what torch's do, also on one pixel, also twice."""
    torch.manual_seed(2)
    x = integers(2, *size, 8)
    weight, bias = torch.randn(8, 8, 3, 3), torch.randn(8)
    thin, wide = torch.randn(8, 1, 3, 3), torch.randn(16, 8, 3, 3)
    planes = x.permute(0, 3, 1, 2)

    def expected(w: torch.Tensor, b: torch.Tensor, groups: int = 1) -> torch.Tensor:
        out = functional.conv2d(
            planes, fixed_point.to_grid(w), fixed_point.to_grid(b) * 256, padding=1, groups=groups
        )
        return fixed_point.requantise(out)

    plain, depthwise = Conv3(weight, bias), Depthwise(thin, bias)
    shuffling = Conv3(wide, torch.arange(16.0), shuffle=True)
    for _ in range(2):
        assert torch.equal(expected(weight, bias), plain(x).permute(0, 3, 1, 2))
        assert torch.equal(expected(thin, bias, 8), depthwise(x).permute(0, 3, 1, 2))
        assert torch.equal(
            functional.pixel_shuffle(expected(wide, torch.arange(16.0)), 2),
            shuffling(x).permute(0, 3, 1, 2),
        )


def test_one_pass_kernels_equal_separate_operations():
    """Rounding, saturation, leak and residual in one pass give the bits of PyTorch's passes."""
    torch.manual_seed(3)
    sums = torch.cat(
        (integers(999, top=2 * LIMIT) + torch.randint(0, 8, (999,)) / 8, -0.5 * ones())
    )
    residual = integers(*sums.shape, top=LIMIT)
    requantised = sums.round().clamp(-LIMIT, LIMIT)

    assert torch.equal(requantised, fixed_point.requantise(sums.clone()))
    assert torch.equal(
        fixed_point.leak(requantised.clone()), fixed_point.requantise_and_leak(sums.clone())
    )
    total = (requantised + residual).clamp(-LIMIT, LIMIT)
    assert torch.equal(total, fixed_point.requantise_and_add(sums.clone(), residual))
    every_other = torch.stack((sums, sums), 1)[:, 0]  # strided: PyTorch's passes
    assert torch.equal(total, fixed_point.requantise_and_add(every_other, residual))


def ones() -> torch.Tensor:
    """Return odd numbers: halved, they are ties."""
    return torch.arange(-99, 100, 2).double()


def test_exponential_is_the_nearest_integer():
    """Interpolated gains are round(4096 exp(x)), at both ends and between."""
    table = fixed_point.log_table(torch.tensor([[0.0, -1.5, 3.25], [0.5, 1.0, -2.0]]))

    ends = [fixed_point.exponential(*table, share) for share in (0, 256)]
    middle = fixed_point.exponential(*table, 64)

    assert (4096, 914, 105637) == ends[0]
    assert (6753, 11134, 554) == ends[1]
    expected = [0.75 * a + 0.25 * b for a, b in ((0, 0.5), (-1.5, 1), (3.25, -2))]
    assert tuple(round(4096 * math.exp(x)) for x in expected) == middle


def test_absurd_gains_are_refused():
    """A gain beyond e^16 could leave the exact range and is refused."""
    with pytest.raises(ValueError, match=r"e\^16"):
        fixed_point.log_table(torch.tensor([[16.5]]))
