"""Winograd's convolutions are the plain ones, up to rounding, and only g_s has them."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.codecs.agvae.runtime import fused_conv, winograd
from bench.codecs.agvae.runtime.tiled_transforms import Transforms
from bench.codecs.agvae.runtime.winograd import Winograd

SIZES = [(1, 1), (1, 7), (4, 4), (5, 3), (13, 21), (16, 18)]


def conv(inputs: int = 5, outputs: int = 8) -> nn.Conv2d:
    """Return a random convolution without gradients."""
    torch.manual_seed(inputs)
    layer = nn.Conv2d(inputs, outputs, 3, padding=1)
    return layer.requires_grad_(requires_grad=False)


def activations(channels: int, height: int, width: int) -> Tensor:
    """Return random activations, channels last."""
    torch.manual_seed(height)
    return torch.randn(1, channels, height, width).to(memory_format=torch.channels_last)


def exact(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """Return the convolution in float64, rounded once."""
    return copy.deepcopy(layer).double()(x.double()).float()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [(5, 8), (64, 96)])
def test_a_convolution_with_relu(size, channels):
    """Every result of pictures of any size is that of float64, near the rounding of float32."""
    layer, x = conv(*channels), activations(channels[0], *size)

    expected = exact(layer, x).relu()
    torch.testing.assert_close(Winograd(layer, relu=True)(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("factor", [2, 3])
def test_a_convolution_with_pixel_shuffle(size, factor):
    """Channels go to the places where the pixel shuffle puts them; nothing is cut at zero."""
    layer, x = conv(7, 4 * factor**2), activations(7, *size)

    expected = nn.PixelShuffle(factor)(exact(layer, x))
    found = Winograd(layer, factor=factor)(x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert found.min() < 0


def test_errors_are_no_larger_than_twice_those_of_a_plain_convolution():
    """The points are chosen so that transforms hardly add to the rounding of sums."""
    layer, x = conv(256, 64), activations(256, 24, 24)
    expected = copy.deepcopy(layer).double()(x.double())

    plain, quick = ((c(x) - expected).square().mean().sqrt() for c in (layer, Winograd(layer)))

    assert quick < 2 * plain


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    """Let PyTorch use so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def test_threads_and_strips_change_rounding_only(threads, monkeypatch):
    """Each tile is computed once, however the picture is cut."""
    layer, x = conv(), activations(5, 37, 30)
    whole = exact(layer, x)
    monkeypatch.setattr(winograd, "STRIP", 7)
    monkeypatch.setattr(winograd, "_LEAST", 2)

    torch.testing.assert_close(Winograd(layer)(x), whole, rtol=1e-5, atol=1e-5)


def test_processes_find_the_loops_compiled():
    """Neither loop wants what only numba has: each process would compile it anew."""
    Winograd(conv())(activations(5, 4, 4))

    for loop in (winograd.evaluate, winograd.interpolate):
        assert list(loop._ready.values()) != [loop.by_numba]


def test_the_layout_of_memory_does_not_matter():
    """Activations whose channels come first in memory give the same."""
    layer, x = conv(), activations(5, 9, 6)

    assert torch.equal(Winograd(layer)(x), Winograd(layer)(x.contiguous()))


def test_one_picture_at_a_time():
    """A batch is refused, not cut to its first picture."""
    with pytest.raises(ValueError, match="too many values"):
        Winograd(conv())(torch.zeros(2, 5, 4, 4))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_stays_none_and_stays_near(value):
    """A NaN reaches all results that depend on it, through a ReLU too, and none of far tiles."""
    x = activations(5, 12, 12)
    x[0, 2, 6, 6] = value
    found = Winograd(conv(), relu=True)(x)

    assert not torch.isfinite(found[0, :, 5:8, 5:8]).all(0).any()
    assert torch.isfinite(found[0, :, :4]).all()
    assert torch.isfinite(found[0, :, 8:]).all()


@pytest.mark.parametrize(
    "options",
    [
        {"stride": 2},
        {"padding": 0},
        {"kernel_size": 1, "padding": 0},
        {"kernel_size": 5, "padding": 2},
        {"dilation": 2},
        {"groups": 4},
        {"bias": False},
        {"padding_mode": "reflect"},
        {"dtype": torch.bfloat16},
        {"in_channels": 23},
    ],
)
def test_what_does_not_suit(options):
    """Other convolutions are left to PyTorch."""
    usual = {"in_channels": 24, "out_channels": 8, "kernel_size": 3, "padding": 1}

    assert not winograd.suits(nn.Conv2d(**(usual | options)))
    assert winograd.suits(nn.Conv2d(**usual))


def quick_layers(net: nn.Module) -> int:
    """Return how many convolutions of a network are Winograd's."""
    return sum(isinstance(layer, Winograd) for layer in net.modules())


def test_only_synthesis_in_float32_has_them(small_net):
    """g_a and h_a decide bytes: their rounding stays. bfloat16 has circuits of its own.

    Five of six: the bottleneck of 16 channels is quicker as it is.
    """
    nets = {name: copy.deepcopy(getattr(small_net, name)) for name in ("g_a", "h_a", "g_s")}
    single = Transforms(small_net.config, **copy.deepcopy(nets))
    half = Transforms(small_net.config, **nets, precision=torch.bfloat16)

    assert [0, 0, 5] == [quick_layers(net) for net in (single._g_a, single._h_a, single._g_s)]
    assert [0, 0, 0] == [quick_layers(net) for net in (half._g_a, half._h_a, half._g_s)]


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (7, 4)])
def test_pictures_are_those_of_plain_convolutions(small_net, size, monkeypatch):
    """A picture differs in single samples, by one grey level."""
    torch.manual_seed(size[0])
    y, pixels = torch.randn(*size, 64), (16 * size[0], 16 * size[1] - 3)
    quick = Transforms(small_net.config, g_s=copy.deepcopy(small_net.g_s))
    plain_fused = fused_conv.fused
    monkeypatch.setattr(
        "bench.codecs.agvae.runtime.tiled_transforms.fused", lambda net, **_: plain_fused(net)
    )
    plain = Transforms(small_net.config, g_s=copy.deepcopy(small_net.g_s))

    found, expected = (t.synthesise(y, pixels).astype(int) for t in (quick, plain))

    assert 0 == quick_layers(plain._g_s)
    assert expected.std() > 1
    assert np.abs(found - expected).max() <= 1
    assert (found != expected).mean() < 1e-3


@pytest.mark.parametrize("value", [1e30, 3e38, np.inf, np.nan])
def test_any_latent_gives_a_picture(small_net, value):
    """Latents at the end of float32, or beyond, give pixels and no error."""
    quick = Transforms(small_net.config, g_s=copy.deepcopy(small_net.g_s))

    found = quick.synthesise(torch.full((3, 2, 64), value), (48, 32))

    assert (np.uint8, (48, 32, 3)) == (found.dtype, found.shape)
