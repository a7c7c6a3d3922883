"""Encode and decode of classical codecs, with their ratio to the gate's calibration job."""

from __future__ import annotations

import pytest

from bench import registry
from bench.gate import speed
from bench.image import Image


@pytest.mark.benchmark(group="gate")
@pytest.mark.parametrize("codec", ["jpeg", "webp"])
@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_speed_against_calibration(benchmark, codec: str, direction: str, photo: Image):
    """``extra_info`` carries the ratio that `bench check --speed` locks and compares."""
    image, chosen = speed.crop(photo), registry.create(codec)
    setting = registry.settings(chosen, registry.Spec.parse(codec))[4]
    data = chosen.encode(image, setting)
    jobs = {"encode": lambda: chosen.encode(image, setting), "decode": lambda: chosen.decode(data)}
    summary = speed.measure_codec(codec, setting.json, image)
    benchmark.extra_info["ratio_to_calibration"] = summary[direction]["ratio"]
    benchmark(jobs[direction])

    assert summary[direction]["ratio"] > 0
