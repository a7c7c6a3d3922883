"""The kernel that decodes one part of every stream of a batch, escapes included."""

from __future__ import annotations

import triton
import triton.language as tl

from bench.codecs.agvae.gpu.kernels.steps import LENGTH_STAGES, PENDING, SCAN, take_symbols

TRUNCATED = tl.constexpr(1)
TOO_FAR = tl.constexpr(2)


@triton.jit
def _find_escapes(symbols, places, size):
    """Write the positions of pending escapes to ``places``; return their number."""
    count = 0
    for first in range(0, size, SCAN):
        at = first + tl.arange(0, SCAN)
        pending = (tl.load(symbols + at, mask=at < size, other=0) > PENDING // 2).to(tl.int32)
        if tl.max(pending, 0) > 0:
            before = tl.cumsum(pending, 0) - pending
            tl.store(places + count + before, at, mask=pending > 0)
            count += tl.sum(pending, 0)
    return count


@triton.jit
def _resolve(symbols, places, lengths, magnitudes, at, mask):
    """Replace pending escapes by their values; return whether one does not fit in 32 bits."""
    place = tl.load(places + at, mask=mask, other=0)
    edge = (tl.load(symbols + place, mask=mask, other=0) - PENDING).to(tl.int64)
    length = tl.load(lengths + at, mask=mask, other=0)
    magnitude = tl.load(magnitudes + at, mask=mask, other=0)
    u = (tl.full(at.shape, 1, tl.int64) << length.to(tl.int64)) + magnitude.to(tl.int64)
    wide = tl.where(edge > 0, edge + (u - 1), edge - (u - 1))
    tl.store(symbols + place, wide.to(tl.int32), mask=mask)
    return mask & ((wide < -2147483648) | (wide > 2147483647))


@triton.jit
def _decode_symbols(
    x,
    position,
    finders,
    symbols,
    size,
    num_lanes,
    words,
    num_words,
    buckets,
    near,
    spans,
    values,
    lane,
    BLOCK: tl.constexpr,
):
    """Decode the table symbols of a part; return states, position and which lanes saw escapes."""
    live = lane < num_lanes
    escapes = tl.zeros([BLOCK], tl.int32)
    # Two groups ahead, so that no step waits for its finders.
    finder = tl.load(finders + lane, mask=live & (lane < size), other=-1)
    ahead = lane + num_lanes
    following = tl.load(finders + ahead, mask=live & (ahead < size), other=-1)
    for first in range(0, size, num_lanes):
        at = first + lane
        ahead = at + 2 * num_lanes
        fetched = tl.load(finders + ahead, mask=live & (ahead < size), other=-1)
        x, position, symbol, escape = take_symbols(
            x, position, finder, finder >= 0,
            words, num_words, buckets, near, spans, values, lane, BLOCK,
        )  # fmt: skip
        tl.store(symbols + at, symbol + escape * PENDING, mask=live & (at < size))
        escapes = escapes | escape
        finder = following
        following = fetched
    return x, position, escapes


@triton.jit
def _decode_escapes(
    x,
    position,
    symbols,
    size,
    num_lanes,
    words,
    num_words,
    buckets,
    near,
    spans,
    values,
    raw_finder,
    length_finder,
    places,
    lane,
    BLOCK: tl.constexpr,
):
    """Decode the parts that follow a part with escapes; return states, position and failures."""
    live = lane < num_lanes
    failed = tl.zeros([BLOCK], tl.int32)
    lengths = places + size
    magnitudes = lengths + size
    count = _find_escapes(symbols, places, size)
    tl.debug_barrier()
    # Part -1 holds the lengths, parts 0 to 3 the raw bits.
    for stage in range(-1, LENGTH_STAGES):
        for first in range(0, count, num_lanes):
            at = first + lane
            mine = live & (at < count)
            length = tl.load(lengths + at, mask=mine & (stage >= 0), other=0)
            bits = tl.minimum(tl.maximum(length - 8 * stage, 0), 8)
            finder = tl.load(raw_finder + bits)
            finder = tl.where(stage < 0, length_finder, finder)
            coded = mine & ((stage < 0) | (bits > 0))
            x, position, symbol, _ = take_symbols(
                x, position, finder, coded,
                words, num_words, buckets, near, spans, values, lane, BLOCK,
            )  # fmt: skip
            if stage < 0:
                tl.store(lengths + at, symbol, mask=mine)
                tl.store(magnitudes + at, tl.zeros([BLOCK], tl.int32), mask=mine)
            else:
                magnitude = tl.load(magnitudes + at, mask=mine, other=0)
                tl.store(magnitudes + at, magnitude + (symbol << (8 * stage)), mask=mine)
    for first in range(0, count, num_lanes):
        at = first + lane
        mine = live & (at < count)
        failed = failed | _resolve(symbols, places, lengths, magnitudes, at, mine).to(tl.int32)
    return x, position, failed


@triton.jit(do_not_specialize=["size", "length_finder"])
def decode_part(
    finders,
    symbols,
    size,
    words,
    begins,
    counts,
    lanes,
    states,
    positions,
    damage,
    buckets,
    near,
    spans,
    values,
    raw_finder,
    length_finder,
    scratch,
    BLOCK: tl.constexpr,
):
    """Decode one part of the stream that this program stands for.

    Parameters
    ----------
    finders, symbols
        int32 (streams, size): ``Lookup.finder`` of each symbol's context or -1; the result.
    size
        Symbols of the part in each stream.
    words, begins, counts, lanes
        int16: all streams' words; int32 (streams,): where a stream's begin, how many, its lanes.
    states, positions, damage
        int32 (streams, 64), (streams,), (streams,): read and written.
    buckets, near, spans, values, raw_finder, length_finder
        Of ``Lookup``; the last is the finder of the bit lengths.
    scratch
        int32 (streams, 3, size).
    """
    stream = tl.program_id(0).to(tl.int64)
    finders += stream * size
    symbols += stream * size
    words += tl.load(begins + stream)
    num_words = tl.load(counts + stream)
    num_lanes = tl.load(lanes + stream)
    position = tl.load(positions + stream)
    lane = tl.arange(0, BLOCK)
    live = lane < num_lanes
    own = states + stream * 64 + lane
    x = tl.load(own, mask=live, other=65536).to(tl.uint32, bitcast=True)

    x, position, escapes = _decode_symbols(
        x, position, finders, symbols, size, num_lanes,
        words, num_words, buckets, near, spans, values, lane, BLOCK,
    )  # fmt: skip
    failed = tl.zeros([BLOCK], tl.int32)
    if tl.max(escapes, 0) > 0:
        tl.debug_barrier()  # other lanes' symbols are read next
        x, position, failed = _decode_escapes(
            x, position, symbols, size, num_lanes,
            words, num_words, buckets, near, spans, values,
            raw_finder, length_finder, scratch + stream * 3 * size, lane, BLOCK,
        )  # fmt: skip

    tl.store(own, x.to(tl.int32, bitcast=True), mask=live)
    tl.store(positions + stream, position)
    found = tl.load(damage + stream)
    found = found | tl.where(position > num_words, TRUNCATED, 0)
    found = found | tl.where(tl.max(failed, 0) > 0, TOO_FAR, 0)
    tl.store(damage + stream, found)
