"""The codec on a CUDA device is the codec on the CPU; and what of that needs no device."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bench.codec import Setting
from bench.codecs.agvae.bitstream import container
from bench.codecs.agvae.engines import engine_for
from bench.codecs.agvae.runtime.engine import Engine
from bench.errors import DecodeError, SettingError
from bench.stopwatch import Phases

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
LEVELS = (0, 896, 1792)


def device_engine(manifest, precision="bfloat16", **options):
    from bench.codecs.agvae.gpu.engine import DeviceEngine

    return DeviceEngine(manifest, "cuda", getattr(torch, precision), **options)


@pytest.mark.parametrize("precision", ["float16", "double", "tf32"])
def test_unknown_precision_is_refused(small, precision):
    """A precision that the transforms cannot have is a mistake of the setting."""
    codec = small()
    codec.precision = precision

    with pytest.raises(SettingError, match="float32, bfloat16"):
        codec.encode(np.zeros((4, 4, 3), np.uint8), Setting(level=1))


def test_precision_chooses_the_engine(small, formula):
    """Every precision has its engine; the latent that a file decodes to has none."""
    codec, other = small(), small()
    other.precision = "bfloat16"
    network = codec.networks[0]
    data = codec.encode(formula(40, 24), Setting(level=3))
    read = [container.read(data)]

    assert engine_for(network, "cpu") is engine_for(network, "cpu", "float32")
    assert engine_for(network, "cpu") is not other._engine(0)
    assert torch.equal(*(c._engine(0).decode_latents(read) for c in (codec, other)))


def test_recording_that_fails_is_a_warning(monkeypatch, caplog):
    """Where no graph can be made, work is done without, and the log says so once."""
    pytest.importorskip("triton")
    from bench.codecs.agvae.gpu import cuda_graphs

    def refuse(*args, **kwargs):
        raise RuntimeError("capture is not permitted")

    fake = SimpleNamespace(CUDAGraph=object, graph_pool_handle=object, graph=refuse)
    monkeypatch.setattr(cuda_graphs.torch, "cuda", fake)
    record, calls = cuda_graphs.Recorder(enabled=True), []
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            record("a", lambda: calls.append(1))

    assert [1] * 4 == calls
    assert 1 == len(caplog.records)
    assert "capture is not permitted" in caplog.text


@cuda
@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize("batch", [1, 4])
def test_bytes_of_equal_latents_are_equal(small, formula, batch, graphs):
    """The same y gives the same payload on both sides; three times, for graphs."""
    network = small().networks[0]
    here, there = Engine(network), device_engine(network, graphs=graphs)
    for levels in ((LEVELS * 2)[:batch], (700,) * batch, LEVELS[::-1] * 2)[:3]:
        steps = list(levels)[:batch]
        images = [np.roll(formula(80, 176), 9 * i, 1) for i in range(batch)]
        y, z = here._gained_batch(images, steps)

        wanted = here.coder.encode(y.clone(), z.clone(), steps, Phases())
        got = there.coder.encode(y.cuda(), z.cuda(), steps, Phases())

        assert wanted == got


@cuda
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("graphs", [False, True])
def test_files_decode_to_one_latent(small, formula, precision, graphs):
    """Files of either side, of several levels and sizes, give the same integers on both."""
    network = small().networks[0]
    here, there = Engine(network), device_engine(network, precision, graphs=graphs)
    for size in ((64, 96), (1, 1), (70, 150), (64, 96), (64, 96)):
        for batch in (1, 4):
            steps = [(300 * i + 17 * batch) % 1793 for i in range(batch)]
            images = [np.roll(formula(*size), i, 0) for i in range(batch)]
            for files in (here.encode(images, steps), there.encode(images, steps)):
                read = [container.read(data) for data in files]
                expected = here.decode_latents(read)
                assert torch.equal(expected, there.decode_latents(read).cpu())
                shown = there.decode(read)
                reference = np.stack(here.decode(read)).astype(int)
                assert (np.stack(shown).shape, np.uint8) == (reference.shape, shown[0].dtype)
                assert np.abs(reference - shown).mean() < (0.01 if precision == "float32" else 4)


@cuda
def test_the_adapter_runs_on_the_device(small, formula):
    """Mixed sizes and levels in one batch; singles give the same files; sizes of parts agree."""
    codec, reference = small(), small()
    codec.device = "cuda"
    images = [formula(40, 56), formula(16, 16), formula(40, 56)[::-1].copy()]
    settings = [Setting(level=level) for level in (1, 6.5, 3)]

    files = codec.encode_batch(images, settings)
    back = codec.decode_batch(files)

    assert [image.shape for image in images] == [image.shape for image in back]
    for data in files:
        assert len(data) == sum(codec.ledger(data).values())
        assert codec.ledger(data) == reference.ledger(data)


@cuda
def test_damage_is_an_error_on_the_device(small, formula, refused_forgeries):
    """A damaged payload raises ``DecodeError``; the next file decodes as if nothing had been."""
    codec = small()
    codec.device = "cuda"
    good = codec.encode(formula(48, 48), Setting(level=4))
    header, payload = container.read(good)
    expected = codec.decode(good)

    assert refused_forgeries(codec, header, payload) >= 38
    for cut in (2, len(payload) // 2 // 2 * 2, len(payload) - 2):
        with pytest.raises(DecodeError):
            codec.decode(container.write(header, payload[:cut]))
    np.testing.assert_array_equal(expected, codec.decode(good))


@cuda
def test_images_larger_than_a_tile(small, formula, monkeypatch):
    """Tiles and strips, for images too large for one go, decode to the same latent."""
    from bench.codecs.agvae.gpu import latent_coder, transforms

    network = small().networks[0]
    image = formula(160, 208)
    data = device_engine(network, "float32").encode([image], [900])[0]
    expected = device_engine(network, "float32").decode_latents([container.read(data)])
    monkeypatch.setattr(transforms, "TILE", 4)
    monkeypatch.setattr(latent_coder, "MAX_POSITIONS", 50)
    small_steps = device_engine(network, "float32")

    assert torch.equal(expected, small_steps.decode_latents([container.read(data)]))
    again = small_steps.encode([image], [900])[0]
    assert abs(len(again) - len(data)) <= 8
    assert (160, 208, 3) == small_steps.decode([container.read(again)])[0].shape


@cuda
def test_refined_on_the_device(small, formula):
    """The search runs on the device too, and a CPU decodes what it found to the same latent."""
    codec, image = small(), formula(96, 112)
    network = codec.networks[0]

    plain, refined = (device_engine(network).encode([image], [896], refine=n)[0] for n in (0, 30))

    assert plain != refined
    read = [container.read(refined)]
    on_cpu = codec._engine(896).decode_latents(read)
    assert torch.equal(on_cpu, device_engine(network).decode_latents(read).cpu())
