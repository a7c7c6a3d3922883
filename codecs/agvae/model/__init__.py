"""The networks of AG-VAE in PyTorch, with gain units and the entropy model."""
