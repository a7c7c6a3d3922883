"""A codec and its options in one word, and the settings that it asks for."""

from __future__ import annotations

import pytest

from bench import registry
from bench.codec import Setting
from bench.errors import SettingError, UsageError
from bench.registry import Spec


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("avif", "avif", {}),
        ("avif:", "avif", {}),
        ("avif:subsampling=4:2:0,speed=4", "avif", {"subsampling": "4:2:0", "speed": "4"}),
        (" jpeg : optimize = true ", "jpeg", {"optimize": "true"}),
        ("jpeg:comment=a=b", "jpeg", {"comment": "a=b"}),
    ],
)
def test_spec_is_read(text: str, name: str, options: dict):
    """A name, then options behind the first colon."""
    assert Spec(name, Setting(**options)) == Spec.parse(text)


def test_spec_without_a_value_is_refused():
    """The message shows how to write it."""
    with pytest.raises(UsageError, match=r"option 'speed' lacks a value. Write avif:speed=VALUE"):
        Spec.parse("avif:speed")


def test_spec_reads_what_it_writes():
    """Text and specification are one to one."""
    for text in ("webp", "webp:method=6", "avif:speed=4,subsampling=4:2:0"):
        assert text == str(Spec.parse(text))


def test_complete_fills_in_and_checks():
    """Defaults come in, text becomes numbers, and what is unknown is told with the near one."""
    jpeg = registry.create("jpeg")

    assert registry.complete(jpeg, Setting(quality="30", optimize="true")) == Setting(
        quality=30, subsampling="4:2:0", optimize=True, progressive=False
    )
    with pytest.raises(SettingError, match=r"jpeg has no setting 'qualty'. Did you mean quality"):
        registry.complete(jpeg, Setting(qualty=30))
    with pytest.raises(SettingError, match=r"codec jpeg: quality must be .* found 300"):
        registry.complete(jpeg, Setting(quality=300))


def test_settings_are_the_ladder_or_the_asked_values():
    """`--quality` moves the native rate parameter; options are held along the curve."""
    webp = registry.create("webp")
    spec = Spec.parse("webp:method=6")

    assert [q["quality"] for q in webp.ladder()] == [
        setting["quality"] for setting in registry.settings(webp, spec)
    ]
    assert [Setting(quality=q, method=6) for q in (50, 10)] == registry.settings(
        webp, spec, quality=[50.0, 10.0, 50.0]
    )
    with pytest.raises(SettingError, match="from 0 to 100, found 500"):
        registry.settings(webp, spec, quality=[500.0])


def test_a_codec_without_rate_refuses_quality():
    """Raw pixels have no quality."""
    null = registry.create("null")

    assert registry.rate_name(null) == ""
    assert [Setting()] == registry.settings(null, Spec.parse("null"))
    with pytest.raises(SettingError, match="no rate parameter"):
        registry.settings(null, Spec.parse("null"), quality=[1.0])
