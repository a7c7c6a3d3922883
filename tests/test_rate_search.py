"""Target rates: by real sizes, for codecs that rise and codecs that fall with their parameter."""

from __future__ import annotations

import pytest

from bench import rate_search, registry
from bench.codec import Setting
from bench.codecs.null import Null
from bench.errors import SettingError


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
