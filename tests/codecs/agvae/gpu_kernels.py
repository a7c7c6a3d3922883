"""What the device's kernels compute, against the CPU's coder and networks.

Not collected by itself: ``test_gpu_rans.py`` runs it in a process of its own, under Triton's
interpreter and, where there is one, on a CUDA device. Under the interpreter every load and store
is checked to lie inside a tensor that the kernel was given.
"""

from __future__ import annotations

import copy
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

import test_entropy_format as golden
import test_rans as plain

from bench.codecs.agvae.bitstream import rans
from bench.codecs.agvae.bitstream.coding_tables import CodingTables
from bench.codecs.agvae.bitstream.frequency_tables import SCALE_THRESHOLDS, TOTAL, standard_bank
from bench.codecs.agvae.bitstream.latent_coder import LatentCoder, Stream
from bench.codecs.agvae.gpu import rans as coder
from bench.codecs.agvae.gpu.entropy_networks import FusedNetworks, Prediction, Shape
from bench.codecs.agvae.gpu.fused_transforms import Analysis, Synthesis
from bench.codecs.agvae.gpu.latent_coder import DeviceLatentCoder
from bench.codecs.agvae.gpu.rans import Reader, Writer
from bench.codecs.agvae.gpu.table_lookup import lookup
from bench.codecs.agvae.integer.entropy_networks import ExactEntropyNetworks, reconstruct
from bench.codecs.agvae.runtime.tiled_transforms import Transforms, hyper_size
from bench.codecs.agvae.weights import checkpoints
from bench.errors import DecodeError
from bench.stopwatch import Phases

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = torch.device("cpu" if INTERPRETED else "cuda")
LANES = rans.LANES
Part = tuple[np.ndarray, np.ndarray]


@pytest.fixture(autouse=True)
def bounds(monkeypatch):
    """Fail where a kernel reads or writes outside of its tensors."""
    if not INTERPRETED:
        return
    from triton.runtime import interpreter

    ranges = np.zeros((0, 2), np.int64)
    builder, executor = interpreter.InterpreterBuilder, interpreter.GridExecutor
    real = builder.create_masked_load, builder.create_masked_store, executor._init_args_hst

    def entered(self, args, kwargs):
        nonlocal ranges
        tensors = [a for a in args if isinstance(a, torch.Tensor) and a.numel()]
        ends = [(t.data_ptr(), t.data_ptr() + t.element_size() * (_last(t) + 1)) for t in tensors]
        ranges = np.array(ends, np.int64).reshape(-1, 2)
        return real[2](self, args, kwargs)

    def check(pointers, mask):
        at = pointers.data.astype(np.int64)[mask.data.astype(bool)]
        inside = (at[:, None] >= ranges[:, 0]) & (at[:, None] < ranges[:, 1])
        if not inside.any(1).all():
            raise IndexError("a kernel left its tensors")

    def load(self, pointers, mask, *rest):
        check(pointers, mask)
        return real[0](self, pointers, mask, *rest)

    def store(self, pointers, value, mask, *rest):
        check(pointers, mask)
        return real[1](self, pointers, value, mask, *rest)

    monkeypatch.setattr(executor, "_init_args_hst", entered)
    monkeypatch.setattr(builder, "create_masked_load", load)
    monkeypatch.setattr(builder, "create_masked_store", store)


def _last(tensor: torch.Tensor) -> int:
    """Offset of a tensor's last element from its first."""
    return sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))


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


@pytest.mark.parametrize("asymmetric", [True, False])
@pytest.mark.parametrize(("size", "batch"), [((5, 3), 2), ((1, 1), 1), ((1, 4), 1)])
def test_networks_are_the_exact_ones(small_net, asymmetric, size, batch):
    """psi, modes, log-scales, contexts and y_hat of every pass, in every bit."""
    import dataclasses

    config = dataclasses.replace(small_net.config, asymmetric=asymmetric)
    slow = ExactEntropyNetworks(small_net.state_dict(), config)
    fast = FusedNetworks(small_net.state_dict(), config, DEVICE)
    shape, levels = Shape(batch, *size), (300, 1792)[:batch]
    torch.manual_seed(7)
    z = torch.randint(-9, 10, (batch, *hyper_size(*size), 32), dtype=torch.int32)
    coded = torch.randint(-6, 7, (batch, *size, 64), dtype=torch.int32)
    z[0, 0, 0, 0], coded[0, 0, 0, 0], coded[0, 0, 0, 1] = 2**31 - 1, 2**31 - 1, -(2**31)
    psi = slow.hyper_features(z, levels, size)
    y_hat = torch.zeros_like(psi)
    latent = torch.empty(shape.positions, 128, dtype=torch.float64, device=DEVICE)
    fast.begin(z.to(DEVICE), fast.gains(levels).to(DEVICE), latent, shape)
    n = size[0] * size[1] * 16
    mu = torch.empty(batch, n, device=DEVICE)
    left, right = (torch.empty(batch, n, dtype=torch.int16, device=DEVICE) for _ in "lr")
    contexts = torch.full((batch, n + 9), -7, dtype=torch.int32, device=DEVICE)
    finders = torch.empty(batch, n, dtype=torch.int32, device=DEVICE)
    finder = lookup(standard_bank(), DEVICE).finder
    thresholds = torch.from_numpy(SCALE_THRESHOLDS.copy())

    assert torch.equal(latent[:, :64].cpu().reshape(psi.shape), psi.double())
    for k in range(4):
        quarters = list(slow.quarters(k, psi, y_hat))
        fast.predict(k, latent, shape, Prediction(mu, left, right, contexts, 4))
        for name, got in (("mu", mu), ("left", left), ("right", right)):
            wanted = torch.cat([getattr(q, name).flatten(1) for q in quarters], 1)
            assert torch.equal(wanted, got.cpu()), (k, name)
        index = [torch.bucketize(s.cpu().long(), thresholds, right=True) for s in (left, right)]
        assert torch.equal((40 * index[0] + index[1]).int(), contexts[:, 4 : n + 4].cpu())
        fast.predict(k, latent, shape, Prediction(mu, left, right, finders, 0, finder))
        assert torch.equal(finder[contexts[:, 4 : n + 4].long()], finders)
        for q in quarters:
            at = (slice(None), q.rows, q.columns, q.channels)
            y_hat[at] = reconstruct(coded[at], q.mu)
        fast.put(k, fast.in_coding_order(k, coded).to(DEVICE), mu, latent, shape)
        assert torch.equal(y_hat, fast.y_hat(latent, shape).cpu())


def latents_of(coder: LatentCoder, *arguments: object) -> torch.Tensor:
    """Return what a coder decodes, once it is known to be undamaged."""
    y_hat, check = coder.decode_later(*arguments)
    check()
    return y_hat


def both_coders(net, tables: CodingTables) -> tuple[LatentCoder, DeviceLatentCoder]:
    """Return the coders of a network on the CPU and on the device."""
    weights, config = net.state_dict(), net.config
    return (
        LatentCoder(ExactEntropyNetworks(weights, config), tables),
        DeviceLatentCoder(FusedNetworks(weights, config, DEVICE), tables),
    )


def test_counted_tables_travel_as_on_the_cpu(small_net):
    """The shipped small network's tables: every choice decodes, and the same bytes are written."""
    [manifest] = checkpoints.find("gain-asym", preset="small")
    tables = checkpoints.coding_tables(manifest, checkpoints.load(manifest))
    slow, fast = both_coders(small_net, tables)
    torch.manual_seed(4)
    y, z = torch.randn(2, 5, 1, 64), torch.randn(2, 2, 1, 32) * 0.3
    levels, clock = [-300, 1000], Phases()

    wanted = slow.encode(y.clone(), z.clone(), levels, clock)
    assert wanted == fast.encode(y.to(DEVICE), z.to(DEVICE), levels, clock)
    for choice in tables.choices:
        slow._shorter_z = lambda *held, bit=choice & 1: held[bit]
        slow._shorter_y = lambda *_, bit=choice & 2: bit
        files = slow.encode(y.clone(), z.clone(), levels, clock)
        assert [choice] * 2 == [one.tables for one in files]
        here, there = (latents_of(c, files, levels, (5, 1), clock).cpu() for c in (slow, fast))
        assert torch.equal(here, there)


def test_latents_travel_as_on_the_cpu(small_net):
    """Whole payloads: the device's bytes are the CPU's, absurd latents included."""
    frequencies = np.full((32, 9), 100)
    frequencies[:, 4] = TOTAL - 800
    tables = CodingTables(frequencies)
    slow, fast = both_coders(small_net, tables)
    torch.manual_seed(3)
    y, z = torch.randn(2, 1, 1, 64) * 3, torch.randn(2, 1, 1, 32) * 2
    y[0, 0, 0, :3] = torch.tensor([1e9, -20_000.0, 3_000.0])
    levels, clock = [300, 1000], Phases()

    wanted = slow.encode(y.clone(), z.clone(), levels, clock)
    assert wanted == fast.encode(y.to(DEVICE), z.to(DEVICE), levels, clock)
    sizes: tuple[list, list] = ([], [])
    latents = [
        latents_of(c, wanted, levels, (1, 1), clock, s).cpu()
        for c, s in zip((slow, fast), sizes, strict=True)
    ]
    assert torch.equal(*latents)
    assert sizes[0] == sizes[1]
    short = [wanted[0], Stream(wanted[1].data[:-4], wanted[1].lanes)]
    with pytest.raises(DecodeError, match="file 2 of the batch"):
        latents_of(fast, short, levels, (1, 1), clock)


@pytest.mark.parametrize("size", [(37, 50), (16, 16)])
def test_fused_transforms_are_the_modules(small_net, formula, size):
    """Fused g_a and g_s give what the modules give, up to rounding."""
    nets = {name: copy.deepcopy(getattr(small_net, name)) for name in ("g_a", "g_s")}
    torch.manual_seed(1)
    for net in nets.values():
        for module in net.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.bias.normal_(0, 0.1)
    slow = Transforms(small_net.config, **copy.deepcopy(nets))
    images = np.stack([formula(*size), 255 - formula(*size)])
    padded = tuple(-(-side // 16) * 16 for side in size)
    y = Analysis(nets["g_a"], DEVICE, torch.float32)(torch.from_numpy(images).to(DEVICE), padded)
    expected = torch.stack([slow.analyse(image) for image in images])

    torch.testing.assert_close(
        expected, y.cpu(), rtol=1e-2, atol=0.2 if DEVICE.type == "cuda" else 1e-3
    )
    rgb = torch.zeros(images.shape, dtype=torch.uint8, device=DEVICE)
    Synthesis(nets["g_s"], DEVICE, torch.float32)((expected / 20).to(DEVICE), rgb)
    back = np.stack([slow.synthesise(latent / 20, size) for latent in expected])
    assert np.abs(rgb.cpu().numpy().astype(int) - back).max() <= 1
