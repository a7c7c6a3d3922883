"""Rate and distortion of trained weights on pictures: estimated in a moment, or of real files."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.codecs.agvae.model.config import Config
from bench.codecs.agvae.model.model import AGVAE
from bench.codecs.agvae.model.ms_ssim import MS_SSIM_MIN_SIDE, ms_ssim
from bench.codecs.agvae.training.options import CROP_MULTIPLE
from bench.codecs.agvae.training.photographs import Photos
from bench.image import Image

MAX_ROWS, MAX_COLUMNS = 512, 768
"""Validation pictures are cut to their middle of at most this size, Kodak's."""

ESTIMATED, REAL = "estimated bits", "real files"


def middle(image: Image) -> Image:
    """Return the middle of an image, sides cut to whole hyper-latents and to Kodak's size."""
    height, width = image.shape[:2]
    rows = min(height, MAX_ROWS) // CROP_MULTIPLE * CROP_MULTIPLE or height
    columns = min(width, MAX_COLUMNS) // CROP_MULTIPLE * CROP_MULTIPLE or width
    top, left = (height - rows) // 2, (width - columns) // 2
    return image[top : top + rows, left : left + columns]


@torch.no_grad()
def estimated(
    weights: Mapping[str, Tensor],
    config: Config,
    photos: Photos,
    levels: Sequence[float],
    device: torch.device,
) -> list[dict[str, Any]]:
    """Return a row per level: mean of the images' estimated bpp, PSNR and MS-SSIM.

    Bits are the entropy model's own, of rounded residuals; pictures are the photographs' middles,
    rounded to 8 bits. Real files take 0.2 to 1.5 % more.
    """
    net = AGVAE(config)
    net.load_state_dict(dict(weights))
    net = net.eval().to(device).to(memory_format=torch.channels_last)

    def measure(image: Image, level: float) -> tuple[float, float, float]:
        x = torch.from_numpy(image).permute(2, 0, 1)[None].to(device).float() / 255
        return _estimate(net, x, level)

    return _rows(photos, levels, measure)


def _estimate(net: AGVAE, x: Tensor, level: float) -> tuple[float, float, float]:
    """Return bpp, PSNR in dB and MS-SSIM of one image, (1, 3, H, W)."""
    out = net(x, torch.tensor([level], device=x.device), hard=True)
    bpp = (out.bits_y + out.bits_z).item() / (x.shape[2] * x.shape[3])
    shown = (out.x_hat.clamp(0, 1) * 255).round() / 255
    mse = (shown - x).square().mean().item()
    small = min(x.shape[2:]) < MS_SSIM_MIN_SIDE
    similarity = math.nan if small else ms_ssim(shown, x).item()
    return bpp, -10 * math.log10(max(mse, 1e-12)), similarity


def real(manifest: Path, photos: Photos, levels: Sequence[float]) -> list[dict[str, Any]]:
    """Return a row per level: mean of the real files' bpp, PSNR and MS-SSIM.

    The middle of every photograph is encoded to bytes by the codec and decoded from them. Levels
    are multiples of 1/256, those of a conditional network whole.
    """
    from bench.codecs.agvae.bitstream import container
    from bench.codecs.agvae.integer.entropy_networks import LEVEL_STEPS
    from bench.codecs.agvae.runtime.engine import Engine
    from bench.codecs.agvae.weights import checkpoints
    from bench.metrics import Undefined, create

    networks = checkpoints.read_manifest(manifest).networks

    @lru_cache(maxsize=1)
    def engine_of(network: checkpoints.Manifest) -> Engine:
        return Engine(network)

    psnr, similarity = create("psnr"), create("ms_ssim")

    def measure(image: Image, level: float) -> tuple[float, float, float]:
        engine = engine_of(next(n for n in networks if n.whole is None or n.level == level))
        data = engine.encode([image], [round(level * LEVEL_STEPS)])[0]
        shown = engine.decode([container.read(data)])[0]
        try:
            value = similarity(image, shown)
        except Undefined:
            value = math.nan
        return 8 * len(data) / (image.shape[0] * image.shape[1]), psnr(image, shown), value

    return _rows(photos, levels, measure)


def _rows(
    photos: Photos,
    levels: Sequence[float],
    measure: Callable[[Image, float], tuple[float, float, float]],
) -> list[dict[str, Any]]:
    images = [middle(photo.pixels).copy() for photo in photos.members]
    return [_row(level, [measure(image, level) for image in images]) for level in levels]


def _row(level: float, found: Sequence[tuple[float, ...]]) -> dict[str, Any]:
    """Return the means over images; a metric that is undefined for one is left out."""
    means = [sum(column) / len(column) for column in zip(*found, strict=True)]
    row: dict[str, Any] = {"level": level, "bpp": round(means[0], 5), "psnr_db": round(means[1], 4)}
    return row if math.isnan(means[2]) else {**row, "ms_ssim": round(means[2], 6)}
