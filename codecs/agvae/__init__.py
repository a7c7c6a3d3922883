"""AG-VAE: a learned codec of any rate, whose files decode to the same latent on any machine."""

from bench.codecs.agvae.codec import (
    Agvae,
    AgvaeGauss,
    AgvaeMsSsim,
    AgvaeMsSsimRefined,
    AgvaeNogain,
    AgvaeNogainGauss,
    AgvaeRefined,
    AgvaeSmall,
    AgvaeSmallGauss,
    AgvaeSmallNogain,
    AgvaeSmallNogainGauss,
)

__all__ = [
    "Agvae",
    "AgvaeGauss",
    "AgvaeMsSsim",
    "AgvaeMsSsimRefined",
    "AgvaeNogain",
    "AgvaeNogainGauss",
    "AgvaeRefined",
    "AgvaeSmall",
    "AgvaeSmallGauss",
    "AgvaeSmallNogain",
    "AgvaeSmallNogainGauss",
]
