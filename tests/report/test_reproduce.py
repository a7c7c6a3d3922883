"""The commands at the foot of the page give its numbers again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from bench import registry
from bench.measurement.plan import spread
from bench.report import reproduce


def context(name: str, images: list[str], curves: dict[str, list[str]]) -> SimpleNamespace:
    """What the commands are made from: a dataset's name and rows."""
    lines = [(c, s, i) for c, settings in curves.items() for s in settings for i in images]
    rows = pd.DataFrame(lines, columns=["codec", "setting", "image"])
    return SimpleNamespace(name=name, rows=rows, means=rows, words={}, equal=pd.DataFrame())


def commands(*contexts: SimpleNamespace, folder: Path = Path("gone"), **record: object) -> str:
    """What the page says of a run."""
    return reproduce.commands(contexts, SimpleNamespace(folder=folder, record=record))


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
        == commands(context("kodak", ["kodim01"], curves))
    )


def test_part_of_a_dataset():
    """Images are named where they are not all, and quoted for the shell where that is needed."""
    part = context("folder:my photos (2 of 9)", ["b c.png", "a.png"], {"jpeg": curve("jpeg")})

    assert (
        "bench all --dataset 'folder:my photos' --image a.png --image 'b c.png' --codec jpeg"
        == commands(part).splitlines()[0]
    )


def test_what_options_cannot_say_is_not_said(tmp_path: Path):
    """Curves of different rungs, or of a codec that is gone: the run's experiment, else a word."""
    mixed = {"jpeg": curve("jpeg", quality=[5, 7]), "webp": curve("webp", quality=[5])}
    gone = {"gone": ['{"q":1}']}
    (tmp_path / "experiment.toml").write_text("")

    for curves in (mixed, gone):
        part = context("kodak", ["a"], curves)
        assert "--codec" in commands(part)
        assert "# at other settings" in commands(part)
        assert (
            "bench all OUT/experiment.toml    # OUT: the folder of this run\nbench report"
            == commands(part, folder=tmp_path)
        )


@pytest.mark.parametrize(
    ("rungs", "said"), [([], ""), (["--points", "3"], " --points 3"), (None, "# at other settings")]
)
def test_codecs_of_files_are_named_as_they_were_typed(rungs: list[str] | None, said: str):
    """With the options of their curve, and how their settings were chosen, in every command."""
    part = context("kodak", ["a"], {"mine:step=8": ['{"q":1}'], "jpeg": curve("jpeg")})
    part.words = {"mine": "sub dir/mine.py:Mine"}
    line = commands(part, **({} if rungs is None else {"rungs": rungs})).splitlines()[0]
    named = "--codec jpeg --codec 'sub dir/mine.py:Mine:step=8'"

    assert f"bench all --dataset kodak {named}" in line
    assert said in line if said else line.endswith(named)
    assert f"bench throughput --dataset kodak {named}" in reproduce.speed_command(part)
    own = "bench complexity --results OUT --codec 'sub dir/mine.py:Mine:step=8'"
    assert own == reproduce.complexity_command(part)
    part.words = {}
    assert "# at other settings" in commands(part, rungs=[])
    assert "bench complexity --results OUT" == reproduce.complexity_command(part)


def test_files_as_they_are():
    """What was matched with the files themselves is not one more search."""
    part = context("folder:photos", ["a"], {"webp": ['{"target":"psnr=35"}']})
    searched = commands(part).splitlines()[0]
    part.equal = pd.DataFrame({"anchor": ["as-is"] * 2})

    assert "bench all --dataset folder:photos --codec webp --target psnr=35" == searched
    assert (
        "bench match folder:photos --from as-is --codec webp --target psnr=35"
        == commands(part).splitlines()[0]
    )


def test_metrics_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """They are named too; on the page of a stranger's run nobody's commands ask to be pasted."""
    part = context("kodak", ["a"], {"jpeg": curve("jpeg")})
    record = {"metrics": ["psnr", "own"], "metric_words": {"own": "cmd:own=compare {decoded}"}}
    (tmp_path / "experiment.toml").write_text("")
    monkeypatch.setattr(reproduce, "is_own", lambda _: True)

    assert (
        "bench all --dataset kodak --codec jpeg --metric psnr --metric 'cmd:own=compare {decoded}'"
        == commands(part, **record).splitlines()[0]
    )
    monkeypatch.setattr(reproduce, "is_own", lambda _: False)
    assert "compare" not in commands(part, **record)
    assert "bench all OUT/experiment.toml" in commands(part, folder=tmp_path, **record)
