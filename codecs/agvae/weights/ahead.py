"""Weights that are read and unpacked in a thread while PyTorch is imported.

That import takes a second of one core, and holds the interpreter's lock; reading, hashing,
inflating and arithmetic on arrays do not.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.numpy import load as load_bytes

from bench.codecs.agvae.weights import packed
from bench.codecs.agvae.weights.checkpoints import Manifest

if TYPE_CHECKING:
    from torch import Tensor

_begun: dict[Path, Future[packed.Arrays]] = {}


def begin(manifest: Manifest) -> None:
    """Begin to read a set of weights; those that are made from other files are read later."""
    needs_others = manifest.whole or manifest.base or manifest.predicted_from
    if needs_others or manifest.path in _begun:
        return
    pool = ThreadPoolExecutor(1)
    _begun[manifest.path] = pool.submit(_unpacked, manifest.path, manifest.sha256)
    pool.shutdown(wait=False)


def _unpacked(path: Path, sha256: str) -> packed.Arrays:
    return packed.unpack(load_bytes(packed.read(path, sha256)))


def take(manifest: Manifest) -> dict[str, Tensor] | None:
    """Return what ``checkpoints.load`` would, once, or None where nothing was begun.

    Raises
    ------
    Unavailable
        If the file is missing or is not the one that the manifest describes.
    """
    import torch

    found = _begun.pop(manifest.path, None)
    if found is None:
        return None
    return {name: torch.from_numpy(array) for name, array in found.result().items()}
