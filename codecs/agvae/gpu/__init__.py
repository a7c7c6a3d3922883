"""AG-VAE on a CUDA device: the same bytes as the CPU path, nothing over the host in between.

Imports Triton, so it is imported only where a device is asked for.
"""
