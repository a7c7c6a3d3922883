"""AG-VAE's files: container, frequency tables, the rANS coder and what it codes."""
