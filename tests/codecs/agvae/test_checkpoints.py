"""Weights on disk: compact storage, manifests, places."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.codecs.agvae.model.config import Config, preset
from bench.codecs.agvae.weights import ahead, checkpoints, export, ids, quantised
from bench.codecs.agvae.weights import packed as unpacking
from bench.codecs.agvae.weights.counted import coding_tables
from bench.errors import DecodeError, Unavailable


@pytest.mark.parametrize("bits", [8, 9, 10, 11, 12])
def test_packed_weights_come_back(bits):
    """Each weight comes back within half a step of its channel's scale, extremes included."""
    torch.manual_seed(bits)
    weight = torch.randn(7, 5, 3, 3) * torch.logspace(-3, 1, 7)[:, None, None, None]
    weight[3] = 0

    packed = quantised.pack({"a.weight": weight, "a.bias": weight[:, 0, 0, 0]}, {"a.": bits})
    back = quantised.unpack(packed)

    scale = packed["a.weight.scale"][:, None, None, None]
    error = (back["a.weight"] - weight).abs() / scale.clamp_min(1e-30)
    clipped = weight.abs() > scale * (2 ** (bits - 1) - 1)
    assert error[~clipped].max() <= 0.5001
    assert clipped.float().mean() < 0.05
    assert torch.equal(weight[:, 0, 0, 0], back["a.bias"])
    bytes_per_weight = (
        packed["a.weight"].numel() + packed.get("a.weight.low", torch.empty(0)).numel()
    )
    assert bytes_per_weight <= weight.numel() * bits / 8 + bits


def test_more_bits_cost_less_precision():
    """The squared error falls by about 16 with every two bits."""
    torch.manual_seed(0)
    state = {"w": torch.randn(16, 64, 3, 3)}

    error = [
        (quantised.unpack(quantised.pack(state, {"w": b}))["w"] - state["w"]).square().mean().item()
        for b in (8, 10, 12)
    ]

    assert 12 < error[0] / error[1] < 22
    assert 12 < error[1] / error[2] < 22


def test_file_form_is_smaller_and_the_same():
    """Huffman-coded integers take a quarter less where weights crowd around zero; none changes."""
    torch.manual_seed(1)
    weight = torch.randn(32, 64, 3, 3)
    weight[:, 0, 0, 0] = 12  # sticks out, as trained weights do
    packed = quantised.pack({"w": weight, "b": weight[0, 0, 0]}, {"w": 10})

    stored = quantised.deflate(packed)

    assert stored["w.deflate"].numel() < 0.85 * packed["w"].numel()
    back = unpacking.inflate({name: tensor.numpy() for name, tensor in stored.items()})
    assert list(packed) == list(back)
    assert all(np.array_equal(packed[name].numpy(), back[name]) for name in packed)
    assert torch.equal(quantised.unpack(packed)["w"], quantised.unpack(stored)["w"])


def test_file_form_refuses_other_sizes():
    """Coded bytes that make more or fewer weights than their shape says are refused."""
    stored = quantised.deflate(quantised.pack({"w": torch.randn(4, 4, 3, 3)}, {"w": 8}))
    for shape in ([4, 4, 3, 4], [4, 4, 3, 1]):
        wrong = {**stored, "w.shape": torch.tensor(shape, dtype=torch.int32)}
        with pytest.raises(ValueError, match="bytes of weights, wanted"):
            quantised.unpack(wrong)


def test_exported_weights_load(small_dir, small_net, monkeypatch):
    """Every tensor of the network comes back under its name, near its value."""
    monkeypatch.setenv("BENCH_WEIGHTS", str(small_dir))
    (manifest,) = checkpoints.find("gain-asym", preset="small")

    tensors = checkpoints.load(manifest)

    state = small_net.state_dict()
    assert {*state, checkpoints.Z_TABLES} == set(tensors)
    for name, value in state.items():
        difference = (tensors[name] - value).abs().max() / value.abs().max().clamp_min(1e-9)
        assert difference < 0.01, name
    assert torch.equal(state["gain_y.log_gain"], tensors["gain_y.log_gain"])


def test_z_tables_follow_the_prior(small_net):
    """The integer tables of z cost nearly what the prior says, channel by channel."""
    tables = export.z_tables(small_net.state_dict(), small_net.config).numpy()
    radius = (tables.shape[1] - 3) // 2
    k = torch.arange(-radius, radius + 1.0).expand(32, 1, -1)

    mass = small_net.z_prior.double().mass(k.double())[:, 0].numpy()
    small_net.z_prior.float()

    assert (2**15 == tables.sum(1)).all()
    ideal = -(mass * np.log2(mass)).sum(1)
    real = -(mass * np.log2(tables[:, 1:-1] / 2**15)).sum(1)
    assert (real <= ideal * 1.01 + 0.01).all()


def test_first_folder_wins(small_dir, tmp_path, monkeypatch):
    """A set of weights that $BENCH_WEIGHTS names hides one of the same name elsewhere."""
    copy = tmp_path / "agvae"
    shutil.copytree(small_dir / "agvae", copy)
    monkeypatch.setattr(checkpoints, "folders", lambda: [copy, small_dir / "agvae"])

    assert {copy} == {manifest.folder for manifest in checkpoints.manifests()}


def test_places(monkeypatch, tmp_path):
    """Weights are looked for in $BENCH_WEIGHTS, the package and the user's cache."""
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path))

    first, package, cache = checkpoints.folders()

    assert tmp_path / "agvae" == first
    assert (package / "base-gain-asym-mse.json").is_file()
    assert "agvae-bench" in str(cache)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not a manifest"),
        ("{}", "not a manifest"),
        ('{"manifest_version": 99}', "manifest version 99"),
        ("[]", "not a manifest"),
    ],
)
def test_broken_manifests_are_named(tmp_path, monkeypatch, text, words):
    """A manifest that cannot be read says which and why."""
    (tmp_path / "broken.json").write_text(text)
    monkeypatch.setattr(checkpoints, "folders", lambda: [tmp_path])

    with pytest.raises(Unavailable, match=rf"broken\.json.*{words}"):
        checkpoints.manifests()


def test_weights_read_ahead_are_those_that_are_loaded(small_dir, monkeypatch):
    """In a thread, once; those that are made from other files are left to who loads them."""
    monkeypatch.setenv("BENCH_WEIGHTS", str(small_dir))
    [small] = checkpoints.find("gain-asym", preset="small")
    assert ahead.take(small) is None
    ahead.begin(small)
    ahead.begin(small)
    found, wanted = ahead.take(small), checkpoints.load(small)

    tables, wanted_tables = ahead.take_tables(small), coding_tables(small, wanted)

    assert found is not None
    assert tables is not None
    assert ahead.take(small) is ahead.take_tables(small) is None
    for choice in wanted_tables.choices:
        assert np.array_equal(tables.bank(choice).entries, wanted_tables.bank(choice).entries)
    assert set(wanted) == set(found)
    for name, tensor in wanted.items():
        assert (tensor.dtype, True) == (found[name].dtype, torch.equal(tensor, found[name]))
    other = replace(small, facts={**small.facts, "predicted_from": {"name": "a", "sha256": "b"}})
    ahead.begin(other)
    assert ahead.take(other) is None


def test_weights_that_cannot_be_read_ahead_are_refused_where_they_are_needed(tmp_path):
    """Not in the thread, where nobody would hear of it."""
    [small] = checkpoints.find("gain-asym", preset="small")
    for changed in (replace(small, sha256="0" * 64), replace(small, folder=tmp_path)):
        ahead.begin(changed)
        for take in (ahead.take, ahead.take_tables):
            with pytest.raises(Unavailable, match=r"sha256 is|cannot be read"):
                take(changed)


def test_tables_that_cannot_be_read_ahead_are_refused_where_they_are_needed():
    """The weights, which are whole, are not."""
    [small] = checkpoints.find("gain-asym", preset="small")
    other = {"coding_tables": {**small.facts["coding_tables"], "sha256": "0" * 64}}
    changed = replace(small, facts={**small.facts, **other})
    ahead.begin(changed)

    assert ahead.take(changed) is not None
    with pytest.raises(Unavailable, match="its numbers have sha256"):
        ahead.take_tables(changed)


def test_changed_weights_are_refused(small_dir, tmp_path, monkeypatch):
    """A weights file that is not the manifest's, or is gone, is refused before it is used."""
    name = "small-gain-asym"
    for suffix in ("json", "safetensors"):
        shutil.copy(small_dir / "agvae" / f"{name}.{suffix}", tmp_path)
    monkeypatch.setattr(checkpoints, "folders", lambda: [tmp_path])
    (manifest,) = checkpoints.manifests()
    data = bytearray(manifest.path.read_bytes())
    data[-1] ^= 1
    manifest.path.write_bytes(data)

    with pytest.raises(Unavailable, match="sha256"):
        checkpoints.load(manifest)
    manifest.path.unlink()
    with pytest.raises(Unavailable, match="cannot be read"):
        checkpoints.load(manifest)


def test_unknown_model_ids_list_the_known(small_dir, monkeypatch):
    """A file of other weights is told what is available."""
    monkeypatch.setenv("BENCH_WEIGHTS", str(small_dir))
    known = checkpoints.find("gain-asym", preset="small")[0]

    assert known.name == checkpoints.by_model_id(known.model_id).name
    with pytest.raises(DecodeError, match=known.model_id):
        checkpoints.by_model_id("ffffffff")


def test_model_id_covers_the_decoder_alone():
    """Any decoder tensor or size changes the id; the encoder's and the trainer's do not."""
    config = preset("small")
    stored = {name: torch.ones(3) for name in ("g_s.0.weight", "g_a.0.weight", "z_prior.biases.0")}
    before = ids.model_id(stored, config)

    for name in ("g_a.0.weight", "z_prior.biases.0"):
        assert before == ids.model_id({**stored, name: torch.zeros(3)}, config)
    assert before != ids.model_id({**stored, "g_s.0.weight": torch.zeros(3)}, config)
    assert before != ids.model_id(stored, preset("small", asymmetric=False))


def test_packaged_manifest_is_complete():
    """The shipped weights say what they are, what they were trained on and what they reach."""
    (manifest,) = [m for m in checkpoints.manifests() if m.name == "base-gain-asym-mse"]

    assert Config() == manifest.config
    assert "development" == manifest.status
    assert manifest.path.stat().st_size == manifest.facts["size_bytes"] <= 16 * 2**20
    assert {"data", "licence", "steps"} <= set(manifest.facts["training"])
    assert [0, 1, 2, 3, 4, 5, 6, 7] == [row["level"] for row in manifest.facts["reached"]["rows"]]
    tensors = checkpoints.load(manifest)
    assert 11.2e6 < sum(t.numel() for t in tensors.values()) < 11.4e6
    json.dumps(dict(manifest.facts))


def test_packaged_weights_are_small_and_complete():
    """Everything that ships is under 40 MB, has its base and its list of photographs."""
    package = checkpoints.folders()[1]
    shipped = [checkpoints.read_manifest(path) for path in package.glob("*.json")]
    listed = {path.name for path in (package / checkpoints.SOURCES).iterdir()}
    bases = {m.sha256 for m in shipped if m.stands_alone}
    digests = {m.facts["training"]["data"].get("pixels_sha256") for m in shipped if m.base}

    assert sum(manifest.path.stat().st_size for manifest in shipped) < 40e6
    needed = [m.base or m.predicted_from for m in shipped if not m.stands_alone]
    assert {one["sha256"] for one in needed} <= bases
    assert len(digests) <= 1
    for manifest in shipped:
        data = manifest.facts["training"]["data"]
        assert isinstance(data, str) or Path(data["sources"]).name in listed
        assert manifest.path.stat().st_size == manifest.facts["size_bytes"]
        assert len(manifest.path.with_suffix(".json").read_bytes()) < 10_000
