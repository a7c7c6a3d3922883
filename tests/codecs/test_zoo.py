"""CompressAI's zoo with random weights of the right names: the whole path but the training."""

from __future__ import annotations

import functools
import hashlib
import http.server
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench import rate_search, registry
from bench.codec import Codec, Setting
from bench.codecs import _compressai
from bench.codecs.zoo import codec as zoo
from bench.codecs.zoo import container
from bench.codecs.zoo import weights as _zoo_weights
from bench.errors import DecodeError, SettingError, Unavailable, UsageError
from bench.image import Image

ARCHITECTURES = [c for c in vars(zoo).values() if isinstance(c, type) and "arch" in vars(c)]
RANDOM = ("bmshj2018-factorized", "mbt2018-mean", "mbt2018")
QUALITY = 1


def _random_weights(arch: str, folder: Path) -> Path:
    """Write a random state dictionary of ``arch`` under a name as CompressAI's."""
    import torch

    torch.manual_seed(sum(arch.encode()))
    images = _compressai.load("zoo.image")
    net = images.model_architectures[arch](*images.cfgs[arch][QUALITY])
    with torch.no_grad():
        net.g_a[6].weight *= 40  # untrained latents would all round to zero
    net.update()
    path = folder / "unnamed"
    torch.save(net.state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    stem = next(cls.stems[0] for cls in ARCHITECTURES if cls.arch == arch)
    return path.rename(folder / f"{stem}-{QUALITY}-{digest[:8]}.pth.tar")


@pytest.fixture(scope="module", autouse=True)
def folder(compressai: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """$BENCH_WEIGHTS/compressai with three random models, and empty caches."""
    base = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_WEIGHTS", str(base))
        patch.setenv("XDG_CACHE_HOME", str(base / "cache"))
        patch.delenv("TORCH_HOME", raising=False)
        (base / "compressai").mkdir()
        for arch in RANDOM:
            _random_weights(arch, base / "compressai")
        yield base / "compressai"


@functools.cache
def _codec(name: str) -> Codec:
    return registry.create(name)


@pytest.fixture(params=RANDOM)
def codec(request, folder: Path) -> Codec:
    return _codec(f"compressai-{request.param}")


def _encode(codec: Codec, image: Image) -> bytes:
    return codec.encode(image, registry.complete(codec, Setting(quality=QUALITY)))


@pytest.fixture(scope="module")
def crop(photo: Image) -> Image:
    """Small, and no multiple of a stride."""
    return photo[100:161, 150:221].copy()


def test_only_qualities_with_weights_are_settings(codec: Codec):
    """What has no weights here is refused before a run, and no search tries it."""
    with pytest.raises(SettingError, match=r"quality must be one of 1, found 4"):
        registry.complete(codec, Setting(quality=4))
    with pytest.raises(SettingError, match=r"metric must be one of mse, found"):
        registry.complete(codec, Setting(metric="ms-ssim"))
    assert Setting(quality=QUALITY, metric="mse") == registry.complete(codec, Setting())
    assert ([QUALITY], False) == rate_search._values(codec)


def test_importing_needs_no_torch():
    """Discovery of the zoo, and of weights, imports neither torch nor CompressAI."""
    code = (
        "import sys\nimport bench.codecs.zoo.codec as zoo\nzoo.MeanScale().ladder()\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'compressai')))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)

    assert done.returncode == 0


def test_without_weights_the_reason_says_where_and_how(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """The reason names the file, the places and the command."""
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(Unavailable) as caught:
        zoo.MeanScale()

    assert "looked for mbt2018-mean-*.pth.tar" in str(caught.value)
    assert str(tmp_path / "compressai") in str(caught.value)
    assert str(caught.value).endswith("bench fetch compressai-mbt2018-mean")


def test_every_published_file_is_known():
    """Our names match each of CompressAI's files, for the right model, metric and quality."""
    urls = _compressai.load("zoo.image").model_urls
    assert {cls.arch for cls in ARCHITECTURES} == set(urls)
    for cls in ARCHITECTURES:
        for metric, files in urls[cls.arch].items():
            for quality, url in files.items():
                ((key, weights),) = _zoo_weights._parse(Path(Path(url).name), cls.stems)

                assert (metric, quality) == key
                assert weights.published


def test_models_have_distinct_numbers():
    """A file's model number names one architecture."""
    assert len({cls.model for cls in ARCHITECTURES}) == len(ARCHITECTURES) == 6


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (13, 8), (61, 71), (64, 64), (65, 128)])
def test_any_size_survives(codec: Codec, photo: Image, shape: tuple[int, int]):
    """Padding goes in and comes off; every byte of the file is in the ledger."""
    image = photo[50 : 50 + shape[0], 60 : 60 + shape[1]]
    data = _encode(codec, image)
    parts = codec.ledger(data)

    assert image.shape == codec.decode(data).shape
    assert len(data) == sum(parts.values())
    assert 20 <= parts["header"] <= 32
    assert parts["payload"] > 0


def test_pixels_are_compressais_own(codec: Codec, photo: Image):
    """On a multiple of the stride the picture equals CompressAI's compress and decompress."""
    import torch

    image = photo[:64, :128]
    net = codec.network(Setting(quality=QUALITY))
    x = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        out = net.compress(x)
        x_hat = net.decompress(**out)["x_hat"]
    expected = (x_hat[0].permute(1, 2, 0).clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    data = _encode(codec, image)

    assert np.array_equal(expected, codec.decode(data))
    assert sum(len(string[0]) for string in out["strings"]) == (
        len(data) - codec.ledger(data)["header"]
    )
    assert expected.std() > 1  # a flat picture would prove nothing


def test_encoding_is_deterministic(codec: Codec, crop: Image):
    """Another instance writes the same bytes."""
    assert _encode(codec, crop) == _encode(registry.create(codec.name), crop)


@pytest.mark.slow
def test_fresh_process_decodes_the_same(folder: Path, crop: Image, tmp_path: Path):
    """The files and the weights suffice, in a process that saw no encoder."""
    names = [f"compressai-{arch}" for arch in RANDOM]
    files = {name: _encode(_codec(name), crop) for name in names}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    code = (
        "import sys, warnings\nwarnings.simplefilter('ignore')\nfrom pathlib import Path\n"
        "from bench import registry\n"
        "for name in sys.argv[1:]:\n"
        "    image = registry.create(name).decode(Path(name).read_bytes())\n"
        "    Path(name + '.rgb').write_bytes(image.tobytes())\n"
    )
    subprocess.run([sys.executable, "-c", code, *names], cwd=tmp_path, check=True, timeout=120)

    for name, data in files.items():
        assert _codec(name).decode(data).tobytes() == (tmp_path / f"{name}.rgb").read_bytes()


def test_damage_is_found_before_the_network_runs(
    codec: Codec, crop: Image, monkeypatch: pytest.MonkeyPatch
):
    """Every flipped bit and every truncation is a DecodeError, by checksum."""
    data = _encode(codec, crop)
    monkeypatch.setattr(codec, "network", lambda *_: pytest.fail("the network was asked"))
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 << position % 8
        with pytest.raises(DecodeError):
            codec.decode(bytes(changed))
    for cut in range(0, len(data), 7):
        with pytest.raises(DecodeError):
            codec.decode(data[:cut])


def test_another_models_file_is_refused(folder: Path, crop: Image):
    """A file of one architecture is not decoded by another, and not recognised."""
    data = _encode(_codec("compressai-mbt2018-mean"), crop)
    other = _codec("compressai-bmshj2018-factorized")

    assert not other.recognises(data)
    with pytest.raises(DecodeError, match="codec that wrote it"):
        other.decode(data)


def test_files_are_those_of_the_first_day():
    """The zoo's own container, byte for byte: results that are stored stay comparable."""
    file = container.File(
        version=1,
        model=3,
        metric=1,
        quality=5,
        weights=bytes([1, 2, 3, 4]),
        width=451,
        height=300,
        shape=(5, 8),
        strings=(b"latent", b"hyper"),
    )
    expected = "4341495a0103010501020304c303ac020508020605" + (b"latent" + b"hyper").hex()

    assert expected + "3ebcb060" == file.pack().hex()
    assert file == container.File.unpack(file.pack())


def _repacked(data: bytes, **changes) -> bytes:
    file = container.File.unpack(data)
    values = {name: changes.get(name, getattr(file, name)) for name in file.__slots__}
    return container.File(**values).pack()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": b"\0\0\0\0"}, "wants weights 00000000"),
        ({"shape": (500, 500)}, "need a latent"),
        ({"width": 1 << 30}, "claims 1073741824x61 pixels"),
        ({"width": 0}, "claims 0x61 pixels"),
        ({"strings": (b"abc",)}, "found .* and 1"),
        ({"strings": (b"",) * 3}, "3 strings"),
        ({"metric": 9}, "wants format and model"),
        ({"version": 2}, "wants format and model"),
    ],
)
def test_lying_headers_are_refused(folder: Path, crop: Image, changes: dict, words: str):
    """A header with a right checksum that contradicts itself or the weights is refused."""
    codec = _codec("compressai-mbt2018-mean")
    with pytest.raises(DecodeError, match=words):
        codec.decode(_repacked(_encode(codec, crop), **changes))


def test_missing_quality_is_named(folder: Path, crop: Image):
    """The ladder has what is available; another quality says which weights to fetch."""
    codec = _codec("compressai-mbt2018-mean")

    assert [Setting(quality=QUALITY, metric="mse")] == list(codec.ladder())
    with pytest.raises(Unavailable, match="no weights of quality 8 for ms-ssim"):
        codec.encode(crop, Setting(quality=8, metric="ms-ssim"))


def test_damaged_weights_are_refused(folder: Path, crop: Image, tmp_path: Path, monkeypatch):
    """A file whose sha256 is not as its name says is never loaded."""
    (source,) = folder.glob("mbt2018-mean-1-*")
    (tmp_path / "compressai").mkdir()
    (tmp_path / "compressai" / source.name).write_bytes(source.read_bytes()[:-1])
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(Unavailable, match="is damaged: its sha256 begins with"):
        _encode(zoo.MeanScale(), crop)


def test_weights_of_another_model_are_refused(
    folder: Path, crop: Image, tmp_path: Path, monkeypatch
):
    """A whole file that is no state dictionary of the architecture is told by its name."""
    (source,) = folder.glob("bmshj2018-factorized-prior-1-*")
    (tmp_path / "compressai").mkdir()
    name = source.name.replace("bmshj2018-factorized-prior", "mbt2018-mean")
    (tmp_path / "compressai" / name).write_bytes(source.read_bytes())
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(Unavailable, match="is no state dictionary of mbt2018-mean"):
        _encode(zoo.MeanScale(), crop)


def test_version_tells_own_weights_from_published(folder: Path, tmp_path: Path, monkeypatch):
    """Weights that CompressAI does not publish stand in the version, and so in the label."""
    (own,) = folder.glob("mbt2018-mean-1-*")
    assert (
        _codec("compressai-mbt2018-mean")
        .version()
        .endswith(f", own weights {own.name.split('-')[3][:8]}")
    )
    (tmp_path / "compressai").mkdir()
    url = _compressai.load("zoo.image").model_urls["mbt2018-mean"]["mse"][1]
    (tmp_path / "compressai" / Path(url).name).touch()
    (tmp_path / "compressai" / own.name).touch()
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path))

    assert re.fullmatch(r"compressai [\d.]+", zoo.MeanScale().version())


def test_caveat_stands_beside_the_numbers(folder: Path):
    """The note says that another device may not decode the file."""
    assert "device" in _codec("compressai-mbt2018-mean").note()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A web server on this machine; yields its address."""
    monkeypatch.delenv("BENCH_OFFLINE", raising=False)
    (tmp_path / "web").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_) -> None:
            pass

    handler = functools.partial(Quiet, directory=tmp_path / "web")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def _publish(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    table = _compressai.load("zoo.image").model_urls
    monkeypatch.setitem(table, "mbt2018-mean", {"mse": {QUALITY: url}})


def test_fetch_downloads_verifies_and_reuses(server: str, tmp_path: Path, monkeypatch):
    """Right bytes land in the cache under their name; a second call asks nobody."""
    content = b"weights, let us say"
    name = f"mbt2018-mean-1-{hashlib.sha256(content).hexdigest()[:8]}.pth.tar"
    (tmp_path / "web" / name).write_bytes(content)
    _publish(monkeypatch, f"{server}/{name}")
    path = _zoo_weights.fetch_weights("mbt2018-mean", QUALITY)

    assert content == path.read_bytes()
    assert path.is_relative_to(tmp_path / "cache")
    (tmp_path / "web" / name).unlink()
    assert [path] == zoo.fetch("compressai-mbt2018-mean")


def test_fetch_refuses_wrong_bytes(server: str, tmp_path: Path, monkeypatch):
    """What does not hash as its name says is not kept."""
    name = "mbt2018-mean-1-00000000.pth.tar"
    (tmp_path / "web" / name).write_bytes(b"something else")
    _publish(monkeypatch, f"{server}/{name}")
    with pytest.raises(Unavailable, match="wanted 00000000"):
        _zoo_weights.fetch_weights("mbt2018-mean", QUALITY)

    assert [] == [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_fetch_without_a_network_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nobody answers: the error names the host and where a copy may be put."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    _publish(monkeypatch, "http://127.0.0.1:9/mbt2018-mean-1-00000000.pth.tar")
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9 .* put the file into"):
        _zoo_weights.fetch_weights("mbt2018-mean", QUALITY)


def test_fetch_of_nothing_published_is_refused():
    """Cheng's models have six qualities, and a codec of another file is not of the zoo."""
    with pytest.raises(UsageError, match=r"unknown zoo codec 'jpeg'\. Known: compressai-"):
        zoo.fetch("jpeg")
    with pytest.raises(Unavailable, match="Its qualities: 1, 2, 3, 4, 5, 6"):
        _zoo_weights.fetch_weights("cheng2020-attn", 8)
