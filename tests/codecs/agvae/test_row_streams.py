"""Bands of rows give what the whole picture gives, and nothing is computed twice."""

from __future__ import annotations

import copy
from collections import Counter

import pytest
import torch
from torch import Tensor, nn

from bench.codecs.agvae.runtime.fused_conv import fused
from bench.codecs.agvae.runtime.row_streams import RowStream
from bench.codecs.agvae.runtime.tiled_transforms import Transforms

FIRST = 6  # latent rows after which every layer has some to return


@pytest.fixture(params=["plain", "fused", "bfloat16"])
def g_a(request, small_net) -> nn.Module:
    """Return g_a as a CPU runs it, as a GPU does, or as a CPU without circuits for bfloat16."""
    net = copy.deepcopy(small_net.g_a).eval().to(memory_format=torch.channels_last)
    net = net.bfloat16() if request.param == "bfloat16" else net
    return net if request.param == "plain" else fused(net)


def picture(net: nn.Module, rows: int) -> Tensor:
    """Return noise of so many latent rows and 3 columns."""
    noise = torch.rand(1, 3, 16 * rows, 48, generator=torch.Generator().manual_seed(rows)) - 0.5
    like = next(net.parameters())
    return noise.to(like).contiguous(memory_format=torch.channels_last)


def in_bands(net: nn.Module, x: Tensor, heights: list[int]) -> Tensor:
    """Return what a stream makes of bands of so many latent rows each."""
    stream, bands = RowStream(net), x.split([16 * height for height in heights], 2)
    found = [stream.push(band, last=band is bands[-1]) for band in bands]
    return torch.cat(found, 2)


@pytest.mark.parametrize("heights", [[1], [FIRST], [FIRST, 1], [FIRST, 1, 1, 1], [9, 2, 5, 1]])
@torch.no_grad()
def test_bands_equal_the_whole(g_a, heights):
    """Wherever a picture is cut, also a row before its end; its edges are padded as usual."""
    x = picture(g_a, sum(heights))
    whole, found = g_a(x), in_bands(g_a, x, heights)

    assert whole.shape == found.shape
    exact = g_a[0].weight.dtype == torch.float32
    assert torch.allclose(whole, found, atol=1e-4 if exact else 0.05, rtol=1e-4 if exact else 0.05)


@torch.no_grad()
def test_no_row_is_computed_twice(small_net):
    """Each convolution returns as many rows for all bands as for the whole picture."""
    net = copy.deepcopy(small_net.g_a)
    rows: Counter[str] = Counter()
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(
                lambda _, __, out, name=name: rows.update({name: out.shape[2]})
            )
    x = picture(net, 20)
    net(x)
    whole = dict(rows)
    rows.clear()
    in_bands(net, x, [FIRST, 2, 5, 3, 4])

    assert whole == rows


@torch.no_grad()
def test_what_is_kept_does_not_hold_a_band(small_net):
    """The rows for the next band are copies: the memory of a band is free when it is done."""
    stream = RowStream(small_net.g_a)
    stream.push(picture(small_net.g_a, 20), last=False)
    convolutions = [getattr(layer, "_middle", layer) for layer in stream._layers]
    kept = [layer._kept for layer in (*stream._layers, *convolutions)]

    assert all(rows.untyped_storage().nbytes() == 4 * rows.numel() for rows in kept)
    assert all(1 <= rows.shape[2] <= 4 for rows in kept)


def test_large_pictures_come_in_bands(small_net, formula, monkeypatch):
    """A picture that is no larger than allowed goes through g_a whole, each other one in bands."""
    bands: list[int] = []
    push = RowStream.push
    monkeypatch.setattr(
        RowStream, "push", lambda *a, **o: bands.append(a[1].shape[2] // 16) or push(*a, **o)
    )
    transforms = Transforms(small_net.config, g_a=copy.deepcopy(small_net.g_a), tile=6)
    transforms.analyse(formula(96, 96))
    whole = list(bands)
    transforms.analyse(formula(16 * 40, 16 * 12 - 3))

    assert whole == []
    assert 40 == sum(bands)
    assert {3} == set(bands[1:-1])
