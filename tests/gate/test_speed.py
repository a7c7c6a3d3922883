"""Speed as ratios to a calibration job; the benchmarks are in tests/benchmarks."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench.gate import speed, tolerance
from bench.gate.speed import SpeedResult
from bench.image import Image

TOLERANCES = tolerance.load(Path(__file__))


def test_ratio_follows_the_work(photo: Image):
    """Twice the calibration job is a ratio of two, thrice of three, on whatever machine."""

    def times(count: int) -> bytes:
        for _ in range(count):
            speed.calibrate()
        return b""

    found = speed.ratios(lambda: times(2), lambda: times(3))
    summary = {name: speed._summary(values) for name, values in found.items()}

    assert 7 <= len(found["encode"]) <= 41
    assert 1.6 < summary["encode"]["ratio"] < 2.4
    assert 2.4 < summary["decode"]["ratio"] < 3.6


def test_slower_codec_is_found(gate, photo: Image, monkeypatch):
    """An encoder that sleeps through three calibration jobs is slower."""
    from bench.codecs.jpeg import Jpeg

    setting = gate.ladder("jpeg")[4].json
    jobs = {"jpeg": (setting, speed.crop(photo))}
    locked = speed.measure(jobs, lambda *_: gate.inline)
    started = time.perf_counter()
    speed.calibrate()
    pause_s = 3 * (time.perf_counter() - started)
    encode = Jpeg.encode

    def slow(self, image, chosen):
        time.sleep(pause_s)
        return encode(self, image, chosen)

    monkeypatch.setattr(Jpeg, "encode", slow)
    after = speed.measure(jobs, lambda *_: gate.inline)
    found = {r.direction: r for r in speed.compare(locked, after, TOLERANCES, same_cpu=True)}

    assert found["encode"].slower
    assert found["encode"].factor > 2


def test_other_job_is_not_compared():
    """A ratio locked at another setting or size is no measure of this one."""
    side = {"ratio": 1.0, "spread": 0.0}
    before = {"c": {"setting": "a", "megapixels": 0.1, "encode": side, "decode": side}}
    now = {"c": {**before["c"], "setting": "b"}}
    found = speed.compare(before, now, TOLERANCES, same_cpu=True)

    assert [None, None] == [result.factor for result in found]
    assert not any(result.slower for result in found)


@pytest.mark.parametrize(
    ("after", "spread", "same_cpu", "slower"),
    [
        (1.25, 0.0, True, False),
        (1.5, 0.0, True, True),
        (1.5, 0.3, True, False),
        (1.5, 0.0, False, False),
        (2.5, 0.0, False, True),
    ],
)
def test_noise_and_another_cpu_widen_the_limit(after, spread, same_cpu, slower):
    """What is allowed grows with the noise of the measurement, and on another CPU."""
    allowed = TOLERANCES.same_cpu if same_cpu else TOLERANCES.other_cpu

    assert slower == SpeedResult("c", "encode", 1.0, after, spread, allowed).slower
