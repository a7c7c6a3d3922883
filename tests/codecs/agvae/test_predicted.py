"""Whole weights whose integers are stored as predicted from another network's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from bench.codecs.agvae.model.config import preset
from bench.codecs.agvae.weights import checkpoints, predicted
from bench.codecs.agvae.weights.export import export
from bench.errors import DecodeError, Unavailable

BASE = "small-gain-asym"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The only place of weights."""
    monkeypatch.setattr(checkpoints, "folders", lambda: [tmp_path / "agvae"])
    return tmp_path / "agvae"


@pytest.fixture
def pair(small_net, base_in, folder, tmp_path):
    """The manifests of one network, by itself and predicted from a base that it moved far from."""
    torch.manual_seed(4)
    state = {
        name: value
        + (0.1 * value.std() if value.ndim == 4 and len(value) > 1 else 1e-3)
        * torch.randn_like(value)
        for name, value in small_net.state_dict().items()
    }
    state["g_s.0.0.weight"][0] = 0  # an output with nothing in it
    base = base_in(folder)
    alone = export(state, preset("small"), tmp_path / "alone", "twin", metric="ms-ssim")
    twin = export(state, preset("small"), folder, "twin", metric="ms-ssim", predicted_from=base)
    return checkpoints.read_manifest(alone), checkpoints.read_manifest(twin)


def test_nothing_is_lost(pair):
    """Bit by bit the same weights and model id, in a smaller file."""
    alone, twin = pair
    wanted, found = checkpoints.load(alone), checkpoints.load(twin)

    assert wanted.keys() == found.keys()
    assert all(torch.equal(value, found[name]) for name, value in wanted.items())
    assert alone.model_id == twin.model_id
    assert twin.path.stat().st_size < 0.9 * alone.path.stat().st_size
    assert not twin.stands_alone
    assert [twin] == checkpoints.find("gain-asym", preset="small", metric="ms-ssim")


def test_it_needs_the_file_that_it_names(pair):
    """Missing or replaced: unavailable, and says which file; the codec is not listed."""
    alone, twin = pair
    base = twin.folder / f"{BASE}.safetensors"
    for suffix in (".json", ".safetensors"):
        shutil.copy(alone.path.with_suffix(suffix), base.with_suffix(suffix))
    with pytest.raises(Unavailable, match="stored as differences from small-gain-asym of sha256"):
        checkpoints.load(twin)
    for suffix in (".json", ".safetensors"):
        base.with_suffix(suffix).unlink()
    with pytest.raises(Unavailable, match="not available"):
        checkpoints.find("gain-asym", preset="small", metric="ms-ssim")


def test_a_damaged_file_is_an_error(pair):
    """A cut stream, or integers beyond their bits."""
    _, twin = pair
    from safetensors.torch import load_file

    stored = load_file(twin.path)
    base = checkpoints.stored_tensors(checkpoints.predicting(twin))
    few = {"g_s.0.0.weight.bits": torch.tensor(3, dtype=torch.uint8)}
    for damage in ({"stream": stored["stream"][:-40]}, few):
        with pytest.raises(DecodeError, match="damaged"):
            predicted.unpack({**stored, **damage}, base)


def test_a_branch_predicts_another(small_net, base_in, folder, tmp_path):
    """Bit by bit the same branch, smaller; without the file that predicts it is not available."""
    base = base_in(folder)
    torch.manual_seed(4)
    moved = {
        name: value + 0.008 * value.std() * torch.randn_like(value) if value.ndim == 4 else value
        for name, value in small_net.state_dict().items()
    }
    again = {
        name: value + 0.002 * value.std() * torch.randn_like(value) if value.ndim == 4 else value
        for name, value in moved.items()
    }
    config = preset("small")
    one = checkpoints.read_manifest(export(moved, config, folder, "one", base=base))
    alone = export(again, config, tmp_path / "alone", "two", base=base)
    alone = checkpoints.read_manifest(alone)
    two = export(again, config, folder, "two", base=base, predicted_from=one)
    two = checkpoints.read_manifest(two)
    wanted, found = checkpoints.load(alone), checkpoints.load(two)

    assert all(torch.equal(value, found[name]) for name, value in wanted.items())
    assert (alone.model_id, wanted.keys()) == (two.model_id, found.keys())
    assert two.path.stat().st_size < 0.9 * alone.path.stat().st_size
    one.path.unlink()
    with pytest.raises(Unavailable, match="stored as differences from one of sha256"):
        checkpoints.load(two)


def test_it_predicts_nothing_else(pair):
    """A file that needs another is no base of a third."""
    _, twin = pair
    export(
        {k: v for k, v in checkpoints.load(twin).items() if k != checkpoints.Z_TABLES},
        preset("small"),
        twin.folder,
        "third",
        predicted_from=twin,
    )

    with pytest.raises(Unavailable, match="not available"):
        checkpoints.load(checkpoints.read_manifest(twin.folder / "third.json"))
