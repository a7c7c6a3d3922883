"""What files of weights hold, as arrays: read, verified and unpacked without PyTorch.

``weights/quantised.py`` says what is stored how, and writes it.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import Unavailable

LOW = ".low"
SCALE = ".scale"
DEFLATE = ".deflate"
SHAPE = ".shape"

Arrays = dict[str, NDArray[Any]]


def read(path: Path, sha256: str) -> bytes:
    """Return the bytes of a file of weights.

    Raises
    ------
    Unavailable
        If the file is missing, or has another hash than its manifest says.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Unavailable(
            f"{path}: weights cannot be read ({error.strerror})", "Install them again."
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise Unavailable(
            f"{path}: sha256 is {found[:12]}, the manifest says {sha256[:12]}",
            "The file is damaged or was replaced; install the weights again.",
        )
    return data


def inflate(stored: Mapping[str, NDArray[Any]]) -> Arrays:
    """Return what ``quantised.deflate`` was given; arrays that are not coded pass.

    Raises
    ------
    ValueError
        If coded bytes do not make an array of the stated shape.
    """
    return dict(_inflated(stored))


def _inflated(stored: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield what ``inflate`` returns, array by array."""
    for name, array in stored.items():
        if name.endswith(SHAPE):
            continue
        if not name.endswith(DEFLATE):
            yield name, array
            continue
        plain = name.removesuffix(DEFLATE)
        shape = stored[plain + SHAPE].tolist()
        size = math.prod(shape)
        coder = zlib.decompressobj(-15)
        data = coder.decompress(array.data, size + 1)
        if len(data) != size or not coder.eof:
            raise ValueError(f"{plain}: {len(data)} bytes of weights, wanted {size} for {shape}")
        yield plain, np.frombuffer(data, np.int8).reshape(shape)


def integers(stored: Mapping[str, NDArray[Any]]) -> tuple[Arrays, Arrays, Arrays]:
    """Return the integers of what ``quantised.pack`` gave, their scales, and what has none.

    Integers are int16 of each array's shape; scales are float32 and broadcast to it.
    """
    steps_of, scales, others = Arrays(), Arrays(), Arrays()
    for name, array, scale in _scaled(stored):
        if scale is None:
            others[name] = array
        else:
            steps_of[name], scales[name] = array, scale
    return steps_of, scales, others


def _scaled(
    stored: Mapping[str, NDArray[Any]],
) -> Iterator[tuple[str, NDArray[Any], NDArray[Any] | None]]:
    """Yield each array's integers and their scale, or the array and None."""
    for name, array in _inflated(stored):
        if name.endswith((LOW, SCALE)):
            continue
        if array.dtype != np.int8:
            yield name, array, None
            continue
        steps = array.astype(np.int16)
        for row in stored.get(name + LOW, ()):
            steps <<= 1
            steps += np.unpackbits(row, count=array.size).reshape(array.shape)
        yield name, steps, stored[name + SCALE].reshape(-1, *[1] * (array.ndim - 1))


def unpack(stored: Mapping[str, NDArray[Any]]) -> Arrays:
    """Return weights as float32, and all else as it is stored, writable.

    One after the other, so that what is held between takes little new memory of the system's.
    """
    return {
        name: array.copy() if scale is None else np.multiply(array, scale, dtype=np.float32)
        for name, array, scale in _scaled(stored)
    }
