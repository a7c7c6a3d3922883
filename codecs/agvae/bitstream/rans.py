"""Interleaved rANS: symbols to bytes and back, several parts in one stream.

States of 32 bits, words of 16, frequencies of 15. Symbol i of a part belongs to lane i mod L, and
all lanes of a group of L symbols may decode at once: those whose state fell under 2**16 then take
the next words in lane order (a prefix sum), so numba, SIMD and a GPU read the same bytes. Escaped
symbols travel as further parts, so nothing but table symbols is ever coded. ``ENTROPY.md`` beside
this file specifies every byte; a change there is a new format version.

J. Duda, "Asymmetric numeral systems", arXiv:1311.2540; lanes as in F. Giesen, "Interleaved entropy
coders", arXiv:1402.3392.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bench.codecs.agvae.bitstream.frequency_tables import ESCAPE_LENGTH, FIRST_Z, RAW_BITS, Bank
from bench.codecs.agvae.bitstream.rans_kernels import (
    BLOCK,
    STATE_LOW,
    Ints,
    count,
    decode,
    encode,
    locate,
)
from bench.errors import DecodeError

LANES = (1, 2, 4, 8, 16, 32, 64)
SKIP = -1
"""Context of a symbol that is not coded because both sides know it to be 0."""
LANE_COST_BYTES = 3
"""A lane's 4 bytes of state hold about one byte of symbols."""
LANE_BUDGET = 0.002
"""Share of the stream that ``finish(lanes=None)`` may spend on lanes."""
MAX_AUTO_LANES = 32  # a warp


def _int32(values: npt.ArrayLike, what: str) -> Ints:
    """Return integers as a flat, contiguous, writable int32 array, the kernels' one type."""
    array = np.asarray(values)
    if array.size == 0:
        return np.empty(0, np.int32)
    if array.dtype.kind not in "iu":
        raise ValueError(f"{what} must be integers, found {array.dtype}")
    if array.dtype != np.int32 and not -(2**31) <= int(array.min()) <= int(array.max()) < 2**31:
        raise ValueError(f"{what} must fit in 32 bits, found {array.min()} to {array.max()}")
    flat: Ints = np.require(array.reshape(-1), np.int32, ["C", "W"])
    return flat


def _checked_contexts(contexts: npt.ArrayLike, bank: Bank) -> Ints:
    """Return contexts for the kernels, each a table of y or z, or SKIP."""
    flat = _int32(contexts, "contexts")
    if not flat.size:
        return flat
    least, most = int(flat.min()), int(flat.max())
    if least < SKIP or most >= bank.num_contexts:
        raise ValueError(f"contexts must lie in [-1, {bank.num_contexts}), found {least} to {most}")
    if most >= ESCAPE_LENGTH and ((flat >= ESCAPE_LENGTH) & (flat < FIRST_Z)).any():
        raise ValueError(f"contexts {ESCAPE_LENGTH} to {FIRST_Z - 1} are for escapes only")
    return flat


class Encoder:
    """Gathers the parts of a stream in decoding order, then codes them backwards at once.

    Parameters
    ----------
    bank
        The tables; the decoder must have the same.

    Attributes
    ----------
    lanes
        Lane count of the stream that ``finish`` returned last.
    part_sizes_bytes
        Bytes of each part in it, in decoding order; the first includes the lanes' states.
    """

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self._parts: list[list[Ints]] = []
        self._counts = np.zeros(bank.entries.size, np.int64)
        self.lanes = 0
        self.part_sizes_bytes: list[int] = []

    def put(self, symbols: npt.ArrayLike, contexts: npt.ArrayLike) -> None:
        """Append one part, in the order in which the decoder will ask for it.

        Parameters
        ----------
        symbols
            int32 residuals of any shape, read in C order; any value can be coded.
        contexts
            Table of each symbol, same shape (``Bank.y_context``, ``Bank.z_context``), or -1 where
            the decoder will know that the symbol is 0: such a symbol is not coded.

        Raises
        ------
        ValueError
            If the shapes differ, a context has no table, or a skipped symbol is not 0.
        """
        values = np.asarray(symbols)
        if values.shape != np.shape(contexts):
            raise ValueError(f"{values.shape} symbols do not go with {np.shape(contexts)} contexts")
        table = _checked_contexts(contexts, self._bank)
        flat = _int32(values, "symbols")
        bank = self._bank
        where, escaped = np.empty_like(flat), np.empty_like(flat)
        found = locate(flat, table, bank.origin, bank.low, bank.high, where, escaped)
        if found < 0:
            raise ValueError(f"symbol {-1 - found} is skipped (context -1), so it must be 0")
        part = [where]
        if found:
            at = escaped[:found]
            part += _escape_parts(bank, flat[at], table[at])
        for segment in part:
            count(segment, self._counts)
        self._parts.append(part)

    def use(self, bank: Bank) -> None:
        """Code what was put with other tables, of a bank of the same layout."""
        self._bank = bank

    @property
    def ideal_bits(self) -> float:
        """Information content of all parts under the integer tables, in bits."""
        return float(self._counts @ self._bank.bits)

    def finish(self, lanes: int | None = None) -> bytes:
        """Return the stream of all parts; may be called again with another lane count.

        Parameters
        ----------
        lanes
            1, 2, 4, ..., 64. None: as many, up to 32, as cost at most 0.2 % of the stream.

        Raises
        ------
        ValueError
            If the lane count is none of those.
        """
        if lanes is None:
            data = self._coded(8)
            lanes = suggested_lanes(len(data) - 8 * LANE_COST_BYTES)
            return data if lanes == 8 else self._coded(lanes)
        if lanes not in LANES:
            raise ValueError(f"lanes must be one of {LANES}, found {lanes}")
        return self._coded(lanes)

    def _coded(self, lanes: int) -> bytes:
        size = sum(where.size for part in self._parts for where in part)
        out = np.empty(size, np.uint16)  # never more than one word per symbol
        states = np.full(lanes, STATE_LOW, np.uint64)
        position, sizes = size, []
        for part in reversed(self._parts):
            end = position
            for where in reversed(part):
                position = encode(where, self._bank.entries, states, out, position)
            sizes.append(2 * (end - position))
        head = states.astype("<u4").tobytes()
        self.lanes = lanes
        self.part_sizes_bytes = sizes[::-1]
        if sizes:
            self.part_sizes_bytes[0] += len(head)
        return head + out[position:].astype("<u2", copy=False).tobytes()


def suggested_lanes(size_bytes: int) -> int:
    """Return how many lanes a stream of ``size_bytes`` can afford within ``LANE_BUDGET``."""
    affordable = [n for n in LANES if n * LANE_COST_BYTES <= LANE_BUDGET * size_bytes]
    return min(max(affordable, default=1), MAX_AUTO_LANES)


def _escape_parts(bank: Bank, symbols: Ints, contexts: Ints) -> list[Ints]:
    """Return the entries of the parts that carry what escape symbols leave open.

    With ``u = |k| - |k at the escape| + 1``: one part with the bit length n of u (u = 2**n + ...),
    then the n bits below the leading one, 8 to a part, the lowest first.
    """
    wide = symbols.astype(np.int64)
    edge = np.where(wide < 0, bank.low[contexts], bank.high[contexts])
    magnitude = np.abs(wide) - np.abs(edge) + 1
    length = np.frexp(magnitude.astype(np.float64))[1].astype(np.int64) - 1
    parts = [(bank.origin[ESCAPE_LENGTH] + length).astype(np.int32)]
    rest = magnitude - (1 << length)
    while length.any():
        bits = np.minimum(length, RAW_BITS)
        raw = bank.origin[ESCAPE_LENGTH + bits] + (rest & ((1 << bits) - 1))
        parts.append(np.where(bits > 0, raw, SKIP).astype(np.int32))
        rest, length = rest >> bits, length - bits
    return parts


def checked_states(data: bytes, lanes: int) -> npt.NDArray[np.uint32]:
    """Return the states that a stream begins with, (lanes,).

    Raises
    ------
    DecodeError
        If the data cannot be a stream of so many lanes.
    """
    if lanes not in LANES:
        raise DecodeError(f"the stream says {lanes} lanes, wanted one of {LANES}")
    if len(data) < 4 * lanes or len(data) % 2:
        raise DecodeError(
            f"the stream of {lanes} lanes has {len(data)} bytes, wanted at least {4 * lanes}"
            " and an even number"
        )
    states = np.frombuffer(data, "<u4", lanes)
    if states.min() < STATE_LOW:
        raise DecodeError("the stream begins with an impossible coder state")
    return states.astype(np.uint32, copy=False)


class Decoder:
    """Reads the parts of one stream, in order.

    Parameters
    ----------
    bank
        The tables of the encoder.
    data
        A whole stream from ``Encoder.finish``.
    lanes
        Its lane count; it travels outside the stream.

    Raises
    ------
    DecodeError
        If the data cannot be a stream of so many lanes.

    Notes
    -----
    Damage may pass ``get`` unnoticed and yield wrong symbols (never a crash, never more than was
    asked for). ``close`` then notices nearly all of it, for damage spreads to the end of a lane;
    but the raw bits of escapes change alone, so a file needs its own checksum.
    """

    def __init__(self, bank: Bank, data: bytes, lanes: int) -> None:
        self._bank = bank
        self._states = checked_states(data, lanes).astype(np.uint64)
        words = np.frombuffer(data, "<u2", offset=4 * lanes)
        self._words = np.concatenate((words, np.zeros(BLOCK, np.uint16))).astype(np.uint16)
        self._num_words = words.size
        self._position = 0

    @property
    def position_bytes(self) -> int:
        """Bytes of the stream that the parts so far have taken, the lanes' states included."""
        return 4 * self._states.size + 2 * self._position

    def get(self, contexts: npt.ArrayLike) -> Ints:
        """Return the symbols of the next part.

        Parameters
        ----------
        contexts
            As the encoder was given them, any shape.

        Returns
        -------
        int32 array of the shape of ``contexts``; 0 where the context is -1

        Raises
        ------
        ValueError
            If a context has no table.
        DecodeError
            If the data ends early, or an escaped value does not fit in 32 bits.
        """
        table = _checked_contexts(contexts, self._bank)
        symbols, escaped = self._part(table)
        if escaped.size:
            symbols[escaped] = self._unescape(symbols[escaped])
        return symbols.reshape(np.shape(contexts))

    def close(self) -> None:
        """Check that the stream ended where it must.

        Raises
        ------
        DecodeError
            If words are left over or a lane's state is not the one every encoder starts from.
        """
        left = self._num_words - self._position
        if left:
            raise DecodeError(f"the stream is damaged: {2 * left} bytes are left over")
        if (self._states != STATE_LOW).any():
            raise DecodeError("the stream is damaged: a coder state does not return to its start")

    def _part(self, contexts: Ints) -> tuple[Ints, Ints]:
        """Return the table symbols of a part and the positions of the escapes among them."""
        symbols, escaped = np.empty_like(contexts), np.empty_like(contexts)
        bank, position = self._bank, np.array([self._position])
        count = decode(
            contexts, bank.entries, bank.buckets, bank.origin,
            self._states, self._words, position, symbols, escaped,
        )  # fmt: skip
        self._position = int(position[0])
        if self._position > self._num_words:
            raise DecodeError(
                f"the stream is damaged: it ends {4 * self._states.size + 2 * self._num_words}"
                " bytes in, and more symbols were to come"
            )
        return symbols, escaped[:count]

    def _unescape(self, symbols: Ints) -> Ints:
        """Return the values of escaped symbols; takes further parts from the stream."""
        length = self._part(np.full_like(symbols, ESCAPE_LENGTH))[0].astype(np.int64)
        magnitude = 1 << length
        shift = np.zeros_like(length)
        while (length > shift).any():
            bits = np.minimum(length - shift, RAW_BITS)
            context = np.where(bits > 0, ESCAPE_LENGTH + bits, SKIP).astype(np.int32)
            magnitude += self._part(context)[0].astype(np.int64) << shift
            shift += bits
        wide = symbols + np.sign(symbols) * (magnitude - 1)
        values: Ints = wide.astype(np.int32)
        if (wide != values).any():
            raise DecodeError("the stream is damaged: an escaped symbol does not fit in 32 bits")
        return values
