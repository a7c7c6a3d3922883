"""The tables and figures of the paper that need AG-VAE's networks."""
