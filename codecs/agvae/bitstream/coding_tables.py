"""The sets of tables that a network's files may be coded with, and which of them a file names.

A network brings tables of its own: z's from its prior, y's from the split normal. Besides it may
have tables that were counted on photographs (``training/count_tables.py``): for y corrections of
the split normal, for z a few hundred tables that decoded neighbours choose from. A file says in
its header which of both it uses, so an encoder takes what is shorter.
``ENTROPY.md`` sections 1.5 to 1.7 specify them.
"""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from bench.codecs.agvae.bitstream.container import Y_CORRECTED, Z_BY_NEIGHBOURS
from bench.codecs.agvae.bitstream.frequency_tables import (
    NUM_SCALES,
    Bank,
    corrected_bank,
    radius,
    standard_bank,
)
from bench.codecs.agvae.bitstream.rans_kernels import TOTAL

SIGN_BITS = 16
SIGN_TOTAL = 1 << SIGN_BITS
TAIL_TOTAL = 1 << 20
MAX_Z_TABLES = 256
GROUPS = 4
"""Of z's channels, coded one after the other."""
MAGNITUDES_LIMIT = 12
"""What a sum of magnitudes of z's neighbours is held to; see ``hyper_context.py``."""
WEIGHT_LIMIT = 255

Array = NDArray[np.integer[Any]]

# What NumPy's reader lets through on damaged files: the last for an entry that claims to be
# encrypted, or compressed in another way.
_DAMAGE = (BadZipFile, zlib.error, EOFError, KeyError, RuntimeError)


@dataclass(frozen=True, eq=False)
class CodingTables:
    """All tables that the coder of one network may use.

    Attributes
    ----------
    own_z
        The model's tables of z, integers (C, n + 2).
    counted
        Those from photographs, by the names of ``ENTROPY.md``; None: there are none.
    lowest
        Level of the first row of ``z_index``.
    """

    own_z: Array
    counted: Mapping[str, Array] | None = None
    lowest: int = 0
    _banks: dict[int, Bank] = field(default_factory=dict)

    @property
    def choices(self) -> tuple[int, ...]:
        """Values that a header may have."""
        return (0,) if self.counted is None else (0, 1, 2, 3)

    def bank(self, choice: int) -> Bank:
        """Return the tables of a choice: y's, those of escapes, then z's.

        Banks that differ in the choice for y alone have the same layout.
        """
        if choice not in self._banks:
            of_y = self._corrected if choice & Y_CORRECTED else standard_bank()
            of_z = self._counted["z_tables"] if choice & Z_BY_NEIGHBOURS else self.own_z
            self._banks[choice] = of_y.with_z(of_z)
        return self._banks[choice]

    @property
    def _counted(self) -> Mapping[str, Array]:
        assert self.counted is not None, "only choice 0 needs no counted tables"
        return self.counted

    @cached_property
    def _corrected(self) -> Bank:
        return corrected_bank(self._counted["y_sign"], self._counted["y_tail"])


def save(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write counted tables as a compressed NPZ file; the same bytes for the same tables."""
    with path.open("wb") as file:
        np.savez_compressed(file, **{name: arrays[name] for name in sorted(arrays)})


def read(path: Path) -> dict[str, Array]:
    """Return the counted tables of a file.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it holds no such tables, or is damaged.
    """
    data = path.read_bytes()
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        check(arrays)
    except _DAMAGE as error:
        raise ValueError(str(error)) from error
    return arrays


def digest(arrays: Mapping[str, Array]) -> str:
    """Return the SHA-256 of tables: names, types, shapes and numbers."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        found.update(f"{name} {array.dtype} {list(array.shape)}\n".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def check(arrays: Mapping[str, Array]) -> None:
    """Refuse arrays that are no counted tables.

    Raises
    ------
    ValueError
        If one is missing, or its type, shape or range is wrong.
    """
    wanted = {
        "y_sign": np.int32,
        "y_tail": np.int32,
        "z_tables": np.int32,
        "z_index": np.uint8,
        "z_weights": np.int16,
        "z_value_thresholds": np.int32,
        "z_magnitude_thresholds": np.int32,
    }
    if {*arrays} != {*wanted} or any(arrays[name].dtype != wanted[name] for name in wanted):
        found = {name: str(array.dtype) for name, array in arrays.items()}
        raise ValueError(f"wanted the arrays {wanted}, found {found}")
    check_y(arrays["y_sign"], arrays["y_tail"])
    _check_z(arrays)


def check_y(sign: Array, tail: Array) -> None:
    """Refuse arrays that are no corrections of y; see ``check``."""
    reach = np.array([radius(index) + 1 for index in range(NUM_SCALES)])
    inside = np.arange(1, reach.max() + 1) <= reach[:, None]
    good = (
        sign.shape == (NUM_SCALES**2, 3)
        and tail.shape == (2, *inside.shape)
        and bool((sign >= 1).all() and (sign.sum(1) == SIGN_TOTAL).all())
        and bool((tail[:, inside] >= 1).all() and (tail[:, ~inside] == 0).all())
        and bool((tail.sum(2) == TAIL_TOTAL).all())
    )
    if not good:
        raise ValueError(
            f"y_sign must be positive (1600, 3) that sum to {SIGN_TOTAL} a row, y_tail positive "
            f"as far as a side reaches, of sum {TAIL_TOTAL}; found {sign.shape}, {tail.shape}"
        )


def _check_z(arrays: Mapping[str, Array]) -> None:
    tables, index, weights = (arrays[f"z_{name}"] for name in ("tables", "index", "weights"))
    value, magnitude = arrays["z_value_thresholds"], arrays["z_magnitude_thresholds"]
    channels = index.shape[2] if index.ndim == 3 else 0
    rows = 2 * channels + 2 * (channels - channels // GROUPS) + 1
    contexts = (value.size + 1) * (magnitude.size + 1) + 1
    good = (
        tables.ndim == 2
        and 2 <= len(tables) <= MAX_Z_TABLES
        and bool((tables >= 1).all() and (tables.sum(1) == TOTAL).all())
        and channels > 0
        and channels % GROUPS == 0
        and index.shape[1] == contexts
        and int(index.max()) < len(tables)
        and weights.shape == (2, rows, 2 * channels)
        and int(np.abs(weights.astype(np.int32)).max()) <= WEIGHT_LIMIT
        and rows * WEIGHT_LIMIT * MAGNITUDES_LIMIT < 1 << 24  # sums in float32 are exact
        and bool((np.diff(value) > 0).all() and (np.diff(magnitude) > 0).all())
    )
    if not good:
        shapes = {name: array.shape for name, array in arrays.items()}
        raise ValueError(f"tables of z do not go together: {shapes}")
