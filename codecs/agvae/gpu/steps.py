"""One step of the coder on all lanes at once; the building blocks of ``decoding`` and ``encoding``.

A program is one warp and codes one stream: lane i of the stream is lane i of the warp. 32-bit
states are uint32, everything else is int32.
"""

from __future__ import annotations

import triton
import triton.language as tl

MAX_LANES = 64
"""Most lanes of a stream; state arrays have a column for each."""
SCAN = tl.constexpr(1024)
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
def ranks(chosen, lane, BLOCK: tl.constexpr):
    """Return how many lanes below each are chosen, and how many are in all."""
    if BLOCK == 32:  # one warp: a ballot by a sum of distinct bits
        one = tl.full([BLOCK], 1, tl.uint32)
        bit = one << lane.to(tl.uint32)
        ballot = tl.sum(tl.where(chosen, bit, 0), 0).to(tl.uint32)
        below = popcount(ballot & (bit - 1))
        total = popcount(ballot)
    else:
        ones = chosen.to(tl.int32)
        below = tl.cumsum(ones, 0) - ones
        total = tl.sum(ones, 0)
    return below, total


@triton.jit
def take_symbols(x, finder, coded, buckets, near, spans, values):
    """Advance the states of ``coded`` lanes by a symbol, without refilling them.

    Returns the states, the symbols and whether they are escapes; 0 where not coded.
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
    if tl.max(outside.to(tl.int32), 0) > 0:  # rare: walk from the pair to the symbol
        at = tl.load(near + bucket, mask=outside, other=0)
        span = tl.load(spans + at, mask=outside, other=0)
        while tl.max(outside.to(tl.int32), 0) > 0:
            at += tl.where(slot < (span & 32767), -1, 1)
            span = tl.load(spans + at, mask=outside, other=0)
            near_freq = (span >> 15) & 32767
            near_rest = slot - (span & 32767)
            found = outside & (near_rest >= 0) & (near_rest < near_freq)
            freq = tl.where(found, near_freq, freq)
            rest = tl.where(found, near_rest, rest)
            escape = tl.where(found, (span >> 30) & 1, escape)
            symbol = tl.where(found, tl.load(values + at, mask=found, other=0), symbol)
            outside = outside & (found == 0)
    advanced = freq.to(tl.uint32) * (x >> 15) + rest.to(tl.uint32)
    x = tl.where(coded, advanced, x)
    symbol = tl.where(coded, symbol, 0)
    escape = tl.where(coded, escape, 0)
    return x, symbol, escape


@triton.jit
def refill(x, position, words, num_words, lane, BLOCK: tl.constexpr):
    """Let the lanes under 2**16 take the next words in lane order; zeros behind the end."""
    due = x < 65536
    below, total = ranks(due, lane, BLOCK)
    at = position + below
    word = tl.load(words + at, mask=due & (at < num_words), other=0)
    x = tl.where(due, (x << 16) | (word.to(tl.int32) & 65535).to(tl.uint32), x)
    return x, position + total


@triton.jit
def put_symbols(x, position, span, words, lane, BLOCK: tl.constexpr):
    """Code the symbols of all lanes, the last lane first; a span of frequency 0 is none.

    ``position`` is the place of the word emitted last; words in front of the buffer are dropped.
    """
    freq = ((span >> 15) & 32767).to(tl.uint32)
    start = (span & 32767).to(tl.uint32)
    coded = freq > 0
    full = coded & (x >= (freq << 17))
    below, total = ranks(full, lane, BLOCK)
    position = position - total
    at = position + below
    tl.store(words + at, (x & 65535).to(tl.int16), mask=full & (at >= 0))
    x = tl.where(full, x >> 16, x)
    divisor = tl.where(coded, freq, 1)
    quotient = x // divisor
    x = tl.where(coded, (quotient << 15) + (x - quotient * divisor) + start, x)
    return x, position
