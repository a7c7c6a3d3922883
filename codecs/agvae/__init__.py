"""AG-VAE: a learned codec of any rate, whose files decode to the same latent on any machine."""

# ruff: noqa: F401 - the registry finds codecs by name here
from bench.codecs.agvae.codec import (
    Agvae,
    AgvaeMsSsim,
    AgvaeMsSsimRefined,
    AgvaeRefined,
    AgvaeSmall,
)
from bench.codecs.agvae.family import (
    AgvaeBranch,
    AgvaeConditional,
    AgvaeCvr,
    AgvaeGauss,
    AgvaeNogain,
    AgvaeNogainGauss,
    AgvaeScalar,
)
