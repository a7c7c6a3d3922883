"""Tiles must equal the whole, and no more overlap is needed than the networks' reach."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from bench.codecs.agvae.model.config import Config
from bench.codecs.agvae.runtime.tiled_transforms import Transforms, hyper_size, latent_size, reach


def transforms(net, **options) -> Transforms:
    """Return the float networks of a training network."""
    nets = {name: copy.deepcopy(getattr(net, name)) for name in ("g_a", "h_a", "g_s")}
    return Transforms(net.config, **nets, **options)


@pytest.mark.parametrize("size", [(1, 1), (200, 75), (161, 163), (64, 333)])
def test_tiles_equal_the_whole(small_net, formula, size):
    """Cutting into tiles with overlap changes latents and pixels by rounding errors only."""
    image = formula(*size)
    whole, tiled = transforms(small_net), transforms(small_net, tile=3)

    y, y_tiled = whole.analyse(image), tiled.analyse(image)
    back, back_tiled = (t.synthesise(y.round() / 20, size) for t in (whole, tiled))

    assert (*latent_size(*size), 64) == y.shape
    torch.testing.assert_close(y, y_tiled, rtol=1e-4, atol=1e-4)
    assert (*size, 3) == back.shape
    assert np.abs(back.astype(int) - back_tiled).max() <= 1
    assert (back != back_tiled).mean() < 1e-3


def test_reach_of_the_base_network():
    """g_a sees 78 pixels, g_s 5 latent positions away: five positions of overlap."""
    assert 5 == reach(Config())


def test_reach_is_enough_and_not_wasteful(small_net, formula):
    """A change beyond the reach leaves a latent position alone; one closer does not."""
    image = formula(16 * 13, 16 * 13)
    far = reach(small_net.config)
    t = transforms(small_net)
    y = t.analyse(image)

    def changed(row: int) -> bool:
        other = image.copy()
        other[row] ^= 255
        return not torch.equal(y[6], t.analyse(other)[6])

    assert not changed(16 * (6 - far) - 1)
    assert changed(16 * (6 - far + 1))


def test_padding_repeats_the_edge(small_net, formula):
    """An image and itself with its last row and column repeated share their latent."""
    image = formula(20, 27)
    padded = np.pad(image, ((0, 12), (0, 5), (0, 0)), mode="edge")
    t = transforms(small_net)

    assert torch.equal(t.analyse(padded), t.analyse(image))


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (4, 8)])
def test_hyper_latent_covers_any_latent(small_net, size):
    """One hyper position stands for up to 4x4 latent positions."""
    z = transforms(small_net).hyper_analyse(torch.randn(*size, 64))

    assert (*hyper_size(*size), 32) == z.shape


def test_bfloat16_changes_pixels_little(small_net, formula):
    """Synthesis in bfloat16 gives nearly the same image."""
    y = transforms(small_net).analyse(formula(64, 64)) / 20

    single = transforms(small_net).synthesise(y, (64, 64)).astype(int)
    half = transforms(small_net, precision=torch.bfloat16).synthesise(y, (64, 64))

    assert np.abs(single - half).mean() < 3
