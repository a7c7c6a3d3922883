"""The kernels that turn symbols into spans of the tables, and spans into words."""

from __future__ import annotations

import triton
import triton.language as tl

from bench.codecs.agvae.gpu.kernels.steps import LENGTH_STAGES, SCAN, put_symbols


@triton.jit(do_not_specialize=["size", "stride", "first"])
def locate(
    symbols,
    contexts,
    out,
    bits,
    escaped,
    first,
    size,
    stride,
    origin,
    low,
    high,
    spans,
    BLOCK: tl.constexpr,
):
    """Write the span of every symbol of one part, and what the part will cost.

    Parameters
    ----------
    symbols, contexts, out
        int32, element i of stream s at ``s * stride + first + i``; context -1 is not coded.
    bits, escaped
        float32 and int32 (streams, blocks): information content in bits of each block of symbols,
        and how many of them are escapes.
    size
        Symbols of the part in each stream.
    origin, low, high, spans
        Of ``Lookup``.
    """
    stream = tl.program_id(1).to(tl.int64)
    block = tl.program_id(0)
    at = block * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    at += first
    context = tl.load(contexts + stream * stride + at, mask=inside, other=-1)
    symbol = tl.load(symbols + stream * stride + at, mask=inside, other=0)
    coded = context >= 0
    lowest = tl.load(low + context, mask=coded, other=0)
    highest = tl.load(high + context, mask=coded, other=0)
    held = tl.minimum(tl.maximum(symbol, lowest), highest)
    entry = tl.load(origin + context, mask=coded, other=0) + held
    span = tl.load(spans + entry, mask=coded, other=0)
    tl.store(out + stream * stride + at, span, mask=inside)
    freq = tl.where(coded, (span >> 15) & 32767, 32768).to(tl.float32)
    cost = 15.0 - tl.log2(freq)
    escape = (span >> 30) & 1
    beyond = tl.abs(symbol.to(tl.float32) - held.to(tl.float32)) + 1
    length = tl.floor(tl.log2(beyond))
    cost += tl.where(escape > 0, length + tl.minimum(length + 1, 15.0), 0.0)
    cell = stream * tl.num_programs(0) + block
    tl.store(bits + cell, tl.sum(cost, 0))
    tl.store(escaped + cell, tl.sum(escape, 0))


@triton.jit
def _measure_escapes(spans, symbols, contexts, low, high, places, size):
    """Write position, bit length and bits of every escape of a part; return their number.

    ``places`` is followed by as many lengths and rests; each array holds ``size`` int32.
    """
    count = 0
    for first in range(0, size, SCAN):
        at = first + tl.arange(0, SCAN)
        escape = (tl.load(spans + at, mask=at < size, other=0) >> 30) & 1
        if tl.max(escape, 0) > 0:
            mine = escape > 0
            context = tl.load(contexts + at, mask=mine, other=0)
            symbol = tl.load(symbols + at, mask=mine, other=0).to(tl.int64)
            below = tl.load(low + context, mask=mine, other=0).to(tl.int64)
            above = tl.load(high + context, mask=mine, other=0).to(tl.int64)
            u = tl.where(symbol < 0, below - symbol, symbol - above) + 1
            length = tl.zeros([SCAN], tl.int64)
            for shift in range(1, 31):
                length += (u >> shift > 0).to(tl.int64)
            slot = count + tl.cumsum(escape, 0) - escape
            rest = u - (tl.full([SCAN], 1, tl.int64) << length)
            tl.store(places + size + slot, length.to(tl.int32), mask=mine)
            tl.store(places + 2 * size + slot, rest.to(tl.int32), mask=mine)
            count += tl.sum(escape, 0)
    return count


@triton.jit
def _put_escapes(
    x, position, words, places, size, count, length_spans, num_lanes, lane, BLOCK: tl.constexpr
):
    """Code the parts that follow a part with escapes, from the last to the first."""
    live = lane < num_lanes
    groups = (count + num_lanes - 1) // num_lanes
    for back in range(LENGTH_STAGES):
        shift = 8 * (LENGTH_STAGES - 1 - back)
        for group in range(groups):
            at = (groups - 1 - group) * num_lanes + lane
            mine = live & (at < count)
            bits = tl.load(places + size + at, mask=mine, other=0) - shift
            bits = tl.minimum(tl.maximum(bits, 0), 8)
            rest = tl.load(places + 2 * size + at, mask=mine, other=0) >> shift
            freq = tl.where(bits > 0, 32768 >> bits, 0)
            start = (rest & ((1 << bits) - 1)) * freq
            x, position = put_symbols(x, position, start | (freq << 15), words, lane, BLOCK)
    for group in range(groups):
        at = (groups - 1 - group) * num_lanes + lane
        mine = live & (at < count)
        length = tl.load(places + size + at, mask=mine, other=0)
        span = tl.load(length_spans + length, mask=mine, other=0)
        x, position = put_symbols(x, position, span, words, lane, BLOCK)
    return x, position


@triton.jit(do_not_specialize=["num_parts", "stride", "capacity", "longest"])
def encode_stream(
    spans,
    symbols,
    contexts,
    escaped,
    bounds,
    num_parts,
    stride,
    lanes,
    words,
    capacity,
    states,
    positions,
    low,
    high,
    length_spans,
    scratch,
    longest,
    BLOCK: tl.constexpr,
):
    """Code all parts of one stream backwards, with the lanes of one of several trials.

    Parameters
    ----------
    spans, symbols, contexts
        int32 (streams, stride): spans as ``locate`` wrote them, and what it was given.
    escaped
        int32 (streams, parts): escapes of each part.
    bounds
        int32 (parts + 1,): where each part begins in a row, and the end.
    lanes
        int32 (streams, trials): lane counts; 0 for a trial that is not needed.
    words, capacity
        int16 (streams, trials, capacity): filled from the end.
    states, positions
        int32 (streams, trials, 64) and (streams, trials): the first word of the stream.
        Negative where ``capacity`` did not suffice.
    low, high, length_spans
        Of ``Lookup``; the last are the spans of context 1600.
    scratch, longest
        int32 (streams, trials, 3, longest), and the largest size of a part.
    """
    stream = tl.program_id(0).to(tl.int64)
    job = stream * tl.num_programs(1) + tl.program_id(1)
    num_lanes = tl.load(lanes + job)
    if num_lanes > 0:
        spans += stream * stride
        symbols += stream * stride
        contexts += stream * stride
        words += job * capacity
        scratch += job * 3 * longest
        lane = tl.arange(0, BLOCK)
        live = lane < num_lanes
        x = tl.full([BLOCK], 65536, tl.uint32)
        position = capacity
        for back in range(num_parts):
            part = num_parts - 1 - back
            begin = tl.load(bounds + part)
            size = tl.load(bounds + part + 1) - begin
            if tl.load(escaped + stream * num_parts + part) > 0:
                count = _measure_escapes(
                    spans + begin, symbols + begin, contexts + begin, low, high, scratch, size
                )
                tl.debug_barrier()
                x, position = _put_escapes(
                    x, position, words, scratch, size, count, length_spans, num_lanes, lane, BLOCK
                )
                tl.debug_barrier()
            groups = (size + num_lanes - 1) // num_lanes
            at = (groups - 1) * num_lanes + lane
            span = tl.load(spans + begin + at, mask=live & (at >= 0) & (at < size), other=0)
            before = at - num_lanes
            following = tl.load(spans + begin + before, mask=live & (before >= 0), other=0)
            for _ in range(groups):
                before -= num_lanes
                fetched = tl.load(spans + begin + before, mask=live & (before >= 0), other=0)
                x, position = put_symbols(x, position, span, words, lane, BLOCK)
                span = following
                following = fetched
        tl.store(states + job * 64 + lane, x.to(tl.int32, bitcast=True), mask=live)
        tl.store(positions + job, position)


@triton.jit(do_not_specialize=["capacity"])
def collect(
    words,
    states,
    positions,
    lanes,
    chosen,
    ends,
    out,
    capacity,
    TRIALS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Copy the chosen trial of every stream, states first, behind one another.

    Parameters
    ----------
    words, states, positions, lanes
        As ``encode_stream`` wrote them; the states as int16 (streams, trials, 128).
    chosen, ends
        int32 and int64 (streams,): the trial, and where the stream ends in ``out``, in words.
    out
        int16.
    """
    stream = tl.program_id(1).to(tl.int64)
    job = stream * TRIALS + tl.load(chosen + stream)
    position = tl.load(positions + job)
    head = 2 * tl.load(lanes + job)
    size = head + capacity - position
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    state = tl.load(states + job * 128 + at, mask=at < head, other=0)
    inside = (at >= head) & (at < size) & (position >= 0)
    word = tl.load(words + job * capacity + position - head + at, mask=inside, other=0)
    target = out + tl.load(ends + stream) - size + at
    tl.store(target, tl.where(at < head, state, word), mask=(at < size) & (position >= 0))
