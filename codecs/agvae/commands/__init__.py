"""Commands that AG-VAE adds to the command line: train, train-all, ablation."""
