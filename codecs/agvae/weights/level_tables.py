"""Scales and shifts of conditional convolutions as integers, in version 2 of a branch's file.

For each convolution of the four transforms, ``STEM.scales`` and ``STEM.shifts`` are coded like the
differences of weights, as (levels, 1, outputs, 1): a row for each level and one column. Those of a
level, with its entry of ``offsets``, are what it adds to the level before; summed up, a scale is
the half-precision number of which bits that is the pattern, counted from that of 1, and a shift is
so many steps of 2^-12, the exact networks' grid. So all machines read the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.codecs.agvae.model.mechanisms import SCALES, SHIFTS, convolutions
from bench.errors import DecodeError

OFFSETS = "offsets"

_SHIFT_STEP = 2.0**-12
_ONE, _LARGEST = 0x3C00, 0x7BFF
"""Patterns of half-precision numbers: 1, and the largest that is finite."""


def pack(state: Mapping[str, Tensor]) -> tuple[dict[str, NDArray[np.int32]], dict[str, Tensor]]:
    """Return integers to code, by name, and ``offsets``; ``state`` is as a file holds it."""
    integers, offsets = {}, []
    for stem in sorted(convolutions(state)):
        scale, shift = (state[f"{stem}.{word}"].numpy() for word in (SCALES, SHIFTS))
        pattern = scale.astype(np.float16).view(np.int16).astype(np.int32)
        steps = np.rint(shift / _SHIFT_STEP).astype(np.int32)
        for word, table, first in ((SCALES, pattern, _ONE), (SHIFTS, steps, 0)):
            added = np.diff(table, axis=0, prepend=np.int32(first))
            offset = np.median(added, 1).clip(-(2**15), 2**15 - 1).astype(np.int16)
            integers[f"{stem}.{word}"] = (added - offset[:, None])[:, None, :, None]
            offsets.append(offset)
    return integers, {OFFSETS: torch.from_numpy(np.concatenate(offsets))}


def like(steps: Mapping[str, Tensor], levels: int) -> dict[str, Tensor]:
    """Return tensors of the integers' shapes, from the weights of the convolutions."""
    return {
        f"{stem}.{word}": torch.empty((levels, 1, len(steps[f"{stem}.weight"]), 1), device="meta")
        for stem in sorted(convolutions(steps))
        for word in (SCALES, SHIFTS)
    }


def unpack(integers: Mapping[str, Tensor], offsets: Tensor, levels: int) -> dict[str, Tensor]:
    """Return the tables, (levels, outputs) float32, from integers and offsets, in their order.

    Raises
    ------
    DecodeError
        If a scale is no positive number.
    ValueError
        If there are more or fewer offsets than levels of tables.
    """
    tables = {}
    for (name, integer), offset in zip(integers.items(), torch.split(offsets, levels), strict=True):
        added = integer[:, 0, :, 0].numpy() + offset.numpy()[:, None].astype(np.int64)
        table = np.cumsum(added, axis=0)
        if name.endswith(f".{SHIFTS}"):
            tables[name] = torch.from_numpy((table * _SHIFT_STEP).astype(np.float32))
            continue
        pattern = table + _ONE
        if not ((pattern > 0) & (pattern <= _LARGEST)).all():
            raise DecodeError(f"the weights are damaged: {name} has a scale that is no number")
        scale = pattern.astype(np.int16).view(np.float16)
        tables[name] = torch.from_numpy(scale.astype(np.float32))
    return tables
