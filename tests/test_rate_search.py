"""Target rates: by real sizes, for codecs that rise and codecs that fall with their parameter."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import metrics, rate_search, registry
from bench.codec import Parameter, Setting
from bench.codecs.null import Null
from bench.errors import BenchError, SettingError
from bench.image import Image


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif", "bpg"])
@pytest.mark.parametrize("bpp", [0.5, 1.2])
def test_nearest_whole_number_is_found(name: str, bpp: float, photo):
    """No neighbouring value of the parameter comes nearer to the target."""
    codec = registry.create(name)
    base = registry.complete(codec, Setting())
    image = photo[:96, :128]
    found = rate_search.encode_to_bpp(codec, image, base, bpp)
    word = registry.rate_name(codec)
    value = int(found.setting[word])
    pixels = image.shape[0] * image.shape[1]

    assert found.bpp == 8 * len(found.data) / pixels
    assert found.data == codec.encode(image, found.setting)
    for other in (value - 1, value + 1):
        parameter = registry.parameters(codec)[word]
        if parameter.low <= other <= parameter.high:
            size = len(codec.encode(image, found.setting.replace(**{word: other})))
            assert abs(found.bpp - bpp) <= abs(8 * size / pixels - bpp) * (1 + 1e-9) + 0.01 * bpp


@pytest.mark.parametrize("bpp", [1e-4, 1000.0])
def test_unreachable_rate_gives_the_nearest_end(bpp: float, photo):
    """Beyond an end of the range the end is returned, and said not to be reached."""
    codec = registry.create("jpeg")
    found = rate_search.encode_to_bpp(codec, photo, registry.complete(codec, Setting()), bpp)

    assert not found.reached
    assert found.setting["quality"] == (1 if bpp < 1 else 100)


@pytest.mark.parametrize("bpp", [0.0, -1.0, float("nan")])
def test_senseless_target_is_refused(bpp: float, photo):
    """A rate must be positive."""
    codec = registry.create("jpeg")
    with pytest.raises(SettingError, match="must be positive"):
        rate_search.encode_to_bpp(codec, photo, registry.complete(codec, Setting()), bpp)


def test_codec_without_rate_is_refused(photo):
    """Raw pixels have one size only."""
    with pytest.raises(SettingError, match="no bounded rate parameter"):
        rate_search.encode_to_bpp(registry.create("null"), photo, Setting(), 1.0)


def test_own_search_of_a_codec_is_used(photo):
    """A codec without rate parameter can still know how to hit a rate."""

    class Own(Null):
        name = "own"

        def encode_to_rate(self, image, bpp, tolerance, base):
            assert (0.5, 0.01, Setting()) == (bpp, tolerance, base)
            return bytes(image.shape[0] * image.shape[1] // 16), base

    found = rate_search.encode_to_bpp(Own(), photo[:32, :32], Setting(), 0.5)

    assert (0.5, True, 0) == (found.bpp, found.reached, found.encodes)


class Steps(Null):
    """A codec whose files are as long as its parameter says, by steps that a test chooses."""

    name = "steps"
    rate = "q"

    def __init__(self, parameter: Parameter, ladder: Sequence[float]) -> None:
        self.parameters, self._ladder = (parameter,), ladder  # type: ignore[misc]

    def ladder(self) -> list[Setting]:
        return [Setting(q=value) for value in self._ladder]

    def encode(self, image: Image, setting: Setting) -> bytes:  # noqa: ARG002
        return struct.pack("<d", float(setting["q"])) + bytes(round(abs(float(setting["q"])) * 8))


WHOLE = Parameter("q", 5, low=0, high=40)
REAL = Parameter("q", 5.0, low=0, high=40)
CHOICES = Parameter("q", 8, choices=(4, 8, 16, 32))


def hit(parameter: Parameter, ladder, quality, value: float, metric="psnr") -> rate_search.Encoded:
    """Return what a search finds where ``quality`` says the metric of a parameter's value."""

    def measure(data: bytes) -> float:
        return quality(struct.unpack("<d", data[:8])[0])

    image = np.zeros((8, 8, 3), np.uint8)
    curve = rate_search.Curve(Steps(parameter, ladder), image, Setting(), measure)
    return rate_search.find(curve, rate_search.Target(metric, value))


@given(st.lists(st.floats(0.2, 3), min_size=41, max_size=41), st.floats(-5, 100))
@settings(max_examples=60)
def test_the_nearest_step_is_found(steps: list[float], value: float):
    """Of any rising curve; beyond its ends the end, and that is said."""
    values = np.cumsum(steps)
    found = hit(WHOLE, (5, 35), lambda q: float(values[int(q)]), value)

    assert min(abs(values - value)) == abs(found.value - value)
    beyond = not values[0] <= value <= values[-1]
    assert found.note.startswith("out of reach") == (beyond and not found.reached)
    assert found.encodes <= 16
    if not beyond:
        assert found.note == "" or found.note.startswith("no step between: q ")
        place = float(np.interp(value, values, range(41)))
        rates = 8 * np.array([8 + 8 * q for q in range(41)]) / 64
        low = int(min(place, 39))
        share = (value - values[low]) / (values[low + 1] - values[low])
        assert found.exact_bpp == pytest.approx(rates[low] ** (1 - share) * rates[low + 1] ** share)


@pytest.mark.parametrize(
    ("parameter", "ladder", "quality", "value", "q"),
    [
        (WHOLE, (35, 5), lambda q: 50.0 - q, 20.2, 30),  # a quantiser: less is better
        (CHOICES, (4, 32), float, 14.0, 16),
        (Parameter("q", 8), (4, 8, 16), float, 7.0, 8),  # no bounds: the steps of the ladder
        (WHOLE, (5, 35), lambda q: math.inf if q > 20 else 30.0 + q, 70.0, 20),  # lossless at last
    ],
)
def test_every_kind_of_parameter(parameter, ladder, quality, value: float, q: float):
    """Falling, named, unbounded and lossless ones."""
    assert q == hit(parameter, ladder, quality, value).setting["q"]


def test_a_real_parameter_hits_the_target():
    """Within ten units of the last digit shown, in few encodes."""
    found = hit(REAL, (1.0, 39.0), lambda q: 20 + 6 * math.log2(1 + q), 38.0)

    assert (True, "") == (found.reached, found.note)
    assert 38.0 == pytest.approx(found.value, abs=0.1)
    assert found.encodes < 12


def test_a_metric_of_which_less_is_better():
    """LPIPS falls while the rate rises."""
    found = hit(WHOLE, (5, 35), lambda q: 1 / (1 + q), 0.1, "lpips_alex")

    assert (9, True, "") == (found.setting["q"], found.reached, found.note)


def test_a_curve_that_falls_is_said():
    """Its note names two settings of which the higher rate is worse."""
    image = np.zeros((8, 8, 3), np.uint8)
    curve = rate_search.Curve(
        Steps(WHOLE, (5, 35)), image, Setting(), lambda data: len(data) / 8 % 19
    )
    curve.at(5), curve.at(20)
    found = rate_search.find(curve, rate_search.Target("psnr", 12))

    assert "not monotone: q 5 gives 6, q 20 gives 2" == found.note
    assert 30 == found.setting["q"]


def test_a_second_target_begins_where_the_first_ended():
    """What was tried is not tried again."""
    image = np.zeros((8, 8, 3), np.uint8)
    tried = []

    def measure(data: bytes) -> float:
        tried.append(struct.unpack("<d", data[:8])[0])
        return tried[-1]

    curve = rate_search.Curve(Steps(WHOLE, (5, 35)), image, Setting(), measure)
    found = [
        rate_search.find(curve, rate_search.Target("psnr", v)).setting["q"] for v in (12, 30, 12)
    ]

    assert [12, 30, 12] == found
    assert len(tried) == len(set(tried))


@pytest.mark.parametrize("name", ["jpeg", "avif"])
@pytest.mark.parametrize("target", ["psnr=33", "ssimulacra2=60", "ms-ssim=0.95"])
def test_a_quality_is_hit_on_a_photograph(name: str, target: str, photo):
    """No neighbouring value comes nearer; the value is that of the file."""
    codec, image = registry.create(name), photo[:176, :176]
    aim = rate_search.Target.typed(target)
    found = rate_search.search(codec, image, registry.complete(codec, Setting()), aim)
    metric, word = metrics.create(aim.metric), registry.rate_name(codec)

    assert found.value == metric(image, codec.decode(found.data))
    for other in (int(found.setting[word]) - 1, int(found.setting[word]) + 1):
        data = codec.encode(image, found.setting.replace(**{word: other}))
        assert abs(found.value - aim.value) <= abs(metric(image, codec.decode(data)) - aim.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("psnr", "is no target"),
        ("psnr=", "is no target"),
        ("psnr=nan", "is no target"),
        ("psnr=-1", "psnr lies in 0 to inf, found -1"),
        ("ssimulacra2=101", "ssimulacra2 lies in -inf to 100, found 101"),
        ("bpp=0", "bpp must be positive, found 0"),
        ("ssimulacra=80", "Did you mean ssimulacra2"),
    ],
)
def test_a_target_that_is_none_is_refused(text: str, reason: str):
    """Before anything is encoded."""
    with pytest.raises(BenchError, match=reason):
        rate_search.targets(text)
