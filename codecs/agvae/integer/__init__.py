"""The entropy networks in integers: the same probabilities on every machine."""
