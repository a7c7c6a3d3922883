"""Fused convolutions are the plain ones, in fewer passes over memory."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bench.codecs.agvae.model import model
from bench.codecs.agvae.model.config import Config
from bench.codecs.agvae.model.layers import Bottleneck
from bench.codecs.agvae.runtime import fused_conv


@pytest.fixture(scope="module")
def nets() -> dict[str, nn.Sequential]:
    """g_a and g_s of the base preset, channels last, as the codec runs them."""
    torch.manual_seed(2)
    made = {"g_a": model.analysis(Config()), "g_s": model.synthesis(Config())}
    return {
        name: net.eval().requires_grad_(requires_grad=False).to(memory_format=torch.channels_last)
        for name, net in made.items()
    }


def activations(name: str, height: int, width: int) -> torch.Tensor:
    """Return a random input for so many latent positions."""
    torch.manual_seed(height)
    scale, channels = (16, 3) if name == "g_a" else (1, 256)
    x = torch.randn(1, channels, scale * height, scale * width)
    return x.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", ["g_a", "g_s"])
@pytest.mark.parametrize("size", [(8, 12), (5, 7), (1, 1)])
def test_results_are_the_same(nets, name, size):
    """Same values, up to the last bits that oneDNN's choice of kernels moves for small pictures."""
    x = activations(name, *size)
    with torch.inference_mode():
        plain, quick = nets[name](x), fused_conv.fused(nets[name])(x)

    torch.testing.assert_close(plain, quick, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("winograd", [True, False])
def test_a_bottleneck_and_the_memory_of_its_input(winograd):
    """Winograd's bottleneck takes no new memory for its result; the other leaves its input."""
    plain = nn.Sequential(Bottleneck(48)).requires_grad_(requires_grad=False)
    x = torch.randn(1, 48, 9, 7).to(memory_format=torch.channels_last)
    before, expected = x.clone(), plain(x)

    found = fused_conv.fused(plain, winograd=winograd)(x)

    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(x, found if winograd else before, rtol=0, atol=0)
    assert winograd == (found.data_ptr() == x.data_ptr())


def test_weights_are_shared(nets):
    """A fused network holds no second copy of the weights."""
    quick = fused_conv.fused(nets["g_a"])

    own = {p.data_ptr() for p in nets["g_a"].parameters()}
    assert own == {p.data_ptr() for p in quick.parameters()}


def test_without_the_operators_the_network_stays(nets, monkeypatch):
    """Where PyTorch lacks them, nothing changes."""
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)

    assert nets["g_s"] is fused_conv.fused(nets["g_s"])
