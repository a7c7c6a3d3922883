"""Figure sets: the shipped one is whole, and mistakes in a file are named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.analysis.published_names import published
from bench.dataset import manifest
from bench.errors import UsageError
from bench.figures import registry, spec


@pytest.mark.parametrize("name", spec.names())
def test_shipped_sets_are_legal(name):
    """Every set of the package loads, and each of its options means something."""
    figure_set = spec.load(name)

    registry.check(figure_set)

    assert all(entry.caption and entry.title for entry in figure_set.entries)


def test_the_papers_figures_are_all_there():
    """Figures 2-5, 7, 8, 10, 12 and Table 1 are in the set, and more beyond the paper."""
    papers = [entry.paper for entry in spec.load("agvae2021").entries]

    wanted = {f"Fig. {n}" for n in (2, 3, 4, 5, 7, 8, 10, 12)} | {"Table 1"}
    assert set() == wanted - set(papers)
    assert 4 <= papers.count("")


def test_images_and_reported_curves_exist():
    """Every image that the set names is in its dataset, and every reported id is known."""
    figure_set = spec.load("agvae2021")
    images = {file.stem for file in manifest.read(figure_set.dataset).files}
    for entry in figure_set.entries:
        named = [entry.options.get("image"), *entry.options.get("images", [])]
        assert set() == {name for name in named if name} - images
        if entry.kind == "rd":
            assert set() == set(entry.options.get("reported", ())) - set(published())


def test_every_kind_is_used_and_documented():
    """The shipped set has a figure of every kind."""
    assert set(registry.names()) == {entry.kind for entry in spec.load("agvae2021").entries}


def _write(folder: Path, text: str) -> str:
    path = folder / "set.toml"
    path.write_text(text)
    return str(path)


HEAD = 'title="t"\nauthors="a"\nsource="s"\ndataset="kodak"\ncodec="agvae"\n'
ENTRY = '[[figure]]\nid="x"\nkind="{kind}"\npaper=""\ntitle="t"\ncaption="c"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("not toml", "is no TOML"),
        (HEAD, "lacks the key 'figure'"),
        (HEAD.replace('title="t"\n', "") + ENTRY, "lacks the key 'title'"),
        (HEAD + "typo=1\n" + ENTRY, "unknown key 'typo'"),
        (HEAD + ENTRY + "figur=1\n", "unknown key 'figur'"),
        (HEAD + 2 * ENTRY, "two figures 'x'"),
        (HEAD + ENTRY.format(kind="crop"), "unknown kind 'crop'. Did you mean crops?"),
        (HEAD + ENTRY.format(kind="importance"), "lacks the key 'image'"),
        (HEAD + ENTRY.format(kind="importance") + "options={image=3}\n", "must be .* found 3"),
        (
            HEAD + ENTRY.format(kind="asymmetry") + 'options={images=["a", 2]}\n',
            "option images must be",
        ),
        (
            HEAD + ENTRY.format(kind="importance") + 'options={image="a", levl=3}\n',
            "unknown key 'levl'. Did you mean level?",
        ),
    ],
)
def test_mistakes_are_named(tmp_path, text, told):
    """A missing, unknown or mistyped key is an error that says which."""
    with pytest.raises(UsageError, match=told):
        registry.check(spec.load(_write(tmp_path, text)))


def test_an_unknown_set_suggests_the_near_one():
    """A mistyped name suggests the set that exists."""
    with pytest.raises(UsageError, match=re.escape("Did you mean agvae2021?")):
        spec.load("agvae2012")
