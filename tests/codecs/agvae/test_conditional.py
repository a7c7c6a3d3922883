"""A conditional network: one file of differences, one plain network for each level."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bench.codec import Setting
from bench.codecs.agvae import engines
from bench.codecs.agvae.bitstream import container
from bench.codecs.agvae.codec import AgvaeCodec
from bench.codecs.agvae.model import mechanisms
from bench.codecs.agvae.model.config import preset
from bench.codecs.agvae.weights import checkpoints, difference, level_tables
from bench.codecs.agvae.weights.export import export
from bench.errors import DecodeError, SettingError, Unavailable

BASE, NAME = "small-gain-asym", "mechanism-conditional-asym"
CONFIG = preset("small", mechanism="conditional")
SCALES, SHIFTS = "scales", "shifts"


@pytest.fixture(scope="module")
def state(small_net) -> dict[str, torch.Tensor]:
    """Weights as a file holds them: the base's, with tables that differ by level and channel."""
    torch.manual_seed(9)
    found = mechanisms.start(dict(small_net.state_dict()), CONFIG)
    for name, value in found.items():
        if name.endswith(("log_scale", "shift")):
            found[name] = value + 0.01 * torch.randn_like(value)
    return mechanisms.as_stored(found, CONFIG)


@pytest.fixture(scope="module")
def folder(base_in, state, tmp_path_factory) -> Path:
    """A weights folder of a small base and a conditional branch of it."""
    found = tmp_path_factory.mktemp("conditional") / "agvae"
    export(state, CONFIG, found, NAME, base=base_in(found))
    return found


@pytest.fixture
def codec(folder, monkeypatch) -> AgvaeCodec:
    """The codec of that branch."""
    monkeypatch.setattr(checkpoints, "folders", lambda: [folder])
    members = {"name": "x", "variant": "conditional-asym", "preset": "small", "branch": True}
    return type("Conditional", (AgvaeCodec,), members)()


def both(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return what the files of the branch and of its base hold."""
    branch, base = (checkpoints.read_manifest(folder / f"{name}.json") for name in (NAME, BASE))
    return checkpoints.stored_tensors(branch), checkpoints.stored_tensors(base)


def test_tables_come_back(folder, state, monkeypatch):
    """Scales in half precision, shifts within half a step; the network can be trained on."""
    monkeypatch.setattr(checkpoints, "folders", lambda: [folder])
    found = checkpoints.load(checkpoints.read_manifest(folder / f"{NAME}.json"))

    assert {*state, checkpoints.Z_TABLES} == set(found)
    for name, value in state.items():
        if name.endswith(f".{SCALES}"):
            assert torch.equal(value.half().float(), found[name])
        elif name.endswith(f".{SHIFTS}"):
            assert (found[name] - value).abs().max() <= 1.001 * 2**-13
        elif name in mechanisms.FIXED_GAINS:
            assert torch.equal(value, found[name])
    again = mechanisms.as_stored(mechanisms.as_trained(found, CONFIG), CONFIG)
    assert all(torch.allclose(value, again[name], rtol=1e-5) for name, value in found.items())
    tables = sum(value.numel() for name, value in state.items() if name.endswith((SCALES, SHIFTS)))
    plain = export(
        {k: v for k, v in state.items() if not k.endswith((SCALES, SHIFTS)) and "gain_" not in k},
        CONFIG.at_one_level,
        folder.parent,
        "plain",
        level=4.0,
        base=checkpoints.read_manifest(folder / f"{BASE}.json"),
    )
    more = checkpoints.read_manifest(folder / f"{NAME}.json").path.stat().st_size
    assert more - plain.with_suffix(".safetensors").stat().st_size < tables  # of a byte each


def test_every_level_is_a_network_of_its_own(codec, formula):
    """Levels that are mixed in a batch are coded and decoded as one by one, with few kept."""
    image = formula(40, 56)
    settings = [Setting(level=level) for level in (6, 0, 6)]
    engines._engine_of_level.cache_clear()

    files = codec.encode_batch([image] * 3, settings)
    back = codec.decode_batch(files)

    assert [codec.encode(image, setting) for setting in settings] == files
    assert 2 == len({data[13:] for data in files})
    for one, data in zip(back, files, strict=True):
        np.testing.assert_array_equal(codec.decode(data), one)
    for level in (1, 3):
        codec.encode(formula(16, 16), Setting(level=level))
    held = engines._engine_of_level.cache_info()
    assert held.maxsize == held.currsize == 3
    assert [float(level) for level in range(8)] == [s["level"] for s in codec.ladder()]
    assert [f"AG-VAE {codec.networks[0].model_id}", codec.networks[0].sha256] == [
        codec.version(),
        codec.weights_sha256,
    ]


def test_any_codec_of_the_family_decodes_its_files(codec, formula):
    """The file names weights and level; a decoder that knows neither codec nor level finds both."""
    data = codec.encode(formula(24, 40), Setting(level=5))
    other = type("Other", (AgvaeCodec,), {"name": "o", "variant": "gain-asym", "preset": "small"})()

    np.testing.assert_array_equal(codec.decode(data), other.decode(data))
    assert NAME in codec.facts(data)["weights"]


def test_the_decoder_computes_with_the_trained_network(codec, state):
    """What the engine runs at a level is, up to storage, what training saw there."""
    torch.manual_seed(2)
    net = mechanisms_net(state)
    x = torch.rand(1, 3, 64, 64)
    for level in (0, 7):
        wanted = net(x, torch.tensor([float(level)]), hard=True).x_hat
        [network] = [n for n in codec.networks if n.level == level]
        tensors = checkpoints.load(network)
        tensors.pop(checkpoints.Z_TABLES)
        plain = mechanisms_net(tensors, network.config)
        found = plain(x, torch.tensor([0.0]), hard=True).x_hat
        assert (wanted - found).abs().mean() < 0.05 * wanted.std()


def mechanisms_net(tensors, config=CONFIG):
    """Return a network with the weights that a file holds."""
    from bench.codecs.agvae.model.model import AGVAE

    net = AGVAE(config).eval().requires_grad_(requires_grad=False)
    net.load_state_dict(mechanisms.as_trained(tensors, config))
    return net


def test_levels_between_are_refused(codec, formula):
    """Neither encoder nor decoder takes a level that has no network, and says which have."""
    with pytest.raises(SettingError, match=r"level must be one of 0, 1, 2, .*, found 2.5"):
        codec.encode(formula(16, 16), Setting(level=2.5))
    header, payload = container.read(codec.encode(formula(16, 16), Setting(level=2)))
    for steps in (640, -256, 2048):
        forged = container.Header(
            header.model_id, header.width, header.height, steps, header.lanes, header.tables
        )
        with pytest.raises(DecodeError, match=f"level {steps / 256:g} is none .* 0, 1, 2"):
            codec.decode(container.write(forged, payload))


def test_the_model_id_covers_the_decoders_tables(state, folder, tmp_path):
    """A step of a shift or scale of h_s or g_s changes it; one of g_a or h_a does not."""
    base = checkpoints.read_manifest(folder / f"{BASE}.json")

    def model_id(name: str) -> str:
        moved = {key: value.clone() for key, value in state.items()}
        if name:
            moved[name].view(-1)[-1] += 2.0**-6
        path = export(moved, CONFIG, tmp_path, "x", base=base)
        return checkpoints.read_manifest(path).model_id

    plain = model_id("")
    for name in ("h_a.0.scales", "gain_y.gain"):
        assert plain == model_id(name)
    for name in ("g_s.0.0.shifts", "h_s.4.scales"):
        assert plain != model_id(name)


def test_damaged_tables_are_errors(folder):
    """Another version, a missing part, a stream that ends early, a scale that is no number."""
    stored, base = both(folder)

    with pytest.raises(Unavailable, match="of version 3, wanted 2"):
        difference.unpack({**stored, "version": torch.tensor(3)}, base, CONFIG)
    with pytest.raises(Unavailable, match="of version 2, wanted 1"):
        difference.unpack(stored, base, preset("small"))
    for name in ("gain_z.inverse", "g_a.0.bias.half", "columns", "offsets"):
        without = {key: value for key, value in stored.items() if key != name}
        with pytest.raises(DecodeError, match=f"damaged.*{name}"):
            difference.unpack(without, base, CONFIG)
    short = {**stored, "rows": stored["rows"][:-1]}
    fewer = {**stored, "offsets": stored["offsets"][:-8]}
    for changed in (short, fewer, {**stored, "stream": stored["stream"][:-40]}):
        with pytest.raises(DecodeError, match="damaged"):
            difference.unpack(changed, base, CONFIG)
    for added in (torch.full((1, 1, 2, 1), value) for value in (-0x3C00, 0x4000)):
        with pytest.raises(DecodeError, match=r"g_a.0.scales has a scale that is no number"):
            level_tables.unpack({"g_a.0.scales": added}, torch.zeros(1, dtype=torch.int16), 1)


def test_a_changed_file_or_base_is_unavailable(folder, tmp_path, monkeypatch):
    """A hash that is not the manifest's, of either file, is named; no level is computed from it."""
    copied = tmp_path / "agvae"
    shutil.copytree(folder, copied)
    monkeypatch.setattr(checkpoints, "folders", lambda: [copied])
    [*networks] = checkpoints.find("conditional-asym", preset="small", branch=True)
    assert 8 == len(networks)
    save_file({"base": torch.zeros(32, dtype=torch.uint8)}, copied / f"{NAME}.safetensors")
    with pytest.raises(Unavailable, match=f"{NAME}.safetensors: sha256 is"):
        checkpoints.load(networks[3])
    (copied / f"{BASE}.json").unlink()
    with pytest.raises(Unavailable, match=f"differences from {BASE} .*--only '{NAME}'"):
        checkpoints.find("conditional-asym", preset="small", branch=True)
