"""AG-VAE: a learned codec of any rate, whose files decode to the same latent on any machine."""

from bench.codecs.agvae.codec import Agvae, AgvaeGauss, AgvaeNogain, AgvaeNogainGauss

__all__ = ["Agvae", "AgvaeGauss", "AgvaeNogain", "AgvaeNogainGauss"]
