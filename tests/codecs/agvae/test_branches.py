"""Branches: weights that are stored as differences from a base file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bench.codec import Setting
from bench.codecs.agvae.codec import AgvaeCodec
from bench.codecs.agvae.model.config import preset
from bench.codecs.agvae.model.gain_units import folding, level_gains
from bench.codecs.agvae.weights import checkpoints, difference, quantised
from bench.codecs.agvae.weights.export import export
from bench.errors import DecodeError, Unavailable

BASE = "small-gain-asym"


@pytest.fixture(scope="session")
def states(small_net):
    """State dicts of branches, by level: the base's, folded, a little away from it."""
    torch.manual_seed(3)
    found = {}
    for level in (None, 4):
        state = dict(small_net.state_dict())
        if level is not None:
            for name, factor in folding(small_net.config, level_gains(state, level)).items():
                state[name] = state[name] * factor
            state = {k: v for k, v in state.items() if not k.startswith("gain_")}
        for name, value in state.items():
            moved = 0.004 * value.std() if value.ndim == 4 and len(value) > 1 else 1e-3
            state[name] = value + moved * torch.randn_like(value)
        found[level] = state
    found[None]["g_s.0.0.weight"][0, 0, 0, 0] += 3  # far beyond any table
    return found


@pytest.fixture(scope="session")
def branch_dir(base_in, states, tmp_path_factory) -> Path:
    """A weights folder of a small base, a gained branch and one of level 4."""
    folder = tmp_path_factory.mktemp("branches") / "agvae"
    base = base_in(folder)
    for level, state in states.items():
        config = preset("small", gain=level is None)
        name = f"branch-{config.variant}"
        export(state, config, folder, name, level=level and float(level), base=base)
    return folder


@pytest.fixture
def copied(branch_dir, tmp_path, monkeypatch) -> Path:
    """A copy of ``branch_dir`` that may be damaged, the only place of weights."""
    folder = tmp_path / "agvae"
    shutil.copytree(branch_dir, folder)
    monkeypatch.setattr(checkpoints, "folders", lambda: [folder])
    return folder


def branch_codec(variant: str = "nogain-asym") -> AgvaeCodec:
    """Return the codec of a small branch."""
    members = {"name": "x", "variant": variant, "preset": "small", "branch": True}
    return type("Branch", (AgvaeCodec,), members)()


@pytest.mark.parametrize("level", [None, 4])
def test_every_weight_comes_back(branch_dir, states, level, monkeypatch):
    """Within half a step of the difference, gains folded in; vectors within half precision."""
    monkeypatch.setattr(checkpoints, "folders", lambda: [branch_dir])
    variant = "gain-asym" if level is None else "nogain-asym"
    (manifest,) = checkpoints.find(variant, preset="small", branch=True)
    base = checkpoints.stored_tensors(checkpoints.base_of(manifest))
    _, scales, _ = quantised.integers(base)
    config = manifest.config
    factors = {} if level is None else folding(config, level_gains(base, level))

    found = checkpoints.load(manifest)

    state = states[level]
    assert {*state, checkpoints.Z_TABLES} == set(found)
    for name, value in state.items():
        error = (found[name] - value).abs()
        if value.ndim == 4:
            step = difference.STEP * scales[name] * factors.get(name, torch.ones(()))
            assert (error <= 0.5001 * step + 1e-6).all(), name
        else:
            assert error.max() <= 2e-6 + 1e-3 * value.abs().max() * 1e-2, name
    assert manifest.path.stat().st_size < 0.5 * (branch_dir / f"{BASE}.safetensors").stat().st_size


def test_files_of_a_branch_decode(copied, formula):
    """A codec of branches codes and decodes; its files name the branch, not its base."""
    codec, image = branch_codec(), formula(40, 56)

    data = codec.encode(image, Setting(level=4))

    assert image.shape == codec.decode(data).shape
    assert "branch-nogain-asym" in codec.facts(data)["weights"]
    assert [4.0] == [setting["level"] for setting in codec.ladder()]


def test_a_branch_is_not_taken_for_its_base(copied):
    """Codecs of whole weights see no branch, and those of branches nothing else."""
    whole = checkpoints.find("gain-asym", preset="small")
    branches = checkpoints.find("gain-asym", preset="small", branch=True)

    assert ([BASE], ["branch-gain-asym"]) == ([m.name for m in whole], [m.name for m in branches])


def test_missing_base_makes_the_codec_unavailable(copied, branch_dir, formula, monkeypatch):
    """Without its base a branch is unavailable at once, and says which file it needs."""
    monkeypatch.setattr(checkpoints, "folders", lambda: [branch_dir])
    codec = branch_codec()
    data = codec.encode(formula(16, 16), Setting(level=4))
    for suffix in (".json", ".safetensors"):
        (copied / f"{BASE}{suffix}").unlink()
    monkeypatch.setattr(checkpoints, "folders", lambda: [copied])

    with pytest.raises(Unavailable, match=rf"differences from {BASE} of sha256 .*no file of that"):
        branch_codec()
    codec.networks = []
    with pytest.raises(DecodeError, match="differences from"):
        codec.decode(data)


def test_another_base_is_refused(copied, small_dir):
    """A base that was replaced by other weights of its name is not used; both hashes are named."""
    for suffix in (".json", ".safetensors"):
        shutil.copy(
            small_dir / "agvae" / f"small-nogain-asym-1{suffix}", copied / f"{BASE}{suffix}"
        )
    other = checkpoints.read_manifest(copied / f"{BASE}.json").sha256[:12]

    with pytest.raises(Unavailable, match=f"not available: .* has one of sha256 {other}"):
        branch_codec()


def test_a_base_that_another_hides_is_found(copied, small_dir, monkeypatch, tmp_path):
    """A newer base in a folder searched first does not take the old one from its branches."""
    first = tmp_path / "first"
    first.mkdir()
    for suffix in (".json", ".safetensors"):
        shutil.copy(small_dir / "agvae" / f"small-nogain-asym-1{suffix}", first / f"{BASE}{suffix}")
    monkeypatch.setattr(checkpoints, "folders", lambda: [first, copied])

    (network,) = branch_codec().networks

    assert checkpoints.load(network)
    assert first == next(m for m in checkpoints.manifests() if m.name == BASE).folder


def test_damage_is_refused(copied):
    """A changed byte of the branch, of its base, or of what its manifest names is noticed."""
    (network,) = branch_codec().networks
    path = copied / "branch-nogain-asym.safetensors"
    for changed in (path, copied / f"{BASE}.safetensors"):
        data = bytearray(changed.read_bytes())
        data[-9] ^= 1
        changed.write_bytes(data)
        with pytest.raises(Unavailable, match=rf"{changed.name}: sha256 is"):
            checkpoints.load(network)
        data[-9] ^= 1
        changed.write_bytes(data)
    facts = json.loads(path.with_suffix(".json").read_text())
    twin = json.loads((copied / f"{BASE}.json").read_text())
    shutil.copy(copied / f"{BASE}.safetensors", copied / "twin.safetensors")
    tensors = load_file(copied / "twin.safetensors")
    save_file(tensors | {"more": torch.ones(1)}, copied / "twin.safetensors")
    import hashlib

    twin["sha256"] = hashlib.sha256((copied / "twin.safetensors").read_bytes()).hexdigest()
    (copied / "twin.json").write_text(json.dumps(twin))
    facts["base"]["sha256"] = twin["sha256"]
    path.with_suffix(".json").write_text(json.dumps(facts))

    with pytest.raises(Unavailable, match="its manifest names"):
        checkpoints.load(checkpoints.read_manifest(path.with_suffix(".json")))


def test_the_model_id_covers_base_and_difference(branch_dir, states, tmp_path):
    """One step of one weight of the decoder changes it; one of the encoder does not."""
    base = checkpoints.read_manifest(branch_dir / f"{BASE}.json")
    config = preset("small")
    _, scales, _ = quantised.integers(checkpoints.stored_tensors(base))

    def model_id(name: str) -> str:
        state = {key: value.clone() for key, value in states[None].items()}
        if name:
            state[name][0, 1, 0, 0] += 1.01 * difference.STEP * scales[name][0, 0, 0, 0]
        path = export(state, config, tmp_path, "x", base=base)
        return checkpoints.read_manifest(path).model_id

    plain = model_id("")
    assert plain == model_id("g_a.0.weight")
    assert plain != model_id("g_s.0.0.weight")
    assert plain != base.model_id


def test_a_cut_stream_is_an_error(branch_dir):
    """Differences that end early, or go on, are no weights; whatever made such a file."""
    manifest = checkpoints.read_manifest(branch_dir / "branch-gain-asym.json")
    stored = checkpoints.stored_tensors(manifest)
    base = checkpoints.stored_tensors(checkpoints.read_manifest(branch_dir / f"{BASE}.json"))

    for stream in (stored["stream"][:-40], torch.cat([stored["stream"], torch.ones(2).byte()])):
        with pytest.raises(DecodeError, match="damaged"):
            difference.unpack({**stored, "stream": stream}, base, manifest.config)
