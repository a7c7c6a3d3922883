"""How long a metric takes on one Kodak-sized image, one thread, beside the package it follows.

``pytest tests/benchmarks/test_metrics_speed.py --benchmark-only``
"""

from __future__ import annotations

import warnings
from io import BytesIO

import cv2
import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from bench import metrics
from bench.analysis import bjontegaard, over_images
from bench.errors import MetricError


@pytest.fixture(autouse=True)
def _one_thread():
    """Pin OpenCV and torch to one thread, as the harness does in its workers."""
    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    yield
    cv2.setNumThreads(before[0])
    torch.set_num_threads(before[1])


@pytest.fixture
def pair(kodim):
    """kodim05 and its JPEG at quality 30."""
    reference = kodim(5)
    buffer = BytesIO()
    PILImage.fromarray(reference).save(buffer, "JPEG", quality=30)
    return reference, np.array(PILImage.open(buffer))


def tensor(pixels):
    """Return pixels as float32 (1, 3, H, W)."""
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float().contiguous()


@pytest.mark.benchmark(group="psnr")
def test_psnr(benchmark, pair):
    """PSNR of one decode."""
    metric = metrics.create("psnr")
    state = metric.prepare(pair[0])

    assert benchmark(metric.score, state, pair[1]) > 20


@pytest.mark.benchmark(group="psnr")
def test_psnr_textbook(benchmark, pair):
    """The same in NumPy's float64."""

    def psnr(reference, decoded):
        return 10 * np.log10(255**2 / np.mean((reference.astype(np.float64) - decoded) ** 2))

    assert benchmark(psnr, *pair) > 20


@pytest.mark.benchmark(group="ms_ssim")
def test_ms_ssim(benchmark, pair):
    """MS-SSIM of one decode, the reference prepared."""
    metric = metrics.create("ms_ssim")
    state = metric.prepare(pair[0])

    assert 0.9 < benchmark(metric.score, state, pair[1]) < 1


@pytest.mark.benchmark(group="ms_ssim")
def test_ms_ssim_prepare(benchmark, pair):
    """What a reference costs, once per image."""
    metric = metrics.create("ms_ssim")

    assert pair[0].shape == benchmark(metric.prepare, pair[0]).shape


@pytest.mark.benchmark(group="ms_ssim")
def test_pytorch_msssim(benchmark, pair):
    """The package whose values these are."""
    from pytorch_msssim import ms_ssim

    value = benchmark(lambda: ms_ssim(*map(tensor, pair), data_range=255))

    assert 0.9 < value < 1


@pytest.fixture
def lpips_squeeze():
    """The metric, where its backbone is available."""
    try:
        return metrics.create("lpips_squeeze")
    except MetricError as error:
        pytest.skip(str(error))


@pytest.mark.benchmark(group="lpips_squeeze")
def test_lpips(benchmark, pair, lpips_squeeze):
    """LPIPS of one decode, the reference prepared."""
    state = lpips_squeeze.prepare(pair[0])

    assert 0 < benchmark(lpips_squeeze.score, state, pair[1]) < 1


@pytest.mark.benchmark(group="lpips_squeeze")
def test_lpips_package(benchmark, pair, lpips_squeeze):
    """The package's own forward pass."""
    import lpips

    assert lpips_squeeze.column == "lpips_squeeze"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it speaks to torchvision in words that are out of date
        model = lpips.LPIPS(net="squeeze", pnet_rand=True, verbose=False)
    inputs = [tensor(pixels) / 127.5 - 1 for pixels in pair]
    with torch.inference_mode():
        value = benchmark(model, *inputs)

    assert 0 < value < 1


@pytest.mark.benchmark(group="bd_rate")
@pytest.mark.parametrize("method", bjontegaard.METHODS)
def test_bd_over_images(benchmark, method):
    """One row of bd_rate.csv: 24 images, 8 points; pchip with 400 resamples."""
    draw = np.random.default_rng(0)
    rate = np.geomspace(0.1, 2, 8)
    codecs = [
        {
            str(k): bjontegaard.Curve(
                tuple(factor * rate * draw.lognormal(0, 0.3)),
                tuple(40 + 5 * np.log2(rate) + draw.normal()),
            )
            for k in range(24)
        }
        for factor in (1.0, 0.9)
    ]

    assert benchmark(over_images.compare_over_images, *codecs, method).images == 24


@pytest.mark.benchmark(group="ssimulacra2")
def test_ssimulacra2(benchmark, pair):
    """SSIMULACRA2 of one decode; the reference is prepared."""
    metric = metrics.create("ssimulacra2")
    state = metric.prepare(pair[0])

    assert benchmark(metric.score, state, pair[1]) > 50


@pytest.mark.benchmark(group="ssimulacra2")
def test_ssimulacra2_package(benchmark, pair, tmp_path):
    """The package, which reads both pictures from files."""
    package = pytest.importorskip("ssimulacra2.ssimulacra2", reason="needs the package ssimulacra2")
    for name, pixels in zip(("original", "decoded"), pair, strict=True):
        PILImage.fromarray(pixels).save(tmp_path / f"{name}.png", compress_level=0)

    assert (
        benchmark(package.compute_ssimulacra2, tmp_path / "original.png", tmp_path / "decoded.png")
        > 50
    )
