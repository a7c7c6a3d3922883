"""Datasets: which images there are, where their files lie, and whether they are the right ones."""
