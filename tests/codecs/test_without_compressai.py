"""CompressAI is missing where it has no wheel: what needs it says so, and nothing else does."""

from __future__ import annotations

import types
from importlib.metadata import distribution

import pytest

from bench import registry
from bench.cli import command_line
from bench.codecs import _compressai
from bench.codecs.agvae.model.compressai_backbones import GainedBackbone
from bench.errors import Unavailable

COMMAND = "pip install 'agvae-bench[zoo]' && pip install --no-deps compressai"


@pytest.mark.usefixtures("no_compressai")
def test_its_codecs_are_unavailable_with_reason_and_command():
    """Each says that the library is missing, and both commands; the others are as they were."""
    names = [name for name in registry.discover() if name.startswith("compressai-")]
    assert 6 == len(names)
    for name in names:
        with pytest.raises(Unavailable) as caught:
            registry.create(name)
        assert "compressai is not installed" in str(caught.value)
        assert COMMAND in str(caught.value)

    for name in ("agvae-small", "bpg", "jpeg"):
        assert name == registry.create(name).name


@pytest.mark.usefixtures("no_compressai")
def test_fetching_its_weights_is_refused():
    """`bench fetch` of a zoo model names the missing library, not a Python error."""
    words = ["fetch", "compressai-mbt2018-mean"]
    with pytest.raises(Unavailable, match="compressai is not installed") as caught:
        command_line(words)(words, standalone_mode=False)

    assert COMMAND in str(caught.value)


@pytest.mark.usefixtures("no_compressai")
def test_the_papers_backbones_are_unavailable():
    """The ablation's networks are CompressAI's."""
    with pytest.raises(Unavailable, match="compressai is not installed"):
        GainedBackbone("mbt2018-mean", 16, 24)


def test_a_library_that_cannot_be_imported_is_told_from_one_that_is_missing(monkeypatch):
    """Installed without its dependencies it is named with what it lacks."""
    monkeypatch.setattr(_compressai, "distribution", lambda _: types.SimpleNamespace(version="9.9"))

    with pytest.raises(Unavailable, match=r"compressai 9\.9 cannot be imported \(ModuleNotFound"):
        _compressai.load("not_there")


def test_the_command_names_an_extra_of_this_package():
    """The extra exists, and holds CompressAI's own dependencies except NumPy below 2."""
    ours = distribution("agvae-bench")

    assert "zoo" in ours.metadata.get_all("Provides-Extra")
    extra = [line for line in ours.requires if 'extra == "zoo"' in line]
    assert extra
    assert not [line for line in extra if line.startswith(("numpy", "compressai"))]
