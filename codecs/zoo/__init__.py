"""CompressAI's model zoo as codecs: its networks, files of our own that hold all they need."""

from bench.codecs.zoo.codec import (
    ChengAnchor,
    ChengAttention,
    Factorized,
    Hyperprior,
    Joint,
    MeanScale,
)

__all__ = ["ChengAnchor", "ChengAttention", "Factorized", "Hyperprior", "Joint", "MeanScale"]
