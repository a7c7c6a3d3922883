"""The loops that numba compiles: apportioning tables, coding and decoding one part.

Each reads only what its arguments bound: numba does not check indices. Contexts, symbols and
tables are checked by the callers, in ``rans.py`` and
``frequency_tables.py``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bench.image.numba_jit import compiled

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.uint64]
Words = npt.NDArray[np.uint16]

PRECISION_BITS = 15
"""Frequencies of a table sum to ``2**PRECISION_BITS``: with 16 bits the rounding of 32-bit states
costs 0.04 to 0.14 % of rate more, with 14 bits the tables' tails up to 0.25 % (on Kodak)."""
TOTAL = 1 << PRECISION_BITS
SLOT_BITS = 7
"""A bucket of the decoder's look-up table spans ``2**SLOT_BITS`` of the ``TOTAL`` slots."""
ESCAPE_FLAG = 1 << 31
STATE_LOW = 1 << 16
"""States stay in [2**16, 2**32); every lane of every encoder starts from the least."""
BLOCK = 64
"""Symbols between two looks at the end of the data."""


@compiled
def _total(values: npt.NDArray[np.int64]) -> int:
    total = 0
    for i in range(values.size):
        total += values[i]
    return total


@compiled
def apportion(weights: npt.NDArray[np.int64], total: int, out: npt.NDArray[np.int64]) -> None:
    """Webster's apportionment with at least one seat each, by integer comparisons only."""
    n = weights.size
    mass = max(_total(weights), 1)
    seats = 0
    for i in range(n):
        out[i] = max(1, weights[i] * total // mass)
        seats += out[i]
    while True:
        gain, loss = 0, -1  # who would be served next, and who was served last
        for i in range(n):
            if weights[i] * (2 * out[gain] + 1) > weights[gain] * (2 * out[i] + 1):
                gain = i
            if out[i] > 1 and (
                loss < 0 or weights[i] * (2 * out[loss] - 1) <= weights[loss] * (2 * out[i] - 1)
            ):
                loss = i
        if seats < total:
            out[gain] += 1
            seats += 1
        elif seats > total:
            out[loss] -= 1
            seats -= 1
        else:
            if loss < 0 or gain == loss:
                return
            given = weights[gain] * (2 * out[loss] - 1)
            taken = weights[loss] * (2 * out[gain] + 1)
            if given < taken or (given == taken and gain > loss):
                return
            out[gain] += 1
            out[loss] -= 1


@compiled
def apportion_each(
    weights: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    total: int,
    out: npt.NDArray[np.int64],
) -> None:
    """Apportion ``total`` seats in each of the tables that lie one behind the other."""
    start = 0
    for i in range(ends.size):
        apportion(weights[start : ends[i]], total, out[start : ends[i]])
        start = ends[i]


@compiled
def contexts(
    left: npt.NDArray[np.int16],
    right: npt.NDArray[np.int16],
    first: int,
    indices: npt.NDArray[np.uint8],
    scales: int,
    out: Ints,
) -> None:
    """Fill flat ``out`` with ``scales * i + j``, i and j the grid indices of two log-scales.

    ``indices`` holds those of the log-scales from ``first`` on; its ends stand for all beyond.
    """
    last = indices.size - 1
    for n in range(out.size):
        i = indices[min(max(left[n] - first, 0), last)]
        j = indices[min(max(right[n] - first, 0), last)]
        out[n] = np.int32(i) * np.int32(scales) + np.int32(j)


@compiled
def locate(
    symbols: Ints, contexts: Ints, origin: Ints, low: Ints, high: Ints, where: Ints, escaped: Ints
) -> int:
    """Fill ``where`` with each symbol's entry and ``escaped`` with positions; return their count.

    Returns -1 - i where symbol i is skipped but not 0.
    """
    count = 0
    for i in range(symbols.size):
        c = contexts[i]
        s = symbols[i]
        if c < 0:
            if s != 0:
                return -1 - i
            where[i] = -1
            continue
        if s <= low[c] or s >= high[c]:
            escaped[count] = i
            count += 1
            s = low[c] if s <= low[c] else high[c]
        where[i] = origin[c] + s
    return count


@compiled
def count(where: Ints, counts: npt.NDArray[np.int64]) -> None:
    """Add to ``counts`` how often ``where`` names each entry; negative ones are skipped."""
    for i in range(where.size):
        if where[i] >= 0:
            counts[where[i]] += 1


@compiled
def encode(where: Ints, entries: Longs, states: Longs, out: Words, position: int) -> int:
    """Code one part backwards into ``out`` below ``position``; return the new position."""
    mask = states.size - 1
    for i in range(where.size - 1, -1, -1):
        if where[i] < 0:
            continue
        entry = entries[where[i]]
        start = entry & np.uint64(TOTAL - 1)
        freq = (entry >> np.uint64(PRECISION_BITS)) & np.uint64(TOTAL - 1)
        x = states[i & mask]
        if x >= freq << np.uint64(32 - PRECISION_BITS):
            position -= 1
            out[position] = np.uint16(x & np.uint64(0xFFFF))
            x >>= np.uint64(16)
        quotient = np.uint64(np.uint32(x) // np.uint32(freq))
        states[i & mask] = (quotient << np.uint64(PRECISION_BITS)) + (x - quotient * freq) + start
    return position


@compiled
def decode(  # noqa: PLR0913, PLR0917 - arrays, not objects, reach machine code
    contexts: Ints,
    entries: Longs,
    buckets: Longs,
    origin: Ints,
    states: Longs,
    words: Words,
    position: npt.NDArray[np.int64],
    symbols: Ints,
    escaped: Ints,
) -> int:
    """Decode one part; return the number of escapes.

    ``position`` (1,) is moved on; beyond the words: they are truncated. ``words`` ends in ``BLOCK``
    zeros that are no data, so one look per block bounds every read.
    """
    at_word = position[0]
    mask = states.size - 1
    num_words = words.size - BLOCK
    count = 0
    for begin in range(0, contexts.size, BLOCK):
        if at_word > num_words:
            break
        for i in range(begin, min(begin + BLOCK, contexts.size)):
            c = np.int64(contexts[i])
            if c < 0:
                symbols[i] = 0
                continue
            x = states[i & mask]
            slot = x & np.uint64(TOTAL - 1)
            bucket = np.int64(slot >> np.uint64(SLOT_BITS))
            entry = buckets[(c << (PRECISION_BITS - SLOT_BITS)) + bucket]
            freq = (entry >> np.uint64(PRECISION_BITS)) & np.uint64(TOTAL - 1)
            rest = slot - (entry & np.uint64(TOTAL - 1))
            if rest >= freq:  # a later symbol of the bucket: walk to it
                at = origin[c] + np.int64(np.int32(entry >> np.uint64(32)))
                while rest >= freq:
                    at += 1
                    entry = entries[at]
                    freq = (entry >> np.uint64(PRECISION_BITS)) & np.uint64(TOTAL - 1)
                    rest = slot - (entry & np.uint64(TOTAL - 1))
            x = freq * (x >> np.uint64(PRECISION_BITS)) + rest
            # without a branch: whether a word is due cannot be predicted
            refilled = (x << np.uint64(16)) | np.uint64(words[at_word])
            due = x < np.uint64(STATE_LOW)
            states[i & mask] = refilled if due else x
            at_word += int(due)
            symbols[i] = np.int32(entry >> np.uint64(32))
            if entry & np.uint64(ESCAPE_FLAG):
                escaped[count] = i
                count += 1
    position[0] = at_word
    return count
