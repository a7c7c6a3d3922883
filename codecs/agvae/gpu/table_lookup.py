"""The coder's tables as a GPU reads them: one load per symbol, small enough for a level-1 cache.

``Bank`` has 256 buckets a table, 3.5 MB. A decoder's step waits for that load, and 32 lanes wait
for the slowest of them, so here each table has only as many buckets as it needs (4 to 1,024): a
bucket names the pair of neighbouring symbols that covers most of it, and the tables get finer until
at most 1 % of the probability lies outside of pairs. On Kodak at level 4, 99 % of the look-ups fall
into 40 kB.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bench.codecs.agvae.bitstream.frequency_tables import ESCAPE_LENGTH, RAW_BITS, Bank
from bench.codecs.agvae.bitstream.rans_kernels import (
    ESCAPE_FLAG,
    PRECISION_BITS,
    TOTAL,
    Ints,
)
from bench.image.numba_jit import compiled

Longs = npt.NDArray[np.int64]

MIN_BUCKET_BITS = 2
MAX_BUCKET_BITS = 10
OUTSIDE = TOTAL // 100
"""Slots of a table that may lie outside of its buckets' pairs."""
SYMBOL_MAX = 1 << 14
"""Table symbols fit in the 15 bits that a bucket has for them."""
ESCAPE_BIT = 30
"""Of a span: the symbol is an escape."""


@compiled
def _cover(start: Longs, freq: Longs, bits: int, pair: Longs) -> int:
    """Fill ``pair`` with the symbol of each bucket's best pair; return the slots left outside."""
    width = TOTAL >> bits
    best = np.zeros(1 << bits, np.int64)
    for s in range(start.size):
        stop = start[s] + freq[s]
        for b in range(start[s] // width, (stop - 1) // width + 1):
            covered = min(stop, (b + 1) * width) - max(start[s], b * width)
            if s + 1 < start.size and stop < (b + 1) * width:
                covered += min(stop + freq[s + 1], (b + 1) * width) - stop
            if covered > best[b]:
                best[b] = covered
                pair[b] = s
    return int(TOTAL - best.sum())


def _buckets(start: Longs, freq: Longs) -> tuple[int, Longs]:
    """Return the bits and the pairs of the coarsest look-up that leaves few slots outside."""
    for bits in range(MIN_BUCKET_BITS, MAX_BUCKET_BITS + 1):
        pair = np.empty(1 << bits, np.int64)
        if _cover(start, freq, bits, pair) <= OUTSIDE:
            break
    return bits, pair


@dataclass(frozen=True, slots=True, eq=False)
class Lookup:
    """A bank on a device.

    Attributes
    ----------
    finder
        int32 per context: ``16 first + shift``, where ``buckets[first + (slot >> shift)]`` is the
        bucket of a slot.
    buckets
        int64: start of the pair's first symbol (bits 0-14), its frequency (15-29), the frequency
        of the second (32-46), whether the first (47) and the second (48) is an escape, and the
        first symbol, signed (49-63).
    near
        int32: index in ``spans`` of each bucket's first symbol.
    spans
        int32 per symbol of every table: start (bits 0-14), frequency (15-29), escape (30).
    values
        int32 per symbol of every table: the symbol.
    origin, low, high
        int32 per context, as in ``Bank``.
    length_finder, length_entry
        Finder of the table of bit lengths, and the index in ``spans`` of its first symbol.
    """

    finder: Tensor
    buckets: Tensor
    near: Tensor
    spans: Tensor
    values: Tensor
    origin: Tensor
    low: Tensor
    high: Tensor
    length_finder: int
    length_entry: int

    @property
    def raw_finder(self) -> Tensor:
        """``finder`` of b raw bits at index b; index 0 is -1, no table."""
        raw = self.finder[ESCAPE_LENGTH : ESCAPE_LENGTH + RAW_BITS + 1].clone()
        raw[0] = -1
        return raw


@lru_cache(maxsize=16)
def lookup(bank: Bank, device: torch.device) -> Lookup:
    """Return the tables of a bank on a device.

    Raises
    ------
    ValueError
        If a table has symbols beyond +-16,383.
    """
    entries = bank.entries.view(np.int64)
    start = entries & (TOTAL - 1)
    freq = entries >> PRECISION_BITS & (TOTAL - 1)
    escape = (entries & ESCAPE_FLAG != 0).astype(np.int64)
    value = entries >> 32
    if np.abs(value).max() >= SYMBOL_MAX:
        raise ValueError(f"table symbols must lie under {SYMBOL_MAX}, found {np.abs(value).max()}")
    firsts = np.append(np.flatnonzero(start == 0), start.size)
    finder, pairs, count = [], [], 0
    for first, last in pairwise(firsts.tolist()):
        bits, pair = _buckets(start[first:last], freq[first:last])
        finder.append(count << 4 | PRECISION_BITS - bits)
        pairs.append(first + pair)
        count += pair.size
    near = np.concatenate(pairs)
    second = near + ~np.isin(near + 1, firsts)  # a table's last symbol is its own neighbour
    high = freq[second] * (second > near) | escape[near] << 15 | escape[second] << 16
    packed = start[near] | freq[near] << PRECISION_BITS | (high | value[near] << 17) << 32

    def held(array: Longs | Ints, dtype: torch.dtype = torch.int32) -> Tensor:
        return torch.from_numpy(array.copy()).to(device, dtype)

    return Lookup(
        finder=held(np.array(finder)),
        buckets=held(packed, torch.int64),
        near=held(near),
        spans=held(start | freq << PRECISION_BITS | escape << ESCAPE_BIT),
        values=held(value),
        origin=held(bank.origin),
        low=held(bank.low),
        high=held(bank.high),
        length_finder=finder[ESCAPE_LENGTH],
        length_entry=int(bank.origin[ESCAPE_LENGTH]),
    )
