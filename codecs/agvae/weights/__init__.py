"""The weights that ship, and how weights are found, read, exported and packed."""
