"""The codec as the suite sees it, on small networks: images to files and back."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from bench import registry
from bench.codec import Setting
from bench.codecs.agvae.bitstream import container
from bench.codecs.agvae.codec import Agvae, _without_collector
from bench.codecs.agvae.engines import engine_for
from bench.codecs.agvae.runtime.engine import Engine
from bench.codecs.agvae.weights import checkpoints
from bench.errors import DecodeError, SettingError, Unavailable
from bench.stopwatch import Phases

VARIANTS = ("gain-asym", "gain-gauss", "nogain-asym", "nogain-gauss")
SIZES = [(1, 1), (1, 7), (13, 8), (17, 33), (161, 163), (64, 128)]


def latents(codec, data):
    """Return the integers that a file decodes to before any float is involved."""
    header, payload = container.read(data)
    return codec._engine_of(header).decode_latents([(header, payload)])[0]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_round_trip(small, formula, variant, size):
    """Any size comes back in shape, decoded to the very latent that the encoder coded."""
    codec, image = small(variant), formula(*size)
    setting = Setting(level=4)

    data = codec.encode(image, setting)
    decoded = codec.decode(data)

    assert (size, np.uint8) == (decoded.shape[:2], decoded.dtype)
    assert data == codec.encode(image, setting)
    assert len(data) == sum(codec.ledger(data).values())
    # The encoder's y differs from what the decoder found by rounding alone.
    eng = codec._engine(1024)
    gained, _ = eng.gained(image, 1024)
    off = (gained - latents(codec, data) / 256).abs().max()
    assert 0.4 < off <= 0.5 + 2**-9 or size == (1, 1)


def test_what_the_bytes_are_spent_on_is_known_after_decoding(small, formula, monkeypatch):
    """The ledger is the same before and after, and decodes no file that was decoded lately."""
    codec, image = small(), formula(32, 48)
    first, second = (codec.encode(image, Setting(level=level)) for level in (2, 4))
    engine = codec._engine_of(container.read(first)[0])
    monkeypatch.setattr(engine, "_sizes", {})
    monkeypatch.setattr("bench.codecs.agvae.runtime.engine._REMEMBERED", 1)
    expected = [codec.ledger(data) for data in (first, second)]
    for data in (second, first):
        codec.decode(data)

    assert 1 == len(engine._sizes)
    monkeypatch.setattr(engine.coder, "decode_later", None)
    assert expected[0] == codec.ledger(first)
    with pytest.raises(TypeError):  # forgotten: it would be decoded
        codec.ledger(second)


def test_levels_trade_rate(small, formula):
    """A higher level gives a larger file; levels are kept in steps of 1/256."""
    codec, image = small(), formula(64, 64)

    sizes = [len(codec.encode(image, Setting(level=level))) for level in (0, 2.5, 2.75, 7)]

    assert sizes == sorted(sizes)
    assert "2.5" == codec.facts(codec.encode(image, Setting(level=2.501)))["level"]


def test_batches_equal_singles(small, formula):
    """Batches of mixed sizes and levels give the same files and images as one by one."""
    codec = small()
    images = [formula(40, 56), formula(40, 56)[::-1].copy(), formula(16, 16), formula(40, 56)]
    settings = [Setting(level=level) for level in (1, 6.5, 3, 3)]

    files = codec.encode_batch(images, settings)
    back = codec.decode_batch(files)

    assert [codec.encode(i, s) for i, s in zip(images, settings, strict=True)] == files
    for one, data in zip(back, files, strict=True):
        np.testing.assert_array_equal(codec.decode(data), one)


def test_encoder_threads_do_not_reach_the_latent(small, formula):
    """Whatever the threads, batch and precision, a file decodes to the same integers."""
    codec = small()
    files = [codec.encode(formula(80, 48), Setting(level=level)) for level in (0, 3, 5, 7)]
    expected = [hashlib.sha256(latents(codec, data).numpy()).digest() for data in files]
    network = codec.networks[0]
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for precision in (torch.float32, torch.bfloat16):
                other = Engine(network, precision=precision)
                read = [container.read(data) for data in files]
                together = other.decode_latents(read)
                assert expected == [hashlib.sha256(y.numpy()).digest() for y in together]
                shown = other.decode(read)
                assert np.abs(shown[0].astype(int) - codec.decode(files[0])).mean() < 4
    finally:
        torch.set_num_threads(before)


def test_fresh_process_decodes(small, formula, small_dir, tmp_path, run_bench):
    """A process that has only the file gets the same pixels."""
    codec = small()
    data = codec.encode(formula(33, 50), Setting(level=5.25))
    (tmp_path / "a.agv").write_bytes(data)
    code = (
        "import sys, numpy, pathlib; from bench.codecs.agvae.codec import AgvaeCodec\n"
        "class S(AgvaeCodec): name = 's'; variant = 'gain-asym'; preset = 'small'\n"
        "numpy.save(sys.argv[2], S().decode(pathlib.Path(sys.argv[1]).read_bytes()))\n"
    )

    environment = {**os.environ, "BENCH_WEIGHTS": str(small_dir), "OMP_NUM_THREADS": "1"}
    done = run_bench.python(code, tmp_path / "a.agv", tmp_path / "a.npy", env=environment)

    assert (0, "") == (done.returncode, done.stderr)

    # Pixels come from float synthesis, whose threads differ between the processes.
    difference = np.load(tmp_path / "a.npy").astype(int) - codec.decode(data)
    assert np.abs(difference).max() <= 1


def test_damage_is_an_error(small, formula):
    """Truncations and flipped bytes raise DecodeError and nothing else."""
    codec = small()
    data = codec.encode(formula(48, 48), Setting(level=4))
    rng = np.random.default_rng(0)
    for cut in (0, 2, 10, len(data) // 2, len(data) - 1):
        with pytest.raises(DecodeError):
            codec.decode(data[:cut])
    for position in rng.integers(0, len(data), 50):
        damaged = bytearray(data)
        damaged[position] ^= 1 << int(rng.integers(8))
        with pytest.raises(DecodeError):
            codec.decode(bytes(damaged))


def test_forged_payloads_are_errors_or_images(small, formula, refused_forgeries):
    """Under a right checksum a damaged payload is an error; no crash, no wrong shape."""
    codec = small()
    header, payload = container.read(codec.encode(formula(48, 48), Setting(level=4)))

    assert refused_forgeries(codec, header, payload) >= 38
    with pytest.raises(DecodeError):
        codec.decode(container.write(header, payload[: len(payload) // 4 * 2]))
    with pytest.raises(DecodeError, match="left over"):
        codec.decode(container.write(header, payload + bytes(2)))


def test_foreign_files_are_refused(small, formula):
    """Other formats, unknown weights and impossible levels or lanes are told apart."""
    codec = small()
    header, payload = container.read(codec.encode(formula(16, 16), Setting(level=4)))

    def forged(**changes: object) -> bytes:
        fields = {name: getattr(header, name) for name in container.Header.__slots__}
        return container.write(container.Header(**{**fields, **changes}), payload)

    assert codec.recognises(forged())
    assert not codec.recognises(b"\xff\xd8\xff")
    with pytest.raises(DecodeError, match="weights 00000000, which are not available"):
        codec.decode(forged(model_id=bytes(4)))
    with pytest.raises(DecodeError, match="level 8 is none of this network's, -2 to 7"):
        codec.decode(forged(level_steps=2048))
    with pytest.raises(DecodeError, match="level -3 is none"):
        codec.decode(forged(level_steps=-768))
    with pytest.raises(DecodeError, match="wants tables 2, its network has 0"):
        codec.decode(forged(tables=2))
    with pytest.raises(DecodeError, match="3 lanes"):
        codec.decode(forged(lanes=3, version=1))
    with pytest.raises(DecodeError, match="128 lanes"):
        codec.decode(forged(lanes=128))


def test_any_variant_decodes_any_file(small, formula):
    """The file names its weights, so every adapter opens it."""
    data = small("nogain-gauss").encode(formula(20, 20), Setting(level=1))

    np.testing.assert_array_equal(small("nogain-gauss").decode(data), small().decode(data))


def test_levels_without_gain(small, formula):
    """A network per level: the ladder is what is available, other levels are refused."""
    codec = small("nogain-asym")

    assert [1, 4] == [setting["level"] for setting in codec.ladder()]
    with pytest.raises(SettingError, match=r"level must be one of 1, 4, found 2"):
        codec.encode(formula(8, 8), Setting(level=2))


def test_ladder_and_label(small):
    """Eight integer levels; the label names the weights, the note their caveat."""
    codec = small()

    assert list(range(8)) == [setting["level"] for setting in codec.ladder()]
    assert codec.version() == f"AG-VAE {codec.networks[0].model_id}"
    assert "RGB 8-bit" in codec.label(codec.ladder()[0])
    assert "" == codec.note()


@pytest.mark.parametrize("bpp", [0.5, 1.0, 2.0])
def test_target_rate(small, formula, bpp):
    """A wanted rate is met within 1 % of the real size."""
    codec, image = small(), formula(192, 192)
    low, high = (len(codec.encode(image, Setting(level=s))) * 8 / 192**2 for s in (0, 7))
    target = low * (high / low) ** (bpp / 2.5)

    data, setting = codec.encode_to_rate(image, target)

    assert target == pytest.approx(8 * len(data) / 192**2, rel=0.01)
    assert data == codec.encode(image, setting)
    assert 0 < setting["level"] < 7


def test_target_rate_beyond_the_ends(small, formula):
    """Where no level reaches, the nearest end is given; without gain, the nearest rung."""
    image = formula(64, 64)

    assert -2 == small().encode_to_rate(image, 1e-3)[1]["level"]
    assert 7 == small().encode_to_rate(image, 1e3)[1]["level"]
    assert 4 == small("nogain-asym").encode_to_rate(image, 1e3)[1]["level"]


def test_analysis_is_reused(small, formula, monkeypatch):
    """A ladder of levels on one image runs g_a once, also from several threads."""
    codec, image = small(), formula(32, 32)
    eng = codec._engine(0)
    eng._last = None
    calls = []
    transforms = eng._analysis
    real = transforms.analyse
    monkeypatch.setattr(transforms, "analyse", lambda x: calls.append(1) or real(x))

    threads = [
        threading.Thread(target=codec.encode, args=(image, Setting(level=s))) for s in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 1 == len(calls)
    codec.encode(formula(32, 33), Setting(level=0))
    assert 2 == len(calls)


def test_phases_cover_encode_and_decode(small, formula):
    """The stopwatch sees every phase once it happens."""
    codec, image = small(), formula(32, 32)
    encoding, decoding = Phases(), Phases()

    files = codec._engine(0).encode([image], [0], encoding)
    codec._engine(0).decode([container.read(files[0])], decoding)

    assert ["analysis", "entropy coding", "entropy model"] == list(encoding.time_s)
    assert ["entropy coding", "entropy model", "synthesis"] == list(decoding.time_s)


def test_absent_weights_make_a_codec_unavailable(monkeypatch, tmp_path):
    """The reason names what is missing and the command that makes it."""
    monkeypatch.setattr(checkpoints, "folders", lambda: [tmp_path])

    with pytest.raises(Unavailable, match=r"no base weights of gain-asym.*bench train-all"):
        Agvae()


def test_registry_finds_the_family():
    """The codec and a family of its variants are discovered; the weights say what they are."""
    found = registry.discover()

    family = {name for name, item in found.items() if item.cls and item.cls.family}
    ablation = {"agvae-branch", "agvae-gauss", "agvae-nogain", "agvae-nogain-gauss"}
    assert ablation | {"agvae-conditional", "agvae-cvr", "agvae-scalar"} == family
    assert {"agvae-branch"} == {found[name].cls.family for name in family}
    codec = registry.create("agvae")
    assert "development weights" in codec.version()
    assert "research-only" in codec.note()
    with pytest.raises(SettingError, match="from -2 to 7"):
        registry.complete(codec, Setting(level=7.5))


def test_listing_needs_no_torch():
    """Making a codec and reading its label imports no torch: ``bench list`` stays quick."""
    code = (
        "import sys; from bench import registry; c = registry.create('agvae')\n"
        "c.label(c.ladder()[0]); assert 'torch' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_engines_are_shared(small):
    """One engine per set of weights and device, whichever codec asks."""
    codec = small()

    assert codec._engine(0) is small()._engine(512)
    assert engine_for(codec.networks[0], "cpu") is codec._engine(0)


def test_networks_take_the_weights_as_they_are(small):
    """g_a, h_a and g_s hold the weights that were read, not copies; making room imports SymPy."""
    engine = small()._engine(0)
    nets = dict(
        zip(("g_a", "h_a", "g_s"), (*engine._analysis_nets(), engine._synthesis_net()), strict=True)
    )

    own = {f"{part}.{k}": v for part, net in nets.items() for k, v in net.state_dict().items()}

    assert own
    assert all(v.data_ptr() == engine._tensors[k].data_ptr() for k, v in own.items())


def test_what_stays_is_not_searched_for_garbage(monkeypatch: pytest.MonkeyPatch):
    """Torch's import runs without the collector, which is on again after it, whatever happens."""
    frozen = gc.get_freeze_count()
    with _without_collector():
        assert gc.isenabled()  # torch is here already: nothing to do
    monkeypatch.delitem(sys.modules, "torch")
    try:
        with contextlib.suppress(ImportError), _without_collector():
            inside = gc.isenabled()
            raise ImportError
        assert [False, True] == [inside, gc.isenabled()]
        assert gc.get_freeze_count() > frozen
    finally:
        gc.unfreeze()
