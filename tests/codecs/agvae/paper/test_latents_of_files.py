"""The probe shows what real files hold."""

from __future__ import annotations

import numpy as np
import pytest

from bench import image
from bench.codecs.agvae.paper.latents_of_files import Probe, Symbols
from bench.codecs.agvae.paper.two_scales import bits, matched_mass, split_mass
from bench.codecs.agvae.weights import checkpoints
from bench.output.figure import Skipped


@pytest.fixture(scope="module")
def probe() -> Probe:
    """The suite's AG-VAE from the inside."""
    return Probe("agvae")


@pytest.fixture(scope="module")
def crop(photo: image.Image) -> image.Image:
    """A picture whose sides are no multiples of anything."""
    return np.ascontiguousarray(photo[20:171, 100:273])


def test_reconstructing_a_files_latents_is_decoding_it(probe, crop):
    """What the importance figure changes is what the codec decodes."""
    data = probe.encode(crop, 2.5)

    again = probe.reconstruct(probe.latents(data), 2.5, crop.shape[:2])

    assert np.array_equal(probe.codec.decode(data), again)


def test_symbols_are_the_files(probe, crop):
    """Estimated bits of the symbols are the real bytes of the four passes, within 2 %."""
    ledger = probe.codec.ledger(probe.encode(crop, 5))
    real = sum(size for part, size in ledger.items() if part.startswith("pass"))

    symbols = probe.symbols(crop, 5)

    assert bits(split_mass(symbols)) / 8 == pytest.approx(real, rel=0.02)
    assert np.abs(symbols.residual - symbols.symbol).max() <= 0.5
    assert probe.config.latent == len(np.unique(symbols.channel))


def test_payload_is_the_file_without_its_frame(probe, crop):
    """With z gained as usual the payload has exactly the file's bytes."""
    data = probe.encode(crop, 3)
    ledger = probe.codec.ledger(data)

    size = probe.payload_bytes(crop, 3, 3)

    assert len(data) - ledger["header"] - ledger["checksum"] == size
    assert size != probe.payload_bytes(crop, 3, 0)


def test_masses_sum_to_one_and_agree_where_scales_do():
    """Both bin masses are distributions; equal scales make them the same Gaussian."""
    k = np.arange(-60.0, 61.0)
    uneven = Symbols(k, k, np.full_like(k, 0.7), np.full_like(k, 2.5), k.astype(int))
    even = Symbols(k, k, np.full_like(k, 1.3), np.full_like(k, 1.3), k.astype(int))

    assert split_mass(uneven).sum() == pytest.approx(1)
    assert matched_mass(uneven).sum() == pytest.approx(1)
    assert np.allclose(split_mass(even), matched_mass(even), rtol=1e-9, atol=1e-15)


def test_matched_gaussian_has_the_mean_and_variance_of_the_split_normal():
    """On a fine grid both have the same first two moments."""
    k = np.arange(-4000.0, 4001.0)
    wide = Symbols(k, k, np.full_like(k, 90.0), np.full_like(k, 240.0), k.astype(int))
    first, second = split_mass(wide), matched_mass(wide)

    assert (first * k).sum() == pytest.approx((second * k).sum(), rel=1e-3)
    assert (first * k**2).sum() == pytest.approx((second * k**2).sum(), rel=1e-3)


def test_missing_weights_are_a_reason_and_a_command(monkeypatch, tmp_path):
    """A variant without weights says how to train them."""
    monkeypatch.setattr(checkpoints, "folders", lambda: [tmp_path])
    with pytest.raises(Skipped, match=r"nogain.*bench train-all --data FOLDER --only"):
        Probe("agvae-nogain")


def test_other_codecs_have_no_inside():
    """JPEG has no latents."""
    with pytest.raises(Skipped, match="not an AG-VAE"):
        Probe("jpeg")
