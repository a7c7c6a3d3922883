"""The commands at the foot of the page give its numbers again."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest

from bench import registry
from bench.measurement.plan import spread
from bench.report import reproduce


def context(name: str, images: list[str], curves: dict[str, list[str]]) -> SimpleNamespace:
    """What the commands are made from: a dataset's name and rows."""
    lines = [(c, s, i) for c, settings in curves.items() for s in settings for i in images]
    return SimpleNamespace(
        name=name, rows=pd.DataFrame(lines, columns=["codec", "setting", "image"])
    )


def curve(word: str, *, points: int | None = None, quality: list[float] | None = None):
    """The settings that `bench all` would measure."""
    spec = registry.Spec.parse(word)
    made = registry.settings(registry.create(spec.name), spec, quality=quality)
    return [setting.json for setting in spread(made, points)]


@pytest.mark.parametrize(
    ("options", "said"),
    [({}, ""), ({"points": 3}, " --points 3"), ({"quality": [5, 25, 75]}, " --quality 5,25,75")],
)
def test_whole_dataset(options: dict[str, object], said: str):
    """Codecs are named with their options; rungs where they are not the whole ladder."""
    words = ("avif:subsampling=4:2:0", "jpeg")
    curves = {word: curve(word, **options) for word in words}

    assert (
        f"bench all --dataset kodak --codec avif:subsampling=4:2:0 --codec jpeg{said}\nbench report"
        == reproduce.commands([context("kodak", ["kodim01"], curves)])
    )


def test_part_of_a_dataset():
    """Images are named where they are not all, and quoted for the shell where that is needed."""
    part = context("folder:my photos (2 of 9)", ["b c.png", "a.png"], {"jpeg": curve("jpeg")})

    assert (
        "bench all --dataset 'folder:my photos' --image a.png --image 'b c.png' --codec jpeg"
        == reproduce.commands([part]).splitlines()[0]
    )


def test_what_options_cannot_say_is_left_out():
    """Curves of different rungs, or of a codec that is gone, have no option that makes them."""
    mixed = {"jpeg": curve("jpeg", quality=[5, 7]), "webp": curve("webp", quality=[5])}
    gone = {"gone": ['{"q":1}']}

    assert "-q" not in reproduce.commands([context("kodak", ["a"], mixed)])
    assert "bench all --dataset kodak --codec gone" in reproduce.commands(
        [context("kodak", ["a"], gone)]
    )
