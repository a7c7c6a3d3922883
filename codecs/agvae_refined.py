"""AG-VAE with a patient encoder: every image's latents are refined by gradient descent.

The network, the files and their decoder are AG-VAE's; only the encoder takes its time (a quarter
of a minute for an image of Kodak on two cores). Ask for it by name, it is in no default run.
"""

from __future__ import annotations

from bench.codec import Parameter
from bench.codecs.agvae.codec import Agvae, AgvaeCodec
from bench.codecs.agvae_ms_ssim import AgvaeMsSsim

_PARAMETERS = (
    *AgvaeCodec.parameters,
    Parameter("refine", 50, "steps of descent on the latents of each image", low=0, high=5000),
)


class AgvaeRefined(Agvae):
    """The default network, asymmetric Gaussian, latents refined for PSNR."""

    name = "agvae-refined"
    title = "AG-VAE, latents refined per image"
    parameters = _PARAMETERS
    in_default_run = False


class AgvaeMsSsimRefined(AgvaeMsSsim):
    """The network trained for MS-SSIM, latents refined for MS-SSIM."""

    name = "agvae-ms-ssim-refined"
    title = "AG-VAE optimised for MS-SSIM, latents refined per image"
    parameters = _PARAMETERS
    in_default_run = False
