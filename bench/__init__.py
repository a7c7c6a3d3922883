"""Image-codec benchmarks from real bitstreams. See README.md; the command is ``bench``."""

__version__ = "0.1.0"
