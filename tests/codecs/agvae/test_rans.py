"""The entropy coder: round trips, size against information, golden bytes, damage."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from bench.codecs.agvae.bitstream import frequency_tables, rans
from bench.codecs.agvae.bitstream.frequency_tables import NUM_SCALES, TOTAL, Bank
from bench.codecs.agvae.bitstream.rans import LANES, SKIP, Decoder, Encoder
from bench.errors import DecodeError

INT32 = np.iinfo(np.int32)
Part = tuple[np.ndarray, np.ndarray]


@cache
def bank() -> Bank:
    """All tables, with three channels of z."""
    cdf = norm.cdf(np.arange(-8.5, 9) / np.array([[0.3], [2.0], [6.0]]))
    return frequency_tables.standard_bank().with_z(frequency_tables.z_tables_from_cdf(cdf))


def encode(parts: list[Part], lanes: int | None) -> tuple[bytes, Encoder]:
    encoder = Encoder(bank())
    for symbols, contexts in parts:
        encoder.put(symbols, contexts)
    return encoder.finish(lanes), encoder


def decode(data: bytes, lanes: int, contexts: list[np.ndarray]) -> list[np.ndarray]:
    decoder = Decoder(bank(), data, lanes)
    parts = [decoder.get(c) for c in contexts]
    decoder.close()
    return parts


def drawn(contexts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Symbols with the very distribution of their tables (escapes as their nearest value)."""
    symbols = np.zeros(contexts.shape, np.int32)
    slots = rng.integers(0, TOTAL, contexts.shape)
    for context in np.unique(contexts[contexts >= 0]):
        freqs = frequency_tables.split_normal_frequencies()[context]
        here = contexts == context
        symbols[here] = np.searchsorted(np.cumsum(freqs), slots[here], side="right")
        symbols[here] += bank().low[context]
    return symbols


def photo_like(size: int, rng: np.random.Generator) -> np.ndarray:
    """Contexts as a photograph gives them: runs of one channel, a third of them at the floor."""
    channel = np.repeat(rng.normal(4, 12, -(-size // 96)), 96)[:size]
    left, right = (np.clip(channel + rng.normal(0, 3, size), 0, 39).astype(int) for _ in "lr")
    return left * NUM_SCALES + right


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("size", [1, 2, 63, 64, 65, 1000])
def test_round_trip(lanes: int, size: int, rng: np.random.Generator):
    """Symbols come back whatever the lane count and however the part divides by it."""
    contexts = photo_like(size, rng)
    symbols = drawn(contexts, rng)
    data, _ = encode([(symbols, contexts)], lanes)

    assert symbols.tolist() == decode(data, lanes, [contexts])[0].tolist()


SYMBOLS = st.one_of(
    st.integers(-3, 3),
    st.integers(-600, 600),
    st.integers(INT32.min, INT32.max),
    st.sampled_from([INT32.min, INT32.min + 1, INT32.max, INT32.max - 1]),
)
TABLES = st.one_of(
    st.integers(0, NUM_SCALES**2 - 1),
    st.integers(frequency_tables.FIRST_Z, frequency_tables.FIRST_Z + 2),
    st.sampled_from([0, 39, 1560, 1599]),
)
CODED = st.tuples(SYMBOLS, TABLES)
PARTS = st.lists(st.lists(st.one_of(CODED, st.just((0, SKIP))), max_size=150), max_size=5)


@settings(deadline=None, max_examples=300)
@given(parts=PARTS, lanes=st.sampled_from(LANES))
def test_any_integers_in_any_parts_survive(parts: list[list[tuple[int, int]]], lanes: int):
    """Parts of any length, escapes up to both ends of int32 and skipped symbols round-trip."""
    arrays = [np.array(part, np.int64).reshape(-1, 2).T for part in parts]
    data, encoder = encode([(a[0], a[1]) for a in arrays], lanes)
    decoded = decode(data, lanes, [a[1] for a in arrays])

    assert [a[0].tolist() for a in arrays] == [d.tolist() for d in decoded]
    assert len(data) == (sum(encoder.part_sizes_bytes) if parts else 4 * lanes)


def test_shapes_layouts_and_types_do_not_matter(rng: np.random.Generator):
    """Strided, read-only, 3-D, int64 and uint8 inputs code as their C-ordered int32 copies."""
    contexts = photo_like(4 * 6 * 5, rng).reshape(4, 6, 5)
    symbols = drawn(contexts, rng)
    plain, _ = encode([(symbols.ravel(), contexts.ravel())], 4)
    strided = np.asfortranarray(symbols).astype(np.int64)
    contexts.setflags(write=False)
    other, _ = encode([(strided, contexts)], 4)

    assert plain == other
    assert (symbols == decode(other, 4, [contexts])[0]).all()
    narrow = np.array([1, 2, 3], np.uint8)
    assert [0, 0, 0] == decode(encode([(narrow * 0, narrow)], 1)[0], 1, [narrow])[0].tolist()


def test_no_symbols_take_only_states():
    """Without parts, with empty parts and with skipped symbols alone, the states are all."""
    empty = (np.zeros(0, int), np.zeros(0, int))
    skipped = (np.zeros(9, int), np.full(9, SKIP))
    for parts in ([], [empty], [empty, skipped, empty]):
        data, encoder = encode(parts, 2)

        assert bytes.fromhex("0000010000000100") == data
        assert [0] * sum(len(p[0]) for p in parts) == list(
            itertools.chain(*decode(data, 2, [p[1] for p in parts]))
        )
        assert encoder.ideal_bits == 0


def test_skipped_symbols_cost_nothing(rng: np.random.Generator):
    """A symbol that both sides know to be 0 adds no bytes, and keeps the others' places."""
    contexts = photo_like(20_000, rng)
    symbols = drawn(contexts, rng)
    floor = (contexts == 0) & (symbols == 0)
    some = np.where(floor, SKIP, contexts)
    data, encoder = encode([(symbols, some)], 8)

    assert floor.mean() > 0.2
    assert encoder.ideal_bits < encode([(symbols, contexts)], 8)[1].ideal_bits
    assert (symbols == decode(data, 8, [some])[0]).all()


@pytest.mark.parametrize("lanes", [1, 8])
def test_information_bounds(lanes: int, rng: np.random.Generator):
    """A million symbols take at least their information content, and at most 0.1 % more."""
    contexts = photo_like(1_000_000, rng)
    data, encoder = encode([(drawn(contexts, rng), contexts)], lanes)

    assert encoder.ideal_bits <= 8 * len(data) <= 1.001 * encoder.ideal_bits


@pytest.mark.parametrize(("left", "right"), [(0, 0), (12, 12), (22, 28), (39, 39)])
def test_information_bounds_of_one_table(left: int, right: int, rng: np.random.Generator):
    """For sharp and flat tables alike, bytes follow the entropy of the integer table."""
    contexts = np.full(1_000_000, left * NUM_SCALES + right)
    p = frequency_tables.split_normal_frequencies()[contexts[0]] / TOTAL
    entropy_bits = -(p * np.log2(p)).sum() * contexts.size
    data, encoder = encode([(drawn(contexts, rng), contexts)], 1)

    assert entropy_bits == pytest.approx(encoder.ideal_bits, rel=0.1 if left == 0 else 0.005)
    assert encoder.ideal_bits <= 8 * len(data) <= 1.001 * encoder.ideal_bits + 32


def test_lanes_cost_three_bytes_each(rng: np.random.Generator):
    """Over many streams, a lane adds 3 bytes, which is what the automatic choice counts with."""
    extra = []
    for _ in range(60):
        contexts = photo_like(10_000, rng)
        symbols = drawn(contexts, rng)
        one, many = (len(encode([(symbols, contexts)], n)[0]) for n in (1, 64))
        extra.append((many - one) / 63)

    assert rans.LANE_COST_BYTES == pytest.approx(np.mean(extra), abs=0.1)


@pytest.mark.parametrize("size", [10, 3000, 30_000, 300_000])
def test_automatic_lanes_stay_within_their_budget(size: int, rng: np.random.Generator):
    """Left to itself the encoder spends at most 0.3 % on lanes, and uses what it may."""
    contexts = photo_like(size, rng)
    symbols = drawn(contexts, rng)
    data, encoder = encode([(symbols, contexts)], None)
    one, _ = encode([(symbols, contexts)], 1)

    assert len(data) <= 1.003 * len(one) + 2
    assert encoder.lanes == LANES[-2] or 3 * 2 * encoder.lanes > 0.0019 * len(one)
    assert (symbols == decode(data, encoder.lanes, [contexts])[0]).all()


def test_positions_are_the_parts_sizes(rng: np.random.Generator):
    """The decoder's position after each part sums up the encoder's ledger."""
    parts = []
    for size in (500, 0, 3000, 7):
        contexts = photo_like(size, rng)
        symbols = drawn(contexts, rng)
        symbols[:1] = 90_000  # an escape's further parts belong to the part
        parts.append((symbols, contexts))
    data, encoder = encode(parts, 4)
    decoder, positions = Decoder(bank(), data, 4), []
    assert decoder.position_bytes == 16
    for _, contexts in parts:
        decoder.get(contexts)
        positions.append(decoder.position_bytes)

    assert np.cumsum(encoder.part_sizes_bytes).tolist() == positions
    assert len(data) == positions[-1]


def test_threads_share_a_bank(rng: np.random.Generator):
    """Eight streams decoded by four threads at once come out as one by one."""
    jobs = []
    for _ in range(8):
        contexts = photo_like(20_000, rng)
        jobs.append((drawn(contexts, rng), contexts))
    streams = [encode([job], 8)[0] for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda d, j: decode(d, 8, [j[1]])[0], streams, jobs))

    assert all((job[0] == symbols).all() for job, symbols in zip(jobs, found, strict=True))


@pytest.mark.parametrize(
    ("symbols", "contexts", "complaint"),
    [
        ([1], [SKIP], "symbol 0 is skipped"),
        ([0, 0, -7], [5, SKIP, SKIP], "symbol 2 is skipped"),
        ([0], [-2], "must lie in"),
        ([0], [frequency_tables.FIRST_Z + 3], "must lie in"),
        ([0], [frequency_tables.ESCAPE_LENGTH], "for escapes only"),
        ([0], [frequency_tables.FIRST_Z - 1], "for escapes only"),
        ([0, 1], [0], "do not go with"),
        ([1 << 31], [0], "fit in 32 bits"),
        ([0.5], [0], "must be integers"),
        ([0], [0.0], "must be integers"),
    ],
)
def test_encoder_refuses(symbols: list[int], contexts: list[int], complaint: str):
    """What cannot be coded is refused at once, and leaves no trace in the stream."""
    encoder = Encoder(bank())
    with pytest.raises(ValueError, match=complaint):
        encoder.put(symbols, contexts)

    assert bytes.fromhex("00000100") == encoder.finish(1)


@pytest.mark.parametrize("lanes", [0, 3, 128, -1])
def test_lane_counts_are_powers_of_two(lanes: int):
    """Another lane count is a mistake in the encoder and damage in the decoder."""
    with pytest.raises(ValueError, match="lanes"):
        Encoder(bank()).finish(lanes)
    with pytest.raises(DecodeError, match="lanes"):
        Decoder(bank(), bytes(1024), lanes)


def test_damage_is_named():
    """Each way a stream can be wrong has its own words."""
    contexts = np.full(400, 22 * NUM_SCALES + 22)
    data, _ = encode([(np.arange(400) % 5 - 2, contexts)], 2)
    too_far = bytes.fromhex("ffff0100")  # the last slot is the upper escape of the table

    for damaged, complaint in (
        (data[:6], "at least 8"),
        (data[:-1], "even number"),
        (bytes(4) + data[4:], "impossible coder state"),
        (data[:-2], "more symbols were to come"),
        (data[:60], "more symbols were to come"),
        (data + b"\0\0", "2 bytes are left over"),
        (data[:8] + data[10:12] + data[8:10] + data[12:], "damaged"),
    ):
        with pytest.raises(DecodeError, match=complaint):
            decode(damaged, 2, [contexts])
    with pytest.raises(DecodeError, match="damaged"):
        decode(too_far, 1, [contexts[:1]])


def test_an_escape_beyond_32_bits_is_damage():
    """A forged magnitude does not wrap around."""
    forged = Encoder(bank())
    forged.put([300], [1599])
    lengths = bank().origin[frequency_tables.ESCAPE_LENGTH]
    raw = bank().origin[frequency_tables.ESCAPE_LENGTH + 8]
    part = [forged._parts[0][0], np.array([lengths + 30], np.int32)]
    part += [np.array([raw + 255], np.int32)] * 3
    part += [np.array([bank().origin[frequency_tables.ESCAPE_LENGTH + 6] + 63], np.int32)]
    forged._parts = [part]

    with pytest.raises(DecodeError, match="32 bits"):
        Decoder(bank(), forged.finish(1), 1).get([1599])


def damaged(good: np.ndarray, kind: int, rng: np.random.Generator) -> bytes:
    """Flip a bit, cut the end off, overwrite some bytes, or replace the whole by noise."""
    bad = good.copy()
    if kind == 0:
        bad[rng.integers(bad.size)] ^= 1 << rng.integers(8)
    elif kind == 1:
        bad = bad[: rng.integers(bad.size)]
    elif kind == 2:
        bad[rng.integers(bad.size, size=rng.integers(1, 20))] ^= int(rng.integers(1, 256))
    else:
        bad = rng.integers(0, 256, rng.integers(bad.size + 40), np.uint8)
    return bad.tobytes()


def fuzz(rounds: int, escapes: int, seed: int = 0) -> tuple[int, int]:
    """Damage streams at random; return how many decodes were tried and how many went unnoticed."""
    rng = np.random.default_rng(seed)
    tried = unnoticed = 0
    for lanes in (1, 8, 64):
        contexts = [photo_like(size, rng) for size in (200, 1500)]
        symbols = [drawn(c, rng) for c in contexts]
        symbols[0][:escapes] = rng.integers(-(2**31), 2**31, escapes)
        data, _ = encode(list(zip(symbols, contexts, strict=True)), lanes)
        for turn in range(rounds):
            bad = damaged(np.frombuffer(data, np.uint8), turn % 4, rng)
            if bad == data:
                continue
            tried += 1
            try:
                found = decode(bad, lanes, contexts)
            except DecodeError:
                continue
            assert [c.size for c in contexts] == [f.size for f in found]
            unnoticed += 1
    return tried, unnoticed


def test_damage_is_noticed():
    """Of thousands of damaged streams nearly all raise DecodeError, and none does worse."""
    tried, unnoticed = fuzz(4000, escapes=0)

    assert tried > 11_000
    assert unnoticed <= 3


def test_damage_to_escapes_never_crashes():
    """Raw bits have no redundancy: damage to them may pass, but only as other symbols."""
    tried, unnoticed = fuzz(2000, escapes=40)

    assert tried > 5_000
    assert unnoticed < tried / 2


def test_damage_never_reads_out_of_bounds(tmp_path: Path):
    """The same damage with numba's bounds checks on raises no IndexError."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import test_rans\n"
        "for escapes in (0, 40): assert test_rans.fuzz(400, escapes, seed=1)[0] > 1000"
    )
    settings_ = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | settings_,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, "") == (done.returncode, done.stderr)
