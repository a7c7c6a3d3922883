"""AG-VAE: a learned codec of any rate, whose files decode to the same latent on any machine."""

# ruff: noqa: F401 - the registry finds codecs by name here
from bench.codecs.agvae.codec import (
    Agvae,
    AgvaeBranch,
    AgvaeGauss,
    AgvaeMsSsim,
    AgvaeMsSsimRefined,
    AgvaeNogain,
    AgvaeNogainGauss,
    AgvaeRefined,
    AgvaeSmall,
)
