"""Speed as ratios to a calibration job; the benchmarks are in tests/benchmarks."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.gate import speed, tolerance
from bench.gate.speed import SpeedResult
from bench.image import Image

TOLERANCES = tolerance.load(Path(__file__))


class Machine:
    """A clock that only work moves: a unit of work takes so long, and a little more each time."""

    def __init__(self, unit_s: float, growth: float, interrupted: int) -> None:
        self.now_s, self.unit_s = 0.0, unit_s
        self.growth, self.interrupted, self.done = growth, interrupted, 0

    def perf_counter(self) -> float:
        """Stand in for the clock of the module ``time``."""
        return self.now_s

    def work(self, units: int) -> bytes:
        """Work, and lose ten units to another process each ``interrupted`` times."""
        self.done += 1
        lost = 10 if self.interrupted and self.done % self.interrupted == 0 else 0
        self.now_s += self.unit_s * (units + lost)
        self.unit_s *= 1 + self.growth
        return b""


@pytest.mark.parametrize(
    ("unit_s", "growth", "interrupted"),
    [(1e-6, 0, 0), (0.01, 0, 0), (2.0, 0, 0), (0.01, 0.01, 0), (0.01, 0, 31)],
)
def test_ratio_follows_the_work(monkeypatch, unit_s: float, growth: float, interrupted: int):
    """Twice the calibration job is a ratio of two, thrice of three, on whatever machine.

    A faster one, a slower one, one that slows down meanwhile and one with other work.
    """
    machine = Machine(unit_s, growth, interrupted)
    monkeypatch.setattr(speed, "time", machine)
    monkeypatch.setattr(speed, "calibrate", lambda: machine.work(1))
    found = speed.ratios(lambda: machine.work(2), lambda: machine.work(3))
    summary = {name: speed._summary(values) for name, values in found.items()}

    assert 7 <= len(found["encode"]) == len(found["decode"]) <= 41
    assert pytest.approx(2, rel=0.01) == summary["encode"]["ratio"]
    assert pytest.approx(3, rel=0.01) == summary["decode"]["ratio"]


def test_slower_codec_is_found(gate, photo: Image, monkeypatch):
    """An encoder that runs three calibration jobs besides is slower."""
    from bench.codecs.jpeg import Jpeg

    setting = gate.ladder("jpeg")[4].json
    jobs = {"jpeg": (setting, speed.crop(photo))}
    locked = speed.measure(jobs, lambda *_: gate.inline)
    encode = Jpeg.encode

    def slow(self, image, chosen):
        for _ in range(3):
            speed.calibrate()
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
