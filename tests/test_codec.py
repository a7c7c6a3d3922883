"""Settings as canonical plain data, parameters as their guards, the defaults of a codec."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.codec import Codec, Parameter, Setting
from bench.errors import SettingError
from bench.image import Image

# A loaded machine is no failure, and a red run is the same when it is run again.
relaxed = settings(deadline=None, derandomize=True)

scalars = st.one_of(
    st.text(max_size=8),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
)
values = st.dictionaries(st.text(min_size=1, max_size=8), scalars, max_size=5)


@relaxed
@given(values)
def test_json_is_canonical(given_values: dict):
    """Order of naming does not matter, and the text says the same after a round trip."""
    setting = Setting(**given_values)
    turned = Setting(**dict(reversed(given_values.items())))

    assert setting.json == turned.json
    assert setting == turned
    assert hash(setting) == hash(turned)
    assert setting == Setting.from_json(setting.json)
    assert setting.json == json.dumps(
        json.loads(setting.json), sort_keys=True, separators=(",", ":")
    )


@relaxed
@given(values)
def test_setting_survives_pickle(given_values: dict):
    """A setting crosses to a worker process unchanged."""
    setting = Setting(**given_values)
    again = pickle.loads(pickle.dumps(setting))

    assert setting == again
    assert dict(setting) == dict(again)


def test_numbers_have_one_spelling():
    """3 and 3.0 are one setting; 3 and true and "3" are three."""
    assert Setting(quality=3) == Setting(quality=3.0)
    assert Setting(quality=3.0).json == '{"quality":3}'
    assert len({Setting(x=1), Setting(x=True), Setting(x="1"), Setting(x=1.5)}) == 4


def test_setting_is_a_mapping():
    """Reading is a mapping's; changing makes another."""
    setting = Setting(subsampling="4:2:0", quality=75)

    assert ["quality", "subsampling"] == list(setting)
    assert setting["quality"] == 75
    assert len(setting) == 2
    assert Setting(quality=60, subsampling="4:2:0") == setting.replace(quality=60)
    assert Setting(quality=75) == setting.without("subsampling", "absent")
    assert setting["quality"] == 75
    assert setting != {"quality": 75, "subsampling": "4:2:0"}
    assert repr(setting) == "Setting(quality=75, subsampling='4:2:0')"
    with pytest.raises(TypeError):
        setting["quality"] = 1


def test_any_name_may_be_set():
    """Not even `self` is taken."""
    assert Setting(self=1).replace(self=2)["self"] == 2


INTEGER = Parameter("quality", 75, low=1, high=100)
NUMBER = Parameter("ratio", 40.0, low=1)
WORD = Parameter("subsampling", "4:2:0", choices=("4:2:0", "4:4:4"))
FLAG = Parameter("optimize", False)


@pytest.mark.parametrize(
    ("parameter", "value", "expected"),
    [
        (INTEGER, "80", 80),
        (INTEGER, 80.0, 80),
        (INTEGER, "8e1", 80),
        (INTEGER, 1, 1),
        (INTEGER, 100, 100),
        (NUMBER, "2.5", 2.5),
        (NUMBER, 3, 3.0),
        (WORD, "4:4:4", "4:4:4"),
        (FLAG, "yes", True),
        (FLAG, "False", False),
        (FLAG, 1, True),
        (FLAG, True, True),
    ],
)
def test_value_is_converted(parameter: Parameter, value, expected):
    """Text of a command line becomes the parameter's own type."""
    checked = parameter.check(value)

    assert expected == checked
    assert type(expected) is type(checked)


@pytest.mark.parametrize(
    ("parameter", "value", "words"),
    [
        (INTEGER, 0, "quality must be a whole number from 1 to 100, found 0"),
        (INTEGER, 101, "from 1 to 100, found 101"),
        (INTEGER, 7.5, "whole number from 1 to 100, found 7.5"),
        (INTEGER, "high", "whole number from 1 to 100, found 'high'"),
        (INTEGER, True, "whole number from 1 to 100, found True"),
        (INTEGER, 10**400, "whole number from 1 to 100"),
        (NUMBER, "nan", "ratio must be a number from 1, found 'nan'"),
        (NUMBER, "inf", "a number from 1, found 'inf'"),
        (NUMBER, 0.5, "a number from 1, found 0.5"),
        (WORD, "4:2:2", "one of 4:2:0, 4:4:4, found '4:2:2'"),
        (WORD, 420, "one of 4:2:0, 4:4:4, found 420"),
        (FLAG, "perhaps", "optimize must be true or false, found 'perhaps'"),
        (FLAG, 2, "true or false, found 2"),
    ],
)
def test_bad_value_is_named_with_the_legal_ones(parameter: Parameter, value, words: str):
    """The message has the name, the legal values and the found one."""
    with pytest.raises(SettingError) as caught:
        parameter.check(value)

    assert words in str(caught.value)


@relaxed
@given(st.one_of(scalars, st.integers(-(10**400), 10**400), st.just(float("inf"))))
def test_check_converts_or_refuses(value):
    """Any scalar gives a legal value of the own type or SettingError, never another error."""
    for parameter in (INTEGER, NUMBER, WORD, FLAG, Parameter("word", "text")):
        try:
            checked = parameter.check(value)
        except SettingError:
            continue

        assert type(checked) is type(parameter.default)
        assert checked == parameter.check(checked)


class Plain(Codec):
    """As in the module's own docstring: nothing but what is compulsory."""

    name = "plain"

    def ladder(self) -> Sequence[Setting]:
        return [Setting()]

    def version(self) -> str:
        return "raw 1"

    def encode(self, image: Image, setting: Setting) -> bytes:  # noqa: ARG002
        return struct.pack(">II", *image.shape[:2]) + image.tobytes()

    def decode(self, data: bytes) -> Image:
        height, width = struct.unpack(">II", data[:8])
        return np.frombuffer(data[8:], np.uint8).reshape(height, width, 3)


def test_defaults_of_a_codec(photo: Image):
    """Four methods make a codec; the rest has a neutral default."""
    codec = Plain()
    data = codec.encode(photo, Setting())

    assert np.array_equal(photo, codec.decode(data))
    assert codec.ceiling(photo, Setting()) is photo
    assert {"file": len(data)} == codec.ledger(data)
    assert not codec.recognises(data)
    assert codec.note() == ""
    assert codec.label(Setting()) == "plain (raw 1)"
    assert (codec.device, codec.devices, codec.format_version) == ("cpu", ("cpu",), 1)


def test_incomplete_codec_cannot_be_made():
    """A class without encode and decode is abstract."""

    class Half(Codec):
        name = "half"

        def ladder(self) -> Sequence[Setting]:
            return []

    with pytest.raises(TypeError, match="abstract"):
        Half()


def test_label_has_format_between_name_and_version():
    """Chroma and depth stand in the label."""

    class Described(Plain):
        def describe(self, setting: Setting) -> str:
            return f"{setting['subsampling']} 8-bit"

    assert Described().label(Setting(subsampling="4:4:4")) == "plain 4:4:4 8-bit (raw 1)"


def test_label_says_the_effort():
    """Behind the format, and the codec is called by its short name for people."""

    class Slow(Plain):
        display = "Plain Codec"

        def effort(self, setting: Setting) -> str:
            return f"speed {setting['speed']}"

    assert Slow().label(Setting(speed=4)) == "Plain Codec, speed 4 (raw 1)"
