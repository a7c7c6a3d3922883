"""``compressai:arch=...,weights=...``: random checkpoints of an own subclass."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bench import registry
from bench.codec import Codec, Setting
from bench.codecs.zoo import architectures, checkpoints
from bench.errors import DecodeError, SettingError, Unavailable, UsageError
from bench.gate import diagnose
from bench.image import Image
from bench.measurement import repetition
from bench.measurement.plan import Curve, Plan

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def made(compressai: Callable[[str], object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``own.py`` and four random checkpoints in ``ckpt``."""
    compressai("zoo")
    folder = tmp_path_factory.mktemp("made")
    shutil.copy(HERE / "own_models.py", folder / "own.py")
    (folder / "ckpt").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        import own

        own.make(folder / "ckpt")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of it as the current folder; words are examined in this process, not another."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CODEC_FILES", "{}")
    monkeypatch.setattr(checkpoints, "details_of", lambda word: checkpoints.examine(word).json)
    registry.discover.cache_clear()
    yield tmp_path
    registry.discover.cache_clear()


def _create(word: str) -> Codec:
    return registry.create(registry.Spec.typed(word).name)


@pytest.fixture(scope="module")
def crop(photo: Image) -> Image:
    """Small, and no multiple of the stride."""
    return photo[100:161, 150:221].copy()


def test_an_own_class_with_four_checkpoints_is_a_codec(folder: Path, crop: Image):
    """Named by class and folder; rungs by file name and hash, in the order of their rates."""
    # By name the order would be another.
    (folder / "ckpt" / "random1.pth.tar").rename(folder / "ckpt" / "zlow.pth.tar")
    codec = _create("compressai:arch=own.py:OwnModel,weights=ckpt/*.pth.tar")
    names = [str(setting["checkpoint"]).split(" ")[0] for setting in codec.ladder()]
    sizes = [len(codec.encode(crop, setting)) for setting in codec.ladder()]
    data = codec.encode(crop, codec.ladder()[3])
    digest = checkpoints.file_sha256(folder / "ckpt" / "random4.pth.tar")

    assert "OwnModel-ckpt" == codec.name
    assert ["zlow.pth.tar", *(f"random{n}.pth.tar" for n in (2, 3, 4))] == names
    assert sorted(sizes) == sizes
    assert crop.shape == codec.decode(data).shape
    assert {"checkpoint": f"random4.pth.tar {digest[:8]}"} == dict(codec.ladder()[3])
    assert codec.facts(data)["checkpoint"] == f"random4.pth.tar {digest[:8]}"
    assert "OwnModel " in codec.version()
    assert [] == [key for key in ("quality", "level") if key in codec.ladder()[0]]


def test_the_experiment_names_files_where_not_all_were_measured(folder: Path):
    """The word names them all: a file that repeats all of them says no more."""
    codec = _create("compressai:arch=own.py:OwnModel,weights=ckpt/*.pth.tar")
    ladder = codec.ladder()
    every, some = (
        next(repetition._entries(folder, Plan([Curve(codec, tuple(rungs))], [], [])))
        for rungs in (ladder, ladder[::3])
    )

    assert {"codec": "compressai:arch=own.py:OwnModel,weights=ckpt/*.pth.tar"} == every
    assert {**every, "quality": [rung["checkpoint"] for rung in ladder[::3]]} == some


def test_pixels_equal_those_of_the_class(folder: Path, photo: Image):
    """The checkpoint that is named is the one that runs."""
    import torch

    codec = _create("compressai:arch=own.py:OwnModel,weights=ckpt/random4.pth.tar")
    image, (setting,) = photo[:64, :128].copy(), codec.ladder()
    state = torch.load(folder / "ckpt" / "random4.pth.tar", weights_only=True)["state_dict"]
    net = architectures.find("own.py:OwnModel", str(folder)).from_state_dict(state).eval()
    net.update(force=True)
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        x_hat = net.decompress(**net.compress(x))["x_hat"]
    expected = (x_hat[0] * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()

    assert "OwnModel-random4" == codec.name
    assert np.array_equal(expected, codec.decode(codec.encode(image, setting)))


def _save(arch: str, path: Path, **options) -> None:
    """Save a small random network of CompressAI's registry."""
    import torch

    torch.manual_seed(7)
    torch.save(architectures.find(arch, "")(**options).state_dict(), path)


SMALL = {"N": 8, "M": 12}
ARCHITECTURES = {
    "bmshj2018-factorized": (SMALL, 1),
    "bmshj2018-factorized-relu": (SMALL, 1),
    "bmshj2018-hyperprior": (SMALL, 1),
    "mbt2018-mean": (SMALL, 1),
    "mbt2018": (SMALL, 1),
    "cheng2020-anchor": ({"N": 8}, 1),
    "cheng2020-attn": ({"N": 8}, 1),
    "cheng2020-anchor-checkerboard": ({"N": 8}, 1),
    "elic2022-official": ({"N": 8}, 1),
    "elic2022-chandelier": ({"N": 8}, 1),
    "bmshj2018-hyperprior-vbr": ({**SMALL, "vr_entbttlnck": True}, 8),
    "mbt2018-mean-vbr": (SMALL, 8),
    "mbt2018-vbr": (SMALL, 8),
}
QUICK = (
    "bmshj2018-factorized",  # one string
    "cheng2020-anchor-checkerboard",  # nested shapes
    "bmshj2018-hyperprior-vbr",  # several rates, and tables of each
)


@pytest.mark.parametrize(
    "arch",
    [a if a in QUICK else pytest.param(a, marks=pytest.mark.slow) for a in ARCHITECTURES],
)
def test_every_image_architecture_of_the_registry(folder: Path, arch: str, photo: Image):
    """Widths come from the shapes; strings and shapes of any form are in the file."""
    options, levels = ARCHITECTURES[arch]
    _save(arch, folder / "x.pth", **options)
    codec = _create(f"compressai:arch={arch},weights=x.pth")
    first, last, image = codec.ladder()[0], codec.ladder()[-1], photo[:50, :70].copy()
    files = [codec.encode(image, setting) for setting in (first, last, first)]
    other = _fresh(codec)

    assert levels == len(codec.ladder())
    assert files[0] == files[2]  # the tables of a level are set again
    assert (levels > 1) == (files[0] != files[1])
    for data in files[1:]:
        assert np.array_equal(codec.decode(data), other.decode(data))
    assert image.shape == other.decode(files[0]).shape


def _fresh(codec: Codec) -> Codec:
    return type(codec)()


def test_no_architecture_for_images_is_forgotten(compressai: Callable[[str], object]):
    """The list above is the registry's, less point clouds and video."""
    compressai("zoo")
    wanted = {
        name
        for name, cls in compressai("registry").MODELS.items()
        if not cls.__module__.startswith(architectures._NO_IMAGES)
    }

    assert wanted == ARCHITECTURES.keys()


WRONG = [
    ("compressai", "has no arch="),
    ("compressai:arch=mbt2018-mean", "has no weights=: random weights are never measured"),
    ("compressai:weights=ckpt/*", "has no arch="),
    ("compressai:arhc=mbt2018-mean,weights=ckpt/*", "unknown key 'arhc'. Did you mean arch"),
    ("compressai:arch=mbt2018-mean,arch=mbt2018,weights=x", "says arch= twice"),
    ("compressai:arch=mbt2018-mean,weights=", "says weights= nothing"),
    ("compressai:arch=mbt2018-mean,weights=x,stride=0", "stride must be"),
    ("compressai:arch=mbt2018-mean,weights=nosuch/*.pth", "no such file"),
    ("compressai:arch=mbt2018-mean,weights=ckpt", "no such file"),
    ("compressai:arch=mbt2018-men,weights=ckpt/*", "no architecture .* Did you mean mbt2018-mean"),
    ("compressai:arch=ssf2020,weights=ckpt/*", "no architecture 'ssf2020' for images"),
    ("compressai:arch=own.py:Nosuch,weights=ckpt/*", "has no class or function Nosuch"),
    ("compressai:arch=nosuch.py:OwnModel,weights=ckpt/*", r"nosuch\.py: no such file"),
    ("compressai:arch=nosuch.models:X,weights=ckpt/*", "nosuch.models cannot be imported"),
    ("compressai:arch=broken.py:X,weights=ckpt/*", "cannot be imported .ZeroDivisionError"),
    ("compressai:arch=exits.py:X,weights=ckpt/*", "cannot be imported .SystemExit"),
    ("compressai:arch=mbt2018,weights=ckpt/*", "random1.* does not fit the network"),
    ("compressai:arch=own.py:OwnModel,weights=half.pth", r"half\.pth does not fit .*h_s\.0"),
    ("compressai:arch=lenient.py:Lenient,weights=half.pth", r"in part: it lacks h_s\.0\.weight"),
    ("compressai:arch=own.py:OwnModel,weights=evil.pth", "would execute code when loaded"),
    ("compressai:arch=own.py:OwnModel,weights=cut.pth", r"cut\.pth is damaged"),
    ("compressai:arch=own.py:OwnModel,weights=*.pth*", "are the same file"),
    ("compressai:arch=own.py:OwnModel,weights=ckpt/*1*,name=jpeg", "another codec is named jpeg"),
    ("compressai:arch=own.py:OwnModel,weights=ckpt/*1*,name=a b", "its name is 'a b'"),
]


class _Evil:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize(("word", "words"), WRONG)
def test_a_wrong_word_is_one_line(folder: Path, word: str, words: str):
    """Before anything is measured, and nothing of a file is executed."""
    import torch

    whole = torch.load(folder / "ckpt" / "random1.pth.tar", weights_only=True)["state_dict"]
    if "lenient" in word:
        (folder / "lenient.py").write_text(
            "import own, torch\n\n\nclass Lenient(own.OwnModel):\n"
            "    def load_state_dict(self, state, strict=True):\n"
            "        return torch.nn.Module.load_state_dict(self, state, strict=False)\n"
        )
    torch.save({k: v for k, v in whole.items() if not k.startswith("h_s")}, folder / "half.pth")
    torch.save(_Evil(), folder / "evil.pth")
    (folder / "cut.pth").write_bytes((folder / "ckpt" / "random1.pth.tar").read_bytes()[:5000])
    if "same" in words:
        for name in ("a.pth", "b.pth"):
            shutil.copy(folder / "ckpt" / "random1.pth.tar", folder / name)
    (folder / "broken.py").write_text("1 / 0")
    (folder / "exits.py").write_text("raise SystemExit(0)")
    with pytest.raises((UsageError, Unavailable), match=words) as caught:
        _create(word)

    assert "\n" not in str(caught.value)
    assert not (folder / "executed").exists()
    assert not registry.from_file.known() or "name" in word


def test_commas_brackets_and_equal_names_in_paths(folder: Path):
    """A path is a path: of files that share a name the folder is told as well."""
    for number, place in enumerate(("a,b", "c[1]"), 1):
        (folder / place).mkdir()
        shutil.copy(folder / "ckpt" / f"random{number}.pth.tar", folder / place / "best.pth.tar")
    one = _create("compressai:arch=own.py:OwnModel,weights=a,b/best.pth.tar,name=one")
    two = _create("compressai:arch=own.py:OwnModel,weights=c[1]/best.pth.tar,name=two")
    both = _create("compressai:arch=own.py:OwnModel,weights=*/best.pth.tar,name=both")

    assert ["best.pth.tar"] == [str(s["checkpoint"]).split(" ")[0] for s in one.ladder()]
    assert ["a,b/best.pth.tar", "c[1]/best.pth.tar"] == [
        str(s["checkpoint"]).rpartition(" ")[0] for s in both.ladder()
    ]
    assert one.ladder() != two.ladder()


def test_another_checkpoint_of_the_same_name_is_another_cell(folder: Path, crop: Image):
    """Setting, hash and file say so; the old file is refused."""
    word = "compressai:arch=own.py:OwnModel,weights=ckpt/random1.pth.tar"
    before = _create(word)
    data = before.encode(crop, before.ladder()[0])
    shutil.copy(folder / "ckpt" / "random2.pth.tar", folder / "ckpt" / "random1.pth.tar")
    with pytest.raises(Unavailable, match="was changed while it was used"):
        _fresh(before).encode(crop, before.ladder()[0])
    os.environ["BENCH_CODEC_FILES"] = "{}"
    registry.discover.cache_clear()
    after = _create(word)

    assert before.ladder() != after.ladder()
    assert before.weights_sha256 != after.weights_sha256
    assert before.name == after.name
    with pytest.raises(DecodeError, match="not among those of this codec"):
        after.decode(data)
    with pytest.raises(SettingError):
        after.encode(crop, before.ladder()[0])


def test_a_notebook_may_train_on(folder: Path):
    """Named again in one process, new checkpoints are examined anew; the same are not."""
    word = "compressai:arch=own.py:OwnModel,weights=ckpt/random[12].pth.tar"
    first = _create(word).ladder()
    known = os.environ["BENCH_CODEC_FILES"]
    again = _create(word).ladder()

    assert first == again
    assert known == os.environ["BENCH_CODEC_FILES"]
    shutil.copy(folder / "ckpt" / "random3.pth.tar", folder / "ckpt" / "random1.pth.tar")
    assert first != _create(word).ladder()


def test_edited_code_is_another_version(folder: Path):
    """The class's file and what it imports from beside it; an edit meanwhile is refused."""
    with (folder / "own.py").open("a") as file:
        file.write("\nimport beside_own\n")
    (folder / "beside_own.py").write_text("x = 1")
    word = "compressai:arch=own.py:OwnModel,weights=ckpt/random1.pth.tar"
    codec = _create(word)
    before = codec.version()
    (folder / "beside_own.py").write_text("x = 2  # edited")
    with pytest.raises(Unavailable, match=r"beside_own\.py was changed while it was used"):
        _fresh(codec)
    os.environ["BENCH_CODEC_FILES"] = "{}"
    registry.discover.cache_clear()

    assert before != _create(word).version()


def test_a_function_and_a_module_build_networks(folder: Path):
    """A function takes the state dictionary; a module of the current folder is found."""
    (folder / "pkg_of_mine").mkdir()
    (folder / "pkg_of_mine" / "__init__.py").write_text("")
    (folder / "pkg_of_mine" / "models.py").write_text(
        "from compressai.models import MeanScaleHyperprior\n\n\n"
        "def network(state):\n"
        "    net = MeanScaleHyperprior(8, 12)\n"
        "    net.load_state_dict(state)\n"
        "    return net\n"
    )
    codec = _create("compressai:arch=pkg_of_mine.models:network,weights=ckpt/random1.pth.tar")

    assert "network-random1" == codec.name
    assert {"models.py", "__init__.py"} == {Path(path).name for path, _ in codec.details.code}


def test_the_gate_tries_other_checkpoints(folder: Path):
    """Where a cell differs; a rate that is a name has no distance."""
    codec = _create("compressai:arch=own.py:OwnModel,weights=ckpt/random[12].pth.tar")
    first, second = codec.ladder()

    assert [("checkpoint", second["checkpoint"])] == list(diagnose._neighbours(codec, first))


def test_a_network_that_ends_its_process_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """The real thing: what is named is examined in a process apart."""
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BENCH_CODEC_FILES", "{}")
    (folder / "kills.py").write_text("import os; os._exit(0)")
    with pytest.raises(UsageError, match="process that loads it ended with 0"):
        registry.Spec.typed("compressai:arch=kills.py:X,weights=ckpt/random1.pth.tar")


def test_other_options_of_codecs_are_read_as_before(folder: Path):
    """``compressai-mbt2018-mean:metric=mse`` names a codec of the zoo."""
    assert "compressai-mbt2018-mean" == registry.Spec.typed("compressai-mbt2018-mean").name
    assert Setting(metric="mse") == registry.Spec.typed("compressai-mbt2018:metric=mse").options
