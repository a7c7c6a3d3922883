"""The base of learned codecs, by the ten lines of its documentation and random weights."""

from __future__ import annotations

import argparse
import dataclasses
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import bench
from bench import registry
from bench.codec import state_dict
from bench.codec.tensor_file import TensorFile
from bench.errors import DecodeError, EncodeError, SettingError, Unavailable
from bench.image import Image

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "own-networks.md"


@pytest.fixture(scope="module")
def folder(compressai: Callable[[str], object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example of the page in a file, with four random checkpoints beside it."""
    compressai("models")  # which warns when it is imported
    place = tmp_path_factory.mktemp("own")
    (block,) = re.findall(r"```python\n(# mine\.py\n.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (place / "mine.py").write_text(block)
    (place / "own_models.py").write_text((HERE / "own_models.py").read_text("utf-8"))
    (place / "ckpt").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(place))
        import own_models

        own_models.make(place / "ckpt")
        yield place


@pytest.fixture(scope="module")
def codec(folder: Path) -> bench.TorchCodec:
    """The class of the page."""
    import mine

    return mine.Mine()


@pytest.fixture(scope="module")
def crop(photo: Image) -> Image:
    """Small, and no multiple of the stride."""
    return photo[100:161, 150:221].copy()


def test_import_needs_no_torch():
    """`import bench` and the base class stay cheap."""
    code = "import sys, bench; bench.TorchCodec; sys.exit('torch' in sys.modules)"

    assert 0 == subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode


def test_only_qualities_with_weights_are_settings(codec: bench.TorchCodec):
    """A quality without weights is refused with the others, before anything is encoded."""
    with pytest.raises(SettingError, match=r"quality must be one of 1, 2, 3, 4, found 5"):
        registry.settings(codec, registry.Spec.parse("mine"), quality=[1, 5])


def test_ten_lines_are_a_codec(codec: bench.TorchCodec, crop: Image):
    """Any size survives, rates rise, every byte is accounted for, files are deterministic."""
    sizes = []
    for setting in codec.ladder():
        data = codec.encode(crop, setting)
        sizes.append(len(data))

        assert crop.shape == codec.decode(data).shape
        assert len(data) == sum(codec.ledger(data).values())
        assert codec.recognises(data)
        assert data == type(codec)().encode(crop, setting)
    assert [{"quality": q} for q in (1, 2, 3, 4)] == [dict(s) for s in codec.ladder()]
    assert sorted(set(sizes)) == sizes
    assert 18 <= codec.ledger(data)["header"] <= 22


def test_pixels_are_the_networks_own(codec: bench.TorchCodec, photo: Image):
    """On a multiple of the stride they equal those of compress and decompress."""
    import torch

    image, setting = photo[:64, :128].copy(), codec.ladder()[3]
    net = codec.network(setting)
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        out = net.compress(x)
        x_hat = net.decompress(**out)["x_hat"]
    data = codec.encode(image, setting)
    expected = (x_hat[0] * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()

    assert np.array_equal(expected, codec.decode(data))
    assert tuple(s[0] for s in out["strings"]) == TensorFile.unpack(data, 64).strings
    assert expected.std() > 0.5  # a flat picture would prove nothing


def test_damage_is_found_before_the_network_runs(
    codec: bench.TorchCodec, crop: Image, monkeypatch: pytest.MonkeyPatch
):
    """Every flipped bit and every truncation is a DecodeError, by checksum."""
    data = codec.encode(crop, codec.ladder()[0])
    monkeypatch.setattr(codec, "network", lambda *_: pytest.fail("the network was asked"))
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 << position % 8
        with pytest.raises(DecodeError):
            codec.decode(bytes(changed))
    for cut in range(0, len(data), 3):
        with pytest.raises(DecodeError):
            codec.decode(data[:cut])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": b"\0\0\0\0"}, "wants weights 00000000 at level 1"),
        ({"level": 2}, "at level 2, which are not among"),
        ({"width": 1 << 30}, "claims 1073741824x61 pixels"),
        ({"height": 0}, "claims 71x0 pixels"),
        ({"strings": (b"abc",)}, "wants 2 strings, found 1"),
        ({"strings": (b"",) * 5000}, "5000 strings"),
    ],
)
def test_lying_headers_are_refused(codec: bench.TorchCodec, crop: Image, changes: dict, words: str):
    """A header with a right checksum that contradicts itself or the weights is refused."""
    file = TensorFile.unpack(codec.encode(crop, codec.ladder()[0]), 64)
    values = {name: changes.get(name, getattr(file, name)) for name in file.__slots__}
    with pytest.raises(DecodeError, match=words):
        codec.decode(TensorFile(**values).pack())


@pytest.mark.parametrize("cut", [0, 3, 40])
def test_strings_that_end_early_are_read_as_if_zeros_followed(
    codec: bench.TorchCodec, crop: Image, cut: int
):
    """CompressAI's decoder would read foreign memory there, and could end the process."""
    file = TensorFile.unpack(codec.encode(crop, codec.ladder()[3]), 64)
    assert len(file.strings[0]) > 1000

    def decoded(latent: bytes, hyper: bytes) -> Image:
        changed = dataclasses.replace(file, strings=(latent, hyper))
        return codec.decode(changed.pack())

    latent, hyper = file.strings[0][:cut], file.strings[1][: cut // 2]
    expected = decoded(latent + bytes(100_000), hyper + bytes(100_000))

    assert np.array_equal(expected, decoded(latent, hyper))


def test_strings_of_a_loop_that_end_early_too(compressai: Callable[[str], object]):
    """An autoregressive network has its decoder made for each string."""
    import torch

    from bench.codec import rans_bounds

    models = compressai("models")
    torch.manual_seed(5)
    net = models.JointAutoregressiveHierarchicalPriors(8, 12).eval()
    with torch.no_grad():
        net.g_a[6].weight *= 100
    net.update()
    rans_bounds.harden(net)
    rans_bounds.expect(64 * 64)
    with torch.inference_mode():
        coded = net.compress(torch.rand(1, 3, 64, 64))
        found = [
            net.decompress([[coded["strings"][0][0][:9] + more], coded["strings"][1]], (1, 1))
            for more in (b"", bytes(100_000))
        ]

    assert rans_bounds.__name__ == compressai("models.google").RansDecoder.__module__
    assert torch.equal(found[0]["x_hat"], found[1]["x_hat"])


def test_other_weights_are_another_codec(folder: Path, codec: bench.TorchCodec, crop: Image):
    """The version changes with the content of any file, and files of the old weights are refused.

    Weights that change while they are used are refused as well.
    """
    import mine

    path = folder / "ckpt" / "random1.pth.tar"
    before, data = path.read_bytes(), codec.encode(crop, codec.ladder()[0])
    late = mine.Mine()
    late.version()
    try:
        path.write_bytes((folder / "ckpt" / "random2.pth.tar").read_bytes()[:-1] + b"x")
        other = mine.Mine()
        with pytest.raises(Unavailable, match=r"random1\.pth\.tar was changed while it was used"):
            late.encode(crop, late.ladder()[0])
        with pytest.raises(DecodeError, match="not among those of this codec"):
            other.decode(data)
    finally:
        path.write_bytes(before)

    assert codec.version() != other.version()
    assert not other.recognises(data)
    assert codec.weights_sha256 != other.weights_sha256


def test_missing_weights_and_qualities_are_named(folder: Path, codec: bench.TorchCodec):
    """Before anything is measured: the file, or the qualities that there are."""
    import mine

    class Missing(mine.Mine):
        weights = {1: "ckpt/nosuch.pth.tar"}  # noqa: RUF012

    with pytest.raises(Unavailable, match=r"nosuch\.pth\.tar"):
        Missing()
    with pytest.raises(SettingError, match=r"no weights of quality 9.*Known: 1, 2, 3, 4"):
        codec.network(bench.Setting(quality=9))


def test_shapes_that_do_not_follow_from_the_size_are_refused(
    codec: bench.TorchCodec, crop: Image, monkeypatch: pytest.MonkeyPatch
):
    """The decoder would be given others: an error of the encoder, not a file."""
    coded = {"strings": [[b"a"], [b"b"]], "shape": (1, 2)}  # of a picture of any size
    monkeypatch.setattr(codec, "compress", lambda *_: coded)
    monkeypatch.setattr(codec, "_forms", {})
    with pytest.raises(EncodeError, match="Set `stride`"):
        codec.encode(crop, codec.ladder()[0])


class _Runs:
    def __reduce__(self):
        return print, ("executed",)


def _saved(content: object, path: Path) -> bytes:
    import torch

    torch.save(content, path)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"state_dict": {}, "model": {}}, "several state dictionaries: state_dict, model"),
        ({"epoch": 3}, "no state dictionary: found a dictionary of 'epoch'"),
        ([1, 2], "no state dictionary: found an object of list"),
        (_Runs(), "would execute code when loaded, which is refused"),
    ],
)
def test_what_is_no_state_dictionary_is_told(tmp_path: Path, capfd, content: object, words: str):
    """Each in one line; a file that wants to execute code is never given the chance."""
    data = _saved(content, tmp_path / "x.pth")
    with pytest.raises(Unavailable, match=words) as caught:
        state_dict.read_state(data, "x.pth")

    assert "\n" not in str(caught.value)
    assert "executed" not in capfd.readouterr().out


@pytest.mark.parametrize("data", [b"", b"no checkpoint", pickle.dumps(3), b"PK\3\4" + bytes(90)])
@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
def test_damaged_files_are_told(data: bytes, name: str):
    """Whatever the bytes are."""
    with pytest.raises(Unavailable, match=rf"{name} (is damaged|holds)"):
        state_dict.read_state(data, name)


def test_wrappers_prefixes_and_safetensors_are_understood(tmp_path: Path):
    """DataParallel, torch.compile, a training script's dictionary, and safetensors."""
    import safetensors.torch
    import torch

    plain = {"a.weight": torch.ones(2), "a.bias": torch.zeros(2)}
    wrapped = {
        "network": {f"_orig_mod.module.{k}": v for k, v in plain.items()},
        "args": argparse.Namespace(lr=1e-4),
        "loss": np.float64(0.5),
    }
    for data, name in (
        (_saved(plain, tmp_path / "x"), "x"),
        (_saved(wrapped, tmp_path / "x"), "x"),
        (safetensors.torch.save(plain), "x.safetensors"),
    ):
        assert plain.keys() == state_dict.read_state(data, name).keys()
    broken = {**plain, "a.bias": torch.full((2,), float("nan"))}
    with pytest.raises(Unavailable, match=r"not finite, in a\.bias"):
        state_dict.read_state(_saved(broken, tmp_path / "x"), "x")


def test_half_matching_weights_are_refused():
    """Also where the network's own code loads them leniently, or not at all."""
    import torch

    def lenient(state):
        net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
        net.load_state_dict(state, strict=False)
        return net

    half = {"0.weight": torch.ones(2, 2), "0.bias": torch.ones(2), "head": torch.ones(1)}
    with pytest.raises(Unavailable, match=r"lacks 1\.weight, 1\.bias; head of it are not used"):
        state_dict.build(lenient, half, "x")
    with pytest.raises(Unavailable, match="its weights would be random"):
        state_dict.build(lambda _: torch.nn.Linear(2, 2), half, "x")
    with pytest.raises(Unavailable, match=r"does not fit the network .*KeyError"):
        state_dict.build(lambda state: state["nosuch"], half, "x")
