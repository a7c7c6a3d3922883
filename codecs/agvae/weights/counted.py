"""The coding tables of a set of weights: its own, and those that were counted for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from bench.codecs.agvae.bitstream import coding_tables as of_files
from bench.codecs.agvae.bitstream.coding_tables import CodingTables
from bench.codecs.agvae.weights.checkpoints import Z_TABLES, Manifest
from bench.errors import Unavailable

if TYPE_CHECKING:
    from torch import Tensor

    from bench.codecs.agvae.weights.packed import Arrays


def coding_tables(manifest: Manifest, tensors: Mapping[str, Tensor] | Arrays) -> CodingTables:
    """Return the tables of a network's coder; ``tensors`` are those of ``load``, or arrays.

    Raises
    ------
    Unavailable
        If the file of its counted tables is missing or is not the one that the manifest describes.
    """
    own = np.asarray(tensors[Z_TABLES])
    if manifest.tables is None:
        return of_files.CodingTables(own)
    path = manifest.tables_path
    try:
        counted = of_files.read(path)
    except (OSError, ValueError) as error:
        raise Unavailable(
            f"{path}: coding tables cannot be read ({error})", "Install the weights again."
        ) from error
    found, wanted = of_files.digest(counted), manifest.tables["sha256"]
    if found != wanted:
        raise Unavailable(
            f"{path}: its numbers have sha256 {found[:12]}, the manifest says {wanted[:12]}",
            "The file is damaged or was replaced; install the weights again.",
        )
    return of_files.CodingTables(own, counted, manifest.config.lowest_level)
