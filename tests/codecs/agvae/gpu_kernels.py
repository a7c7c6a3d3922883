"""What the device's entropy coder writes and reads, against the CPU's coder.

Not collected by itself: ``test_gpu_rans.py`` runs it in a process of its own, under Triton's
interpreter and, where there is one, on a CUDA device. Under the interpreter every load and store
is checked to lie inside a tensor that the kernel was given.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

import test_entropy_format as golden
import test_rans as plain
from gpu_bounds import DEVICE, bounds  # noqa: F401

from bench.codecs.agvae.bitstream import rans
from bench.codecs.agvae.bitstream.frequency_tables import TOTAL
from bench.codecs.agvae.gpu import rans as coder
from bench.codecs.agvae.gpu.rans import Reader, Writer
from bench.codecs.agvae.gpu.table_lookup import lookup
from bench.errors import DecodeError

LANES = rans.LANES
Part = tuple[np.ndarray, np.ndarray]


def decode(bank, streams: list[tuple[bytes, int]], contexts: list[np.ndarray]):
    """Decode a batch; contexts of each part are (batch, N) or (N,)."""
    table = lookup(bank, DEVICE)
    reader = Reader(table, len(streams), sum(len(data) // 2 for data, _ in streams))
    reader.load(streams)
    reader.start()
    parts = []
    for each in contexts:
        part = np.broadcast_to(np.asarray(each, np.int64), (len(streams), np.shape(each)[-1]))
        context = torch.from_numpy(part.copy()).to(DEVICE)
        finders = torch.where(context < 0, -1, table.finder[context.clamp(min=0)]).contiguous()
        symbols = torch.full_like(finders, -99)
        scratch = torch.empty(3 * finders.numel() + 1, dtype=torch.int32, device=DEVICE)
        reader.part(finders, symbols, scratch)
        parts.append(symbols.cpu().numpy())
    return parts, reader.verdicts().tolist()


def encode(bank, streams: list[list[Part]], lanes: list[int] | None):
    """Encode a batch; all streams have parts of the same sizes."""
    writer = Writer(lookup(bank, DEVICE), len(streams), [len(s) for s, _ in streams[0]])
    for i, stream in enumerate(streams):
        for out, which in ((writer.symbols, 0), (writer.contexts, 1)):
            row = np.concatenate([np.asarray(part[which], np.int64) for part in stream])
            out[i] = torch.from_numpy(row.astype(np.int32))
    for part in range(len(streams[0])):
        writer.put(part)
    return writer.finish(lanes)


def on_cpu(bank, stream: list[Part], lanes: int | None = None) -> tuple[bytes, int]:
    encoder = rans.Encoder(bank)
    for symbols, contexts in stream:
        encoder.put(symbols, contexts)
    return encoder.finish(lanes), encoder.lanes


def some_parts(rng: np.random.Generator, sizes: tuple[int, ...]) -> list[Part]:
    """Parts with symbols of their tables' own distribution."""
    contexts = [plain.photo_like(size, rng) for size in sizes]
    return [(plain.drawn(c, rng), c) for c in contexts]


def test_golden_streams_decode():
    """The golden streams, one by one and as a batch, give their symbols."""
    parts = golden.golden_parts()
    contexts = [np.array(c) for _, c in parts]
    streams = [(bytes.fromhex(text), lanes) for lanes, text in golden.GOLDEN.items()]
    for batch in (streams[1:2], streams):
        found, verdicts = decode(golden.bank(), batch, contexts)

        assert [0] * len(batch) == verdicts
        for (symbols, _), got in zip(parts, found, strict=True):
            assert [symbols] * len(batch) == got.tolist()


def test_golden_streams_encode():
    """Golden symbols give the golden bytes at every golden lane count, in one batch."""
    parts = [(np.array(s), np.array(c)) for s, c in golden.golden_parts()]

    found = encode(golden.bank(), [parts] * len(golden.GOLDEN), list(golden.GOLDEN))

    assert list(golden.GOLDEN) == [lanes for _, lanes in found]
    assert list(golden.GOLDEN.values()) == [data.hex() for data, _ in found]


def test_every_lane_count(rng):
    """Streams of all lane counts, in one batch, are the CPU's in both directions."""
    streams = [some_parts(rng, (130, 0, 61)) for _ in LANES]
    wanted = [on_cpu(plain.bank(), s, n) for s, n in zip(streams, LANES, strict=True)]

    assert wanted == encode(plain.bank(), streams, list(LANES))
    contexts = [np.stack([s[k][1] for s in streams]) for k in range(3)]
    found, verdicts = decode(plain.bank(), wanted, contexts)
    assert [0] * len(LANES) == verdicts
    for k, got in enumerate(found):
        np.testing.assert_array_equal(np.stack([s[k][0] for s in streams]), got)


def test_escapes_of_every_length():
    """Magnitudes of 0 to 30 bits behind the radius, on both sides, up to the ends of int32."""
    bank = plain.bank()
    contexts = np.tile([0, 805, 1599, 1610], 16)[:62]
    edge = np.where(np.arange(62) % 2, bank.high[contexts], bank.low[contexts]).astype(np.int64)
    extra = (1 << np.arange(62) // 2) - 1 + np.arange(62) % 3 * (1 << np.arange(62) // 2) // 4
    symbols = (edge + np.sign(edge) * extra).clip(-(2**31), 2**31 - 1)
    symbols[-2:] = -(2**31), 2**31 - 1
    stream = [(symbols, contexts), (np.zeros(5, int), np.full(5, -1))]
    both = [on_cpu(bank, stream, 16), on_cpu(bank, stream, 64)]

    assert both == encode(bank, [stream] * 2, [16, 64])
    found, verdicts = decode(bank, both, [c for _, c in stream])
    assert [0, 0] == verdicts
    assert [symbols.tolist()] * 2 == found[0].tolist()
    assert [[0] * 5] * 2 == found[1].tolist()


def test_nothing_to_code():
    """Empty and skipped parts leave states alone."""
    stream = [(np.zeros(0, int), np.zeros(0, int)), (np.zeros(9, int), np.full(9, -1))]

    assert [on_cpu(plain.bank(), stream, 2)] == encode(plain.bank(), [stream], [2])
    assert [0] == decode(plain.bank(), [(bytes.fromhex("0000010000000100"), 2)], [stream[1][1]])[1]


def test_the_lane_count_is_the_cpus(rng, monkeypatch):
    """Left to itself the device chooses as ``rans.Encoder.finish``, at thresholds as well."""
    monkeypatch.setattr(rans, "LANE_BUDGET", 0.05)  # small streams take several lanes
    monkeypatch.setattr(coder, "DOUBT_BYTES", 8)
    coder.lane_thresholds.cache_clear()
    lanes = set()
    try:
        # Escapes bring a stream of few symbols to a size; the sizes lie around a threshold.
        for extra in (0, *range(14, 19)):
            symbols, contexts = some_parts(rng, (64,))[0]
            symbols[:extra] = 2**30
            wanted = on_cpu(plain.bank(), [(symbols, contexts)])
            found = encode(plain.bank(), [[(symbols, contexts)]], None)
            assert [wanted] == found
            lanes.add(wanted[1])
    finally:
        coder.lane_thresholds.cache_clear()

    assert len(lanes) >= 2


def test_damage_is_noticed(rng):
    """Damaged streams beside a good one: what the CPU refuses is flagged, nothing leaves memory."""
    bank = plain.bank()
    streams = [some_parts(rng, (90, 40)) for _ in range(12)]
    for stream in streams[::2]:
        stream[0][0][:3] = 70_000, -5, 2**31 - 1
    lanes = 32
    contexts = [np.stack([s[k][1] for s in streams]) for k in range(2)]
    coded = [on_cpu(bank, stream, lanes)[0] for stream in streams]
    bad = [coded[0]] + [
        plain.damaged(np.frombuffer(data, np.uint8), kind % 4, rng)
        for kind, data in enumerate(coded[1:])
    ]
    heads = [data if _startable(data, lanes) else coded[0] for data in bad]

    found, verdicts = decode(bank, [(data, lanes) for data in heads], contexts)

    assert 0 == verdicts[0]
    for i, data in enumerate(heads):
        try:
            expected = plain.decode(data, lanes, [c[i] for c in contexts])
        except DecodeError:
            assert verdicts[i]
            continue
        assert not verdicts[i]
        assert [e.tolist() for e in expected] == [f[i].tolist() for f in found]
    assert sum(map(bool, verdicts)) >= 6
    with pytest.raises(DecodeError, match=r"damaged \(file 2 of the batch\): bytes are left"):
        coder.complain([0, coder.LEFT_OVER])


def _startable(data: bytes, lanes: int) -> bool:
    """Whether the states of a stream are possible; others never reach the device."""
    try:
        rans.checked_states(data, lanes)
    except DecodeError:
        return False
    return True


def test_lookup_is_the_bank():
    """Every slot of every table leads to the symbol whose span holds it."""
    bank = plain.bank()
    table = lookup(bank, torch.device("cpu"))
    first, shift = table.finder.numpy() >> 4, table.finder.numpy() & 15
    slots = np.arange(TOTAL)
    spans, near, packed = table.spans.numpy(), table.near.numpy(), table.buckets.numpy()
    outside = 0
    for context in range(0, bank.num_contexts, 37):
        bucket = first[context] + (slots >> shift[context])
        pair = packed[bucket]
        start, freq = pair & 32767, pair >> 15 & 32767
        rest = slots - start
        missed = (rest < 0) | (rest >= freq + (pair >> 32 & 32767))
        at = near[bucket] + (rest >= freq)
        exact = (spans[at] & 32767 <= slots) & (
            slots < (spans[at] & 32767) + (spans[at] >> 15 & 32767)
        )
        assert (exact | missed).all()
        outside = max(outside, missed.sum())
        assert (table.values.numpy()[at] == (pair >> 49) + (rest >= freq))[~missed].all()

    assert outside <= TOTAL // 100
