"""From rows to curves: means, Bjontegaard deltas, published curves."""
