"""What weights are called in files: hashes of everything that a decoder computes with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench.codecs.agvae.model.config import Config
from bench.codecs.agvae.weights.checkpoints import Manifest

if TYPE_CHECKING:
    from torch import Tensor

_ENCODER_ONLY = (
    *("g_a.", "h_a.", "gain_y.log_gain", "gain_z.log_gain"),
    *("gain_y.gain", "gain_z.gain"),  # of a conditional network
)
_TRAINING_ONLY = ("z_prior.",)


def model_id(stored: Mapping[str, Tensor], config: Config) -> str:
    """Return 8 hexadecimal digits that stand for everything a decoder computes with.

    Of the tensors as stored, integers and scales, those of the encoder alone do not count. Those of
    a branch are taken as they are computed from base and differences.
    """
    digest = hashlib.sha256(json.dumps(config.to_dict(), sort_keys=True).encode())
    for name in sorted(stored):
        if name.startswith((*_ENCODER_ONLY, *_TRAINING_ONLY)):
            continue
        tensor = stored[name]
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:8]


def names_of(networks: Sequence[Manifest]) -> str:
    """Return the ids of a codec's networks and their tables as one word."""
    ids = tuple(dict.fromkeys(network.file_id for network in networks))
    if len(ids) == 1:
        return ids[0]
    joined = " ".join(ids)
    return hashlib.sha256(joined.encode()).hexdigest()[:8]
