"""One step of the coder on all lanes at once; the building blocks of ``decoding`` and ``encoding``.

A program is one warp and codes one stream: lane i of the stream is lane i of the warp. 32-bit
states are uint32, everything else is int32.
"""

from __future__ import annotations

import triton
import triton.language as tl

MAX_LANES = 64
"""Most lanes of a stream; state arrays have a column for each."""
SCAN = tl.constexpr(512)
"""Symbols that a search for escapes looks at together."""
LENGTH_STAGES = tl.constexpr(4)
"""Parts of raw bits that may follow the bit lengths of escapes."""
PENDING = tl.constexpr(1 << 20)
"""Added to a decoded escape whose magnitude is still to come; table symbols lie under 2**14."""


@triton.jit
def popcount(bits):
    """Return the number of set bits of uint32 values (LLVM makes one instruction of it)."""
    bits = bits - ((bits >> 1) & 0x55555555)
    bits = (bits & 0x33333333) + ((bits >> 2) & 0x33333333)
    bits = (bits + (bits >> 4)) & 0x0F0F0F0F
    return ((bits * 0x01010101) >> 24).to(tl.int32)


@triton.jit
def ballot(chosen, lane, BLOCK: tl.constexpr):
    """Return which lanes are chosen, for ``ranks``: a warp's as the bits of a number."""
    if BLOCK == 32:
        bit = tl.full([BLOCK], 1, tl.uint32) << lane.to(tl.uint32)
        votes = tl.sum(tl.where(chosen, bit, 0), 0).to(tl.uint32)
    else:
        votes = chosen.to(tl.int32)
    return votes


@triton.jit
def ranks(votes, lane, BLOCK: tl.constexpr):
    """Return how many lanes below each are chosen, and how many are in all."""
    if BLOCK == 32:
        bit = tl.full([BLOCK], 1, tl.uint32) << lane.to(tl.uint32)
        below = popcount(votes & (bit - 1))
        total = popcount(votes)
    else:
        below = tl.cumsum(votes, 0) - votes
        total = tl.sum(votes, 0)
    return below, total


@triton.jit
def _walk(slot, bucket, outside, near, spans, values):
    """Return rest, frequency, symbol and escape of the lanes whose pair misses their slot."""
    at = tl.load(near + bucket, mask=outside, other=0)
    span = tl.load(spans + at, mask=outside, other=0)
    pending = outside
    while tl.max(pending.to(tl.int32), 0) > 0:
        at += tl.where(pending, tl.where(slot < (span & 32767), -1, 1), 0)
        span = tl.load(spans + at, mask=outside, other=0)
        rest = slot - (span & 32767)
        pending = outside & ((rest < 0) | (rest >= ((span >> 15) & 32767)))
    symbol = tl.load(values + at, mask=outside, other=0)
    return slot - (span & 32767), (span >> 15) & 32767, symbol, (span >> 30) & 1


@triton.jit
def _advanced(x, freq, rest, coded):
    return tl.where(coded, freq.to(tl.uint32) * (x >> 15) + rest.to(tl.uint32), x)


@triton.jit
def take_symbols(
    x,
    position,
    finder,
    coded,
    words,
    num_words,
    buckets,
    near,
    spans,
    values,
    lane,
    BLOCK: tl.constexpr,
):
    """Decode a symbol in every ``coded`` lane.

    Lanes whose state falls under 2**16 take the next words in lane order; behind the end there
    are zeros. Returns the states, the position, the symbols and whether they are escapes (both 0
    where not coded).
    """
    slot = (x & 32767).to(tl.int32)
    bucket = (finder >> 4) + (slot >> (finder & 15))
    pair = tl.load(buckets + bucket, mask=coded, other=0)
    low = pair.to(tl.int32)
    high = (pair >> 32).to(tl.int32)
    freq = (low >> 15) & 32767
    rest = slot - (low & 32767)
    second = rest >= freq
    rest = tl.where(second, rest - freq, rest)
    freq = tl.where(second, high & 32767, freq)
    symbol = (high >> 17) + second.to(tl.int32)
    escape = (high >> (15 + second.to(tl.int32))) & 1
    outside = coded & ((rest < 0) | (rest >= freq))
    # Asked before the rare case is known, so that the two reductions overlap.
    after = _advanced(x, freq, rest, coded)
    votes = ballot(after < 65536, lane, BLOCK)
    if tl.max(outside.to(tl.int32), 0) > 0:
        far_rest, far_freq, far_symbol, far_escape = _walk(
            slot, bucket, outside, near, spans, values
        )
        symbol = tl.where(outside, far_symbol, symbol)
        escape = tl.where(outside, far_escape, escape)
        after = tl.where(outside, _advanced(x, far_freq, far_rest, coded), after)
        votes = ballot(after < 65536, lane, BLOCK)
    due = after < 65536
    below, total = ranks(votes, lane, BLOCK)
    at = position + below
    word = tl.load(words + at, mask=due & (at < num_words), other=0)
    x = tl.where(due, (after << 16) | (word.to(tl.int32) & 65535).to(tl.uint32), after)
    return x, position + total, tl.where(coded, symbol, 0), tl.where(coded, escape, 0)


@triton.jit
def put_symbols(x, position, span, words, lane, BLOCK: tl.constexpr):
    """Code the symbols of all lanes, the last lane first; a span of frequency 0 is none.

    ``position`` is the place of the word emitted last; words in front of the buffer are dropped.
    """
    freq = ((span >> 15) & 32767).to(tl.uint32)
    start = (span & 32767).to(tl.uint32)
    coded = freq > 0
    full = coded & (x >= (freq << 17))
    below, total = ranks(ballot(full, lane, BLOCK), lane, BLOCK)
    position = position - total
    at = position + below
    tl.store(words + at, (x & 65535).to(tl.int16), mask=full & (at >= 0))
    x = tl.where(full, x >> 16, x)
    divisor = tl.where(coded, freq, 1)
    quotient = x // divisor
    x = tl.where(coded, (quotient << 15) + (x - quotient * divisor) + start, x)
    return x, position
