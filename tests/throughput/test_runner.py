"""What is inside the clock, and which pixels a pass codes."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bench import registry
from bench.codec import Codec, Setting
from bench.codecs.null import Null
from bench.errors import CodecError, DecodeError
from bench.image import Image, save
from bench.stopwatch import Phases
from bench.throughput import batches
from bench.throughput.runner import DECODE, DIRECTIONS, ENCODE, Runner


class Clock:
    """A clock that moves when a codec works."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Recorder(Null):
    """Raw pixels: 2 s a call and 1 s an image to encode, half of it under a stopwatch."""

    name = "recorder"

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.encoded: list[list[Image]] = []
        self.decoded: list[int] = []

    def encode_batch(self, images, settings, phases=None):
        assert len(images) == len(settings)
        self.encoded.append(list(images))
        if phases is not None:
            phases.time_s["analysis"] = phases.time_s.get("analysis", 0) + 1 + len(images) / 2
        self.clock.now_s += 2 + len(images)
        return [
            self.encode(image, setting) for image, setting in zip(images, settings, strict=True)
        ]

    def decode_batch(self, files, phases=None):  # noqa: ARG002 - part of the protocol
        self.decoded.append(len(files))
        self.clock.now_s += 3
        return [self.decode(data) for data in files]


@pytest.fixture
def images(photo: Image) -> list[Image]:
    """Five landscapes, of which one lies on its side, and one of another size."""
    pictures = [np.ascontiguousarray(photo[k : k + 40, :60]) for k in range(5)]
    return [*pictures[:4], np.ascontiguousarray(np.rot90(pictures[4])), photo[:30, :30].copy()]


@pytest.fixture
def station(images):
    """A runner of the recorder."""
    clock = Clock()
    codec = Recorder(clock)
    return Runner(codec, Setting(), images, clock), codec


@pytest.mark.parametrize(("batch", "sizes"), [(1, [1] * 6), (2, [2, 2]), (4, [4]), (8, [8])])
def test_batch_sweep_calls_the_batch_api(station, batch: int, sizes: list[int]):
    """With whole batches of one image size; batches of one take every image."""
    runner, codec = station
    runner.run(ENCODE, batch)
    encoded = [len(group) for group in codec.encoded]
    runner.run(DECODE, batch, loops=2)

    assert sizes == encoded
    assert 2 * sizes == codec.decoded
    assert sum(sizes) == runner.size(batch)[0]
    for group in codec.encoded:
        assert 1 == len({image.shape for image in group})


def test_no_image_twice_in_a_batch_nor_in_passes_after_each_other(station):
    """What a codec keeps of the last images is of no use to it."""
    runner, codec = station
    runner.run(ENCODE, 24)
    runner.run(ENCODE, 24)
    seen = Counter(image.tobytes() for group in codec.encoded for image in group)

    assert 48 == len(seen)


def test_time_is_that_of_the_calls(station):
    """The mean of the loops; what is prepared costs nothing; phases leave a rest."""
    runner, _ = station
    found = runner.run(ENCODE, 2, loops=3, phases=True)

    assert 8 == found.time_s
    assert {"analysis": 4, "other": 4} == found.phases
    assert {} == runner.run(ENCODE, 2).phases
    assert 6 == runner.run(DECODE, 2).time_s


def test_codecs_without_batches_are_looped():
    """One call an image, no phases."""
    codec = Null()
    pixels = np.zeros((4, 4, 3), np.uint8)
    runner = Runner(codec, Setting(), [pixels, pixels])

    assert not codec.batched
    assert {} == runner.run(ENCODE, 1, phases=True).phases
    assert (2, 32e-6) == runner.size(1)
    assert (8 * (8 + 48) / 16, math.inf) == runner.quality()


def test_wrong_shape_is_no_measurement(station, monkeypatch):
    """A decoder that is fast because it loses rows is told so."""
    runner, codec = station
    monkeypatch.setattr(codec, "decode_batch", lambda *_: [np.zeros((1, 1, 3), np.uint8)])

    with pytest.raises(DecodeError, match="wanted"):
        runner.quality()


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_batch_that_loses_images_is_no_measurement(station, monkeypatch, direction: str):
    """Nor one that is fast because it codes fewer images than it was given."""
    runner, codec = station
    runner.run(ENCODE, 2)
    method = getattr(codec, f"{direction}_batch")
    monkeypatch.setattr(codec, f"{direction}_batch", lambda *given: method(*given)[1:])

    with pytest.raises(CodecError, match=r"2 \w+ gave 1"):
        runner.run(direction, 2)


def test_files_around_the_codec(photo: Image, tmp_path: Path):
    """Sources are loaded, files and PNGs written, under phases of their own."""
    source = tmp_path / "photo.png"
    save(photo[:50, :70], source)
    runner = Runner(Null(), Setting(), [photo[:50, :70].copy()])
    for direction in DIRECTIONS:
        found = runner.files(direction, [source], tmp_path)

        assert ["load", "write"] == list(found.phases)
        assert found.time_s == pytest.approx(sum(found.phases.values()))
    assert 8 + 50 * 70 * 3 == (tmp_path / "0.bin").stat().st_size
    assert (tmp_path / "0.png").is_file()


def test_agvae_tells_its_phases(photo: Image):
    """The real codec: both directions by phase, files as without a stopwatch."""
    codec: Codec = registry.create("agvae")
    setting = registry.settings(codec, registry.Spec.parse("agvae"))[3]
    crop = photo[:64, :96].copy()
    runner = Runner(codec, setting, [crop])
    encoded = runner.run(ENCODE, 2, phases=True)
    decoded = runner.run(DECODE, 2, phases=True)

    assert codec.batched
    assert {"analysis", "entropy model", "entropy coding", "other"} == set(encoded.phases)
    assert {"entropy model", "entropy coding", "synthesis", "other"} == set(decoded.phases)
    for found in (encoded, decoded):
        assert found.time_s == pytest.approx(sum(found.phases.values()))
    assert [codec.encode(crop, setting)] == codec.encode_batch([crop], [setting], phases=Phases())


def test_stopwatch_waits_for_the_device(monkeypatch):
    """What the device still does at the end of a phase belongs to it."""
    clock = Clock()
    monkeypatch.setattr("bench.stopwatch.time.perf_counter", clock)
    pending = [0.0]

    def synchronise() -> None:
        clock.now_s += pending.pop()
        pending.append(0.0)

    phases = Phases(synchronise)
    with phases("synthesis"):
        pending[0] = 3.0  # queued, the call returns

    assert {"synthesis": 3.0} == phases.time_s


def test_shifted_copies_keep_the_pixels(photo: Image):
    """A batch is filled with the same pictures, moved around the edge."""
    [group] = batches.batches([photo], 3)

    assert 3 == len({image.tobytes() for image in group})
    assert all(np.array_equal(np.sort(photo, axis=0), np.sort(image, axis=0)) for image in group)
    assert batches.megapixels([group]) == pytest.approx(3 * 300 * 451 / 1e6)
