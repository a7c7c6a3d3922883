"""What needs no PyTorch, made in a thread while PyTorch's libraries are loaded in another.

Weights are read, hashed, inflated and unpacked, and the tables of the coder are computed. The rest
of PyTorch's import, most of a second, holds the interpreter's lock and one core.
"""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import llvmlite.binding  # noqa: F401 - for loops, see ``begin``
from safetensors.numpy import load as load_bytes

from bench.codec.imports import load_torch_libraries
from bench.codecs.agvae.weights import packed
from bench.codecs.agvae.weights.checkpoints import Manifest
from bench.codecs.agvae.weights.counted import coding_tables

if TYPE_CHECKING:
    from torch import Tensor

    from bench.codecs.agvae.bitstream.coding_tables import CodingTables

_begun: dict[Path, Future[packed.Arrays]] = {}
_tables: dict[Path, Future[CodingTables]] = {}


def begin(manifest: Manifest, choices: Collection[int] | None = None) -> None:
    """Begin with a set of weights, and return when PyTorch's libraries are loaded.

    Weights that are made from other files are read later. Nothing that the thread runs may load a
    library, which would wait for PyTorch's: so this module imports what loops need.

    Parameters
    ----------
    manifest
        Of the weights.
    choices
        Tables that will be wanted; None: all. Others are computed where they are.
    """
    needs_others = manifest.whole or manifest.base or manifest.predicted_from
    if needs_others or manifest.path in _begun:
        return
    libraries = load_torch_libraries()
    pool = ThreadPoolExecutor(1)
    weights = _begun[manifest.path] = pool.submit(_unpacked, manifest.path, manifest.sha256)
    _tables[manifest.path] = pool.submit(_computed, manifest, weights, choices)
    pool.shutdown(wait=False)
    if libraries is not None:
        libraries.join()


def _unpacked(path: Path, sha256: str) -> packed.Arrays:
    return packed.unpack(load_bytes(packed.read(path, sha256)))


def _computed(
    manifest: Manifest, weights: Future[packed.Arrays], choices: Collection[int] | None
) -> CodingTables:
    tables = coding_tables(manifest, weights.result())
    for choice in tables.choices:
        if choices is None or choice in choices:
            tables.bank(choice)
    return tables


def take_tables(manifest: Manifest) -> CodingTables | None:
    """Return the coder's tables, once, or None where nothing was begun.

    Raises
    ------
    Unavailable
        If they are missing or are not those that the manifest describes.
    """
    found = _tables.pop(manifest.path, None)
    return None if found is None else found.result()


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
