"""Measuring: from a request to a plan, its cells, the workers and the stored rows."""
