"""Streams of ``ENTROPY.md`` on a device: a batch of them, read or written part by part.

``Reader`` and ``Writer`` do what ``rans.Decoder`` and ``rans.Encoder`` do, byte for byte, but work
is only enqueued: nothing waits for the device before ``Reader.verdicts`` are looked at or
``Writer.finish`` fetches the bytes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from bench.codecs.agvae.bitstream.frequency_tables import MAX_LENGTH
from bench.codecs.agvae.bitstream.rans import (
    LANES,
    MAX_AUTO_LANES,
    checked_states,
    suggested_lanes,
)
from bench.codecs.agvae.bitstream.rans_kernels import STATE_LOW, Ints
from bench.codecs.agvae.gpu.kernels.decoding import decode_part
from bench.codecs.agvae.gpu.kernels.encoding import collect, encode_stream, locate
from bench.codecs.agvae.gpu.kernels.steps import MAX_LANES
from bench.codecs.agvae.gpu.table_lookup import Lookup
from bench.errors import DecodeError

HEAD = 3 + MAX_LANES
"""int32 of a stream that travel in front of the words: begin, count, lanes, states."""

TRUNCATED, TOO_FAR, LEFT_OVER, UNSETTLED = 1, 2, 4, 8
_COMPLAINTS = {
    TRUNCATED: "it ends early, and more symbols were to come",
    TOO_FAR: "an escaped symbol does not fit in 32 bits",
    LEFT_OVER: "bytes are left over",
    UNSETTLED: "a coder state does not return to its start",
}

TRIALS = 3
"""Lane counts that a stream may have to be coded with: two candidates, and 8 to choose by."""
DOUBT = 0.02
DOUBT_BYTES = 64
"""How far the size of a stream of 8 lanes may lie from its information content."""
SPARE_WORDS = 1024
"""Words that a stream may have beyond one a symbol, which only escapes can bring about."""
_LOCATE_BLOCK = 1024


def _block(lanes: Sequence[int]) -> int:
    """Return how many lanes a kernel has: those of a warp, or twice as many."""
    return 64 if max(lanes) > 32 else 32


class Reader:
    """Decodes a batch of streams; may be loaded again and again.

    Parameters
    ----------
    lookup
        Tables, on the device that is to decode.
    batch
        Number of streams.
    capacity_words
        Words that all streams together may have.

    Attributes
    ----------
    positions, damage
        int32 (batch,): words taken so far, and what was wrong (bits).
    """

    def __init__(self, lookup: Lookup, batch: int, capacity_words: int) -> None:
        self._lookup, self._batch = lookup, batch
        device = lookup.spans.device
        head = 4 * HEAD * batch
        self._bytes = torch.zeros(head + 2 * capacity_words, dtype=torch.uint8, device=device)
        self._staged = torch.empty_like(self._bytes, device="cpu")
        if device.type == "cuda":
            self._staged = self._staged.pin_memory()
        integers = self._bytes[:head].view(torch.int32)
        self._begins, self._counts, self._lanes = integers[: 3 * batch].view(3, batch)
        self._states = integers[3 * batch :].view(batch, MAX_LANES)
        self._words = self._bytes[head:].view(torch.int16)
        self._columns = torch.arange(MAX_LANES, device=device)
        self._raw_finder = lookup.raw_finder
        self.positions = torch.zeros(batch, dtype=torch.int32, device=device)
        self.damage = torch.zeros_like(self.positions)
        self.block = 32

    @property
    def capacity_words(self) -> int:
        """Words that fit, states not counted."""
        return int(self._words.numel())

    def load(self, streams: Sequence[tuple[bytes, int]]) -> None:
        """Copy streams (bytes and lane count) to the device, in one transfer.

        Raises
        ------
        DecodeError
            If some bytes cannot be a stream of so many lanes.
        """
        head = np.zeros((HEAD, self._batch), np.int32)
        states = np.full((self._batch, MAX_LANES), STATE_LOW, np.uint32)
        staged = self._staged.numpy()
        end = 4 * head.size
        for i, (data, lanes) in enumerate(streams):
            states[i, :lanes] = checked_states(data, lanes)
            words = np.frombuffer(data, np.uint8, offset=4 * lanes)
            head[:3, i] = (end - 4 * head.size) // 2, words.size // 2, lanes
            staged[end : end + words.size] = words
            end += words.size
        head[3:] = states.view(np.int32).reshape(MAX_LANES, self._batch)
        staged[: 4 * head.size] = head.reshape(-1).view(np.uint8)
        self._bytes[:end].copy_(self._staged[:end], non_blocking=True)
        self.block = _block([lanes for _, lanes in streams])

    def start(self) -> None:
        """Enqueue going back to the beginning; the states must be as they were loaded."""
        self.positions.zero_()
        self.damage.zero_()

    def part(self, finders: Tensor, symbols: Tensor, scratch: Tensor) -> None:
        """Enqueue the decoding of the next part.

        Parameters
        ----------
        finders
            ``Lookup.finder`` of each symbol's context, int32 (batch, N), or -1.
        symbols
            int32 (batch, N), to be filled.
        scratch
            int32, at least 3 batch N.
        """
        size = finders.shape[1]
        decode_part[(self._batch,)](
            finders, symbols, size, self._words, self._begins, self._counts, self._lanes,
            self._states, self.positions, self.damage,
            self._lookup.buckets, self._lookup.near, self._lookup.spans, self._lookup.values,
            self._raw_finder, self._lookup.length_finder, scratch,
            BLOCK=self.block, num_warps=1,
        )  # fmt: skip

    def verdicts(self) -> Tensor:
        """Enqueue the last checks; return what was wrong with each stream, int32 (batch,)."""
        left = (self.positions < self._counts) * LEFT_OVER
        used = self._columns < self._lanes[:, None]
        unsettled = ((self._states != STATE_LOW) & used).any(1) * UNSETTLED
        found: Tensor = self.damage | left.int() | unsettled.int()
        return found


def complain(verdicts: Sequence[int]) -> None:
    """Raise if a stream was damaged.

    Raises
    ------
    DecodeError
        Naming the first damaged stream of the batch and the first thing that was wrong with it.
    """
    for i, verdict in enumerate(verdicts):
        for bit, complaint in _COMPLAINTS.items():
            if verdict & bit:
                which = f" (file {i + 1} of the batch)" if len(verdicts) > 1 else ""
                raise DecodeError(f"the stream is damaged{which}: {complaint}")


@cache
def lane_thresholds() -> tuple[int, ...]:
    """Return the sizes in bytes from which ``suggested_lanes`` gives 2, 4, 8, ... lanes."""
    automatic = [lanes for lanes in LANES[1:] if lanes <= MAX_AUTO_LANES]
    return tuple(bisect_left(range(1 << 30), lanes, key=suggested_lanes) for lanes in automatic)


class Writer:
    """Gathers the parts of a batch of streams, then codes all of them.

    Parameters
    ----------
    lookup
        Tables, on the device that is to encode.
    batch
        Number of streams.
    sizes
        Symbols of each part.

    Attributes
    ----------
    sizes
        Symbols of each part.
    symbols, contexts
        int32 (batch, sum of sizes), part after part, to be filled by the caller before ``put``.
        Contexts are as ``rans.Encoder`` takes them and are not checked.
    """

    def __init__(self, lookup: Lookup, batch: int, sizes: Sequence[int]) -> None:
        self._lookup, self._batch, self.sizes = lookup, batch, tuple(sizes)
        device = lookup.spans.device
        self._bounds_list = np.cumsum([0, *sizes]).tolist()
        total = self._bounds_list[-1]
        self._bounds = torch.tensor(self._bounds_list, dtype=torch.int32, device=device)
        self._thresholds = torch.tensor(lane_thresholds(), device=device)
        self._length_spans = lookup.spans[lookup.length_entry :][: MAX_LENGTH + 1].clone()
        self.symbols = torch.empty(batch, total, dtype=torch.int32, device=device)
        self.contexts = torch.empty_like(self.symbols)
        self._spans = torch.empty_like(self.symbols)
        blocks = [max(1, -(-size // _LOCATE_BLOCK)) for size in sizes]
        self._bits = [torch.zeros(batch, n, device=device) for n in blocks]
        self._escaped = [torch.zeros(batch, n, dtype=torch.int32, device=device) for n in blocks]

    def bits(self) -> Tensor:
        """Return the information content of each stream as it was put, float64 (batch,)."""
        return torch.stack([bits.sum(1) for bits in self._bits]).sum(0).double()

    def put(self, part: int, lookup: Lookup | None = None) -> None:
        """Enqueue the table look-ups of a part whose symbols and contexts are there.

        ``lookup`` stands for other tables of the same layout.
        """
        first, bits, escaped = self._bounds_list[part], self._bits[part], self._escaped[part]
        table = lookup or self._lookup
        locate[bits.shape[1], self._batch](
            self.symbols, self.contexts, self._spans, bits, escaped,
            first, self.sizes[part], self.symbols.shape[1],
            table.origin, table.low, table.high, table.spans,
            BLOCK=_LOCATE_BLOCK,
        )  # fmt: skip

    def parts(self, stream: int) -> list[tuple[Ints, Ints]]:
        """Return symbols and contexts of each part of a stream, on the CPU."""
        symbols, contexts = (t[stream].cpu().numpy() for t in (self.symbols, self.contexts))
        edges = pairwise(self._bounds_list)
        return [(symbols[begin:end], contexts[begin:end]) for begin, end in edges]

    def finish(self, lanes: Sequence[int] | None = None) -> list[tuple[bytes, int] | None]:
        """Return bytes and lane count of every stream.

        Parameters
        ----------
        lanes
            Of each stream. None: as ``rans.Encoder.finish`` chooses.

        Returns
        -------
        list
            None stands for a stream that must be left to ``rans.Encoder``: more words than
            symbols, or a size too far from its information content to be sure of the choice.
        """
        trials, ambiguous, estimate = self._plan(lanes)
        words, states, positions = self._code(trials, 64 if lanes and max(lanes) > 32 else 32)
        capacity = words.shape[2]
        sizes = 2 * (2 * trials + capacity - positions)  # bytes, (batch, TRIALS)
        wanted = torch.where(ambiguous, self._suggest(sizes[:, 2] - 24), trials[:, 0])
        chosen = (trials[:, 1] == wanted).int() * (trials[:, 0] != wanted)
        size = sizes.gather(1, chosen[:, None].long())[:, 0]
        fits = trials.gather(1, chosen[:, None].long())[:, 0] == wanted
        fits &= (positions >= 0).all(1)
        if lanes is None:
            payload = size - 3 * wanted
            fits &= (payload - estimate).abs() <= DOUBT / 2 * estimate + DOUBT_BYTES
        ends = (size // 2).cumsum(0)
        out = torch.empty(self._batch * capacity, dtype=torch.int16, device=words.device)
        collect[-(-capacity // 1024), self._batch](
            words, states.view(torch.int16), positions, trials, chosen.int(), ends, out,
            capacity, TRIALS=TRIALS, BLOCK=1024,
        )  # fmt: skip
        facts = torch.stack([wanted.long(), ends, fits.long()]).cpu().tolist()
        data = out[: facts[1][-1]].cpu().numpy().tobytes()
        begins = [0, *facts[1][:-1]]
        return [
            (data[2 * begin : 2 * end], count) if fine else None
            for begin, end, count, fine in zip(begins, facts[1], facts[0], facts[2], strict=True)
        ]

    def _plan(self, lanes: Sequence[int] | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return lane counts to try, (batch, TRIALS), whether to choose by size, and estimates."""
        device = self._bounds.device
        estimate = self.bits() / 8
        trials = torch.zeros(self._batch, TRIALS, dtype=torch.int32, device=device)
        if lanes is not None:
            trials[:, 0] = torch.tensor(lanes, dtype=torch.int32, device=device)
            return trials, trials[:, 1] > 0, estimate
        fewest = self._suggest(estimate * (1 - DOUBT) - DOUBT_BYTES)
        most = self._suggest(estimate * (1 + DOUBT) + DOUBT_BYTES)
        ambiguous = fewest != most
        trials[:, 0] = fewest
        trials[:, 1] = torch.where(ambiguous, most, 0)
        trials[:, 2] = torch.where(ambiguous, 8, 0)
        return trials, ambiguous, estimate

    def _suggest(self, size_bytes: Tensor) -> Tensor:
        """Return ``suggested_lanes`` of sizes, int32."""
        steps = (size_bytes[:, None] >= self._thresholds).sum(1)
        return torch.ones_like(steps, dtype=torch.int32) << steps

    def _code(self, trials: Tensor, block: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return words, states and positions of all trials."""
        total = self.symbols.shape[1]
        device = self.symbols.device
        shape = (self._batch, TRIALS)
        capacity = total + SPARE_WORDS
        words = torch.empty(*shape, capacity, dtype=torch.int16, device=device)
        states = torch.zeros(*shape, MAX_LANES, dtype=torch.int32, device=device)
        positions = torch.full(shape, capacity, dtype=torch.int32, device=device)
        longest = max(self.sizes, default=0)
        scratch = torch.empty(*shape, 3, max(1, longest), dtype=torch.int32, device=device)
        escaped = torch.stack([part.sum(1) for part in self._escaped], 1).int().contiguous()
        table = self._lookup
        encode_stream[shape](
            self._spans, self.symbols, self.contexts, escaped,
            self._bounds, len(self.sizes), total, trials,
            words, capacity, states, positions,
            table.low, table.high, self._length_spans, scratch, max(1, longest),
            BLOCK=block, num_warps=1,
        )  # fmt: skip
        return words, states, positions
