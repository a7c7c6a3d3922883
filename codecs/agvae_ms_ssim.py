"""AG-VAE's twin that was trained for MS-SSIM instead of PSNR."""

from __future__ import annotations

from typing import ClassVar

from bench.codecs.agvae.codec import AgvaeCodec


class AgvaeMsSsim(AgvaeCodec):
    """One gained network, asymmetric Gaussian entropy model, fine-tuned for MS-SSIM."""

    name = "agvae-ms-ssim"
    title = "AG-VAE optimised for MS-SSIM: gain units, asymmetric Gaussian"
    variant = "gain-asym"
    metric: ClassVar[str] = "ms-ssim"
