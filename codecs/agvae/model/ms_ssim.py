"""MS-SSIM that gradients flow through (Wang, Simoncelli, Bovik 2003)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

MS_SSIM_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
MS_SSIM_MIN_SIDE = 161
_SSIM_C1, _SSIM_C2 = 0.01**2, 0.03**2
_SSIM_TAPS, _SSIM_SIGMA = 11, 1.5
# Where contrast and structure of a crop are this wrong, 0^w would have an infinite slope.
_SSIM_FLOOR = 1e-5


def ms_ssim(x: Tensor, y: Tensor) -> Tensor:
    """Return MS-SSIM of pairs of images in [0, 1], (B, 3, H, W) each -> (B,), differentiable.

    The flavour of ``pytorch_msssim``: five scales, 11-tap Gaussian windows that lie wholly inside,
    per channel; sides of at least 161 pixels.

    Raises
    ------
    ValueError
        If a side is shorter.
    """
    if min(x.shape[2:]) < MS_SSIM_MIN_SIDE:
        raise ValueError(f"MS-SSIM needs sides of {MS_SSIM_MIN_SIDE} pixels, found {x.shape[2:]}")
    product = torch.ones(x.shape[:2], device=x.device)
    x, y = x.float(), y.float()
    for scale, exponent in enumerate(MS_SSIM_EXPONENTS):
        coarsest = scale == len(MS_SSIM_EXPONENTS) - 1
        value = _similarity(x, y, with_luminance=coarsest)
        product = product * value.clamp_min(_SSIM_FLOOR) ** exponent
        if not coarsest:
            padding = [side % 2 for side in x.shape[2:]]
            x, y = (functional.avg_pool2d(image, 2, padding=padding) for image in (x, y))
    return product.mean(1)


def _similarity(x: Tensor, y: Tensor, *, with_luminance: bool) -> Tensor:
    """Return the mean over windows of contrast-structure, or of SSIM, (B, 3)."""
    mean_x, mean_y = _windowed(x), _windowed(y)
    variance_x = _windowed(x * x) - mean_x * mean_x
    variance_y = _windowed(y * y) - mean_y * mean_y
    covariance = _windowed(x * y) - mean_x * mean_y
    value = (2 * covariance + _SSIM_C2) / (variance_x + variance_y + _SSIM_C2)
    if with_luminance:
        luminance = 2 * mean_x * mean_y + _SSIM_C1
        value = value * luminance / (mean_x * mean_x + mean_y * mean_y + _SSIM_C1)
    return value.mean((2, 3))


def _windowed(image: Tensor) -> Tensor:
    """Return Gaussian means over all windows that lie inside, (B, C, H - 10, W - 10)."""
    channels = image.shape[1]
    taps = torch.arange(_SSIM_TAPS, device=image.device, dtype=image.dtype) - _SSIM_TAPS // 2
    window = torch.exp(-(taps**2) / (2 * _SSIM_SIGMA**2))
    window = (window / window.sum()).expand(channels, 1, 1, _SSIM_TAPS)
    rows = functional.conv2d(image, window, groups=channels)
    return functional.conv2d(rows, window.mT, groups=channels)
