"""Finding codecs in the folder and in other packages, and reading what ``--codec`` says."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import bench
from bench import errors, registry
from bench.codec import Setting
from bench.errors import BenchError, SettingError, Unavailable, UsageError
from bench.registry import Spec

CODEC = """
from bench.codec import Codec, Parameter, Setting

class {cls}(Codec):
    name = "{name}"
    rate = "step"
    parameters = (Parameter("step", 4, low=1, high=64), Parameter("mode", "fast"))
    def ladder(self):
        return [Setting(step=s) for s in (16, 4, 1)]
    def version(self):
        return "{name} 1.0"
    def encode(self, image, setting):
        return b""
    def decode(self, data):
        raise NotImplementedError
"""


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Nothing that a test discovered stays."""
    registry.discover.cache_clear()
    yield
    registry.discover.cache_clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty ``codecs/`` in the place of the real one."""
    place = tmp_path / "codecs"
    place.mkdir()
    before = {name for name in sys.modules if name.startswith("bench.codecs")}
    package = importlib.import_module("bench.codecs")
    monkeypatch.setattr(registry, "_FOLDER", place)
    monkeypatch.setattr(package, "__path__", [str(place)])
    yield place
    for name in {name for name in sys.modules if name.startswith("bench.codecs")} - before:
        del sys.modules[name]


def _drop(folder: Path, stem: str, code: str) -> None:
    path = folder / stem
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(code))
    importlib.invalidate_caches()


def _install(folder: Path, point: str) -> None:
    """Make ``folder`` look like a site directory with a distribution that has ``point``."""
    info = folder / "other_codecs-2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-codecs\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text(f"[bench.codecs]\n{point}\n")
    importlib.invalidate_caches()


def _ours() -> dict[str, registry.Found]:
    """Return what was found, less what packages of this environment bring."""
    return {name: item for name, item in registry.discover().items() if "zz" in name}


def test_a_dropped_file_is_a_codec(folder: Path):
    """One file in the folder, and no list to edit."""
    assert {} == _ours()
    _drop(folder, "zz_quick.py", CODEC.format(cls="Quick", name="zz-quick"))
    registry.discover.cache_clear()
    codec = registry.create("zz-quick")

    assert {"zz-quick"} == set(_ours())
    assert codec.label(Setting()) == "zz-quick (zz-quick 1.0)"
    assert registry.discover()["zz-quick"].source == "codecs/zz_quick"


def test_a_dropped_package_is_a_codec(folder: Path):
    """A folder with __init__.py re-exports its codec from inside; helpers do not count."""
    _drop(folder, "zz_deep/_core.py", CODEC.format(cls="Deep", name="zz-deep"))
    _drop(folder, "zz_deep/__init__.py", "from bench.codecs.zz_deep._core import Deep")
    _drop(folder, "_zz_helper.py", CODEC.format(cls="Hidden", name="zz-hidden"))
    _drop(folder, "zz_no_package/note.md", "text")

    assert {"zz-deep"} == set(_ours())


def test_one_file_may_hold_several(folder: Path):
    """Each class with a name of its own is a codec; a base without one and an alias are not."""
    code = CODEC.format(cls="First", name="zz-first") + (
        "class Second(First):\n    name = 'zz-second'\n"
        "class Unnamed(First):\n    pass\n"
        "Alias = Second\n"
    )
    _drop(folder, "zz_two.py", code)

    assert {"zz-first", "zz-second"} == set(_ours())


def test_an_imported_codec_is_not_found_twice(folder: Path):
    """A codec imported by a file whose name begins its own module's name is not that file's."""
    _drop(folder, "zz_jp2000.py", CODEC.format(cls="Long", name="zz-long"))
    _drop(
        folder,
        "zz_jp.py",
        "from bench.codecs.zz_jp2000 import Long\n" + CODEC.format(cls="Short", name="zz-short"),
    )

    assert {"zz-long", "zz-short"} == set(_ours())
    assert _ours()["zz-long"].source == "codecs/zz_jp2000"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import zz_missing_library", "No module named 'zz_missing_library'"),
        ("raise ImportError('pip install it')", "pip install it"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("class (", "SyntaxError: "),
        ("VALUE = 1", "defines no subclass of bench.codec.Codec"),
    ],
)
def test_a_broken_file_is_unavailable_with_its_reason(folder: Path, code: str, words: str):
    """A file that cannot be imported costs its own codec only."""
    _drop(folder, "zz_broken.py", code)
    _drop(folder, "zz_sound.py", CODEC.format(cls="Sound", name="zz-sound"))

    assert {"zz_broken", "zz-sound"} == set(_ours())
    with pytest.raises(Unavailable, match="codec zz_broken is unavailable") as caught:
        registry.create("zz_broken")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_constructor_may_say_unavailable(folder: Path):
    """Unavailable passes through, and a late ImportError becomes it."""
    code = CODEC.format(cls="Base", name="zz-base") + textwrap.dedent("""
        from bench.errors import Unavailable

        class Weightless(Base):
            name = "zz-weightless"
            def __init__(self):
                raise Unavailable("no weights", "Fetch them.")

        class Late(Base):
            name = "zz-late"
            def __init__(self):
                import zz_missing_library
    """)
    _drop(folder, "zz_late.py", code)
    with pytest.raises(Unavailable, match=r"no weights\. Fetch them\."):
        registry.create("zz-weightless")
    with pytest.raises(Unavailable, match="zz-late is unavailable: No module named"):
        registry.create("zz-late")


def test_the_second_codec_of_one_name_is_unavailable(folder: Path):
    """The first keeps the name; the other is listed with the reason, which names the first."""
    _drop(folder, "zz_one.py", CODEC.format(cls="One", name="zz-same"))
    _drop(folder, "zz_two.py", CODEC.format(cls="Two", name="zz-same"))
    found = _ours()

    assert {"zz-same": "codecs/zz_one", "zz-same@codecs_zz_two": "codecs/zz_two"} == {
        name: item.source for name, item in found.items()
    }
    assert "zz-same 1" in registry.create("zz-same").version()
    with pytest.raises(Unavailable, match="another codec is named zz-same, that of codecs/zz_one"):
        registry.create("zz-same@codecs_zz_two")


def test_a_built_in_codec_keeps_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A plug-in called jpeg does not replace ours, whatever its entry point is called."""
    monkeypatch.syspath_prepend(tmp_path)
    _drop(tmp_path, "zz_clash.py", CODEC.format(cls="Other", name="jpeg"))
    _install(tmp_path, "zz-clash = zz_clash:Other")

    assert "codecs/jpeg" == registry.discover()["jpeg"].source
    with pytest.raises(Unavailable, match="another codec is named jpeg, that of codecs/jpeg"):
        registry.create("jpeg@other-codecs")


BREAK = {
    "exits": "raise SystemExit(0)",
    "odd": CODEC.format(cls="C", name="zz odd\\udcff\\x1b[31m"),
    "long": CODEC.format(cls="C", name="zz" * 40),
    "no-text": CODEC.format(cls="C", name="zz").replace('"zz"\n', "5\n", 1),
    "abstract": CODEC.format(cls="C", name="zz-abstract").replace("def decode", "def other"),
    "suffix": CODEC.format(cls="C", name="zz-suffix") + "    suffix = None\n",
    "tuple": CODEC.format(cls="C", name="zz-tuple") + "    devices = 'cpu'\n",
    "devices": CODEC.format(cls="C", name="zz-devices") + "    devices = ()\n",
    "default": CODEC.format(cls="C", name="zz-default") + "    in_default_run = 'yes'\n",
    "parameters": CODEC.format(cls="C", name="zz-par") + "    parameters = (1,)\n",
    "version": CODEC.format(cls="C", name="zz-version") + "    format_version = '1'\n",
    "property": CODEC.format(cls="C", name="zz-prop")
    + "    title = property(lambda self: 1 / 0)\n",
    "init": CODEC.format(cls="C", name="zz-init") + "    def __init__(self):\n        1 / 0\n",
    "init-exit": CODEC.format(cls="C", name="zz-ie") + "    def __init__(self):\n        exit()\n",
    "ver-exit": CODEC.format(cls="C", name="zz-ve") + "    def version(self):\n        exit()\n",
    "ver-int": CODEC.format(cls="C", name="zz-vi") + "    def version(self):\n        return 5\n",
    "empty": CODEC.format(cls="C", name="zz-empty") + "    def ladder(self):\n        return []\n",
    "none": CODEC.format(cls="C", name="zz-none") + "    def ladder(self):\n        pass\n",
    "dicts": CODEC.format(cls="C", name="zz-d") + "    def ladder(self):\n        return [{}]\n",
    "nan": CODEC.format(cls="C", name="zz-nan")
    + "    def ladder(self):\n        return [Setting(step=float('nan'))]\n",
    "range": CODEC.format(cls="C", name="zz-r")
    + "    def ladder(self):\n        return [Setting(step=99)]\n",
    "label": CODEC.format(cls="C", name="zz-label") + "    def label(self, s):\n        1 / 0\n",
    "bytes": CODEC.format(cls="C", name="zz-b")
    + "    def describe(self, s):\n        return b'x'\n",
}


@pytest.mark.parametrize("kind", BREAK)
def test_a_broken_codec_is_unavailable_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
):
    """Constructor, version, ladder, label, class attributes, import: each fault costs one codec."""
    monkeypatch.syspath_prepend(tmp_path)
    _drop(tmp_path, f"zzb_{kind.replace('-', '_')}.py", BREAK[kind])
    _install(tmp_path, f"zz-{kind} = zzb_{kind.replace('-', '_')}:C")
    found = _ours()
    (name,) = found
    with pytest.raises(Unavailable) as caught:
        registry.create(name)

    assert str(caught.value).startswith(f"codec {name} is unavailable: ")
    assert str(caught.value).isprintable()
    assert "jpeg" == registry.create("jpeg").name


def test_a_lost_symbolic_link_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A checkout without symbolic links says so instead of finding nothing."""
    (tmp_path / "codecs").write_text("../codecs")
    monkeypatch.setattr(registry, "_FOLDER", tmp_path / "codecs")
    with pytest.raises(UsageError, match="lost its symbolic links"):
        registry.discover()


def test_another_package_adds_a_codec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An entry point `bench.codecs` of an installed distribution is found and named as source."""
    monkeypatch.syspath_prepend(tmp_path)
    _drop(tmp_path, "zz_other.py", CODEC.format(cls="Other", name="zz-other"))
    _install(tmp_path, "zz-other = zz_other:Other")
    found = registry.discover()["zz-other"]

    assert found.source == "other-codecs (zz_other:Other)"
    assert registry.create("zz-other").version() == "zz-other 1.0"


@pytest.mark.parametrize(
    ("point", "words"),
    [
        ("zz-gone = zz_gone:Gone", "No module named 'zz_gone'"),
        ("zz-sum = zz_module:SUM", "zz_module:SUM is no subclass of bench.codec.Codec"),
        ("zz-bare = zz_module:Bare", "zz_module:Bare is no subclass of bench.codec.Codec with"),
        ("zz-typo = zz_module:Typo", "AttributeError: "),
    ],
)
def test_a_broken_entry_point_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str, words: str
):
    """What another package got wrong is a reason in the list, not a crash."""
    monkeypatch.syspath_prepend(tmp_path)
    code = "from bench.codec import Codec\nSUM = 1\nclass Bare(Codec):\n    pass\n"
    _drop(tmp_path, "zz_module.py", code)
    _install(tmp_path, point)
    with pytest.raises(Unavailable) as caught:
        registry.create(point.partition(" ")[0])

    assert words in str(caught.value)
    monkeypatch.delitem(sys.modules, "zz_module", raising=False)


def test_an_unknown_codec_suggests_the_near_one():
    """A slip of the finger is answered with the codec that was meant, and with all of them."""
    with pytest.raises(UsageError, match=r"unknown codec 'jepg'. Did you mean jpeg\? Known: "):
        registry.create("jepg")
    with pytest.raises(UsageError) as caught:
        registry.create("qqq")
    assert "Did you mean" not in str(caught.value)


def test_device_is_one_the_codec_has():
    """A classical codec stays on the CPU when the run is on a GPU."""
    assert registry.create("jpeg", "cuda").device == "cpu"


def test_curve_is_named_by_what_was_held():
    """The column `codec` is the bare name, or the name with what differs from the usual."""
    avif = registry.create("avif")
    for text in ("avif", "avif:subsampling=4:2:0", "avif:speed=4,subsampling=4:2:0"):
        for setting in registry.settings(avif, Spec.parse(text)):
            assert text == registry.spec_name(avif, setting)
    (usual,) = registry.settings(avif, Spec.parse("avif:speed=6"), quality=[3.0])
    assert registry.spec_name(avif, usual) == "avif"


def test_parameters_may_be_read_off_the_ladder(folder: Path):
    """A codec that declares neither parameters nor rate still takes options and `--quality`."""
    code = CODEC.format(cls="Bare", name="zz-bare") + "    rate = ''\n    parameters = ()\n"
    _drop(folder, "zz_bare.py", code)
    codec = registry.create("zz-bare")

    assert registry.rate_name(codec) == "step"
    assert {"step"} == set(registry.parameters(codec))
    assert [Setting(step=9)] == registry.settings(codec, Spec.parse("zz-bare"), quality=[9.0])


@pytest.mark.parametrize("name", ["agvae-nogain", "agvae-nogain-gauss", "agvae-conditional"])
def test_levels_without_weights_are_refused_before_a_run(name: str):
    """A codec with a network per level says which levels it takes, and takes no other."""
    codec = registry.create(name)
    levels = [setting["level"] for setting in codec.ladder()]
    said = "one of " + ", ".join(map(str, levels))

    assert said == registry.parameters(codec)["level"].range
    assert levels == [s["level"] for s in registry.settings(codec, Spec.parse(name))]
    for wrong in (levels[0] - 1, levels[0] + 1 / 256, levels[-1] + 1):
        with pytest.raises(SettingError, match=f"level must be {said}, found"):
            registry.settings(codec, Spec.parse(name), quality=[levels[0], wrong])


def test_gains_take_the_levels_between():
    """A branch with gain units takes any level from -2 on, and says so."""
    codec = registry.create("agvae-branch")
    taken = registry.settings(codec, Spec.parse("agvae-branch"), quality=[-2, 2.5, 7])

    assert registry.parameters(codec)["level"].range == "a number from -2 to 7"
    assert [-2, 2.5, 7] == [setting["level"] for setting in taken]


def test_a_wrong_parameter_of_a_plugin_is_named(folder: Path):
    """What is no Parameter is an error of the codec, not of the suite."""
    code = CODEC.format(cls="Odd", name="zz-odd")
    _drop(folder, "zz_odd.py", code + "    def available_parameters(self): return ['step']\n")
    with pytest.raises(BenchError, match=r"holds \['step'\], wanted bench.codec.Parameter"):
        registry.parameters(registry.create("zz-odd"))


def test_real_folder_is_found():
    """The codecs of this package are found, each from its own file."""
    found = registry.discover()

    assert {"jpeg", "webp", "avif", "jpeg2000", "null"} <= set(found)
    assert found["jpeg"].source == "codecs/jpeg"
    assert (Path(bench.__file__).parent / "codecs" / "jpeg.py").is_file()


@pytest.mark.parametrize(
    ("known", "expected"),
    [(["jpeg", "webp"], "Did you mean webp? Known: jpeg, webp."), (["avif"], "Known: avif.")],
)
def test_suggestion(known: list[str], expected: str):
    """The near word first, then all of them."""
    suggest: Callable[[str, list[str]], str] = errors.suggest

    assert expected == suggest("wepb", known)


def test_a_codec_is_looked_for_in_the_folder_once(monkeypatch: pytest.MonkeyPatch):
    """Finding it for each of thousands of cells does not list the folder each time."""
    listed = []
    stems = registry._stems
    monkeypatch.setattr(registry, "_stems", lambda: listed.append(1) or stems())
    found = {registry.find("jpeg") for _ in range(9)}

    assert ["jpeg"] == [item.name for item in found if item]
    assert len(listed) <= 1


def test_a_file_that_is_dropped_later_is_found(folder: Path):
    """Also where another codec was looked for before it was there."""
    _drop(folder, "zzfirst.py", CODEC.format(cls="First", name="zzfirst"))
    assert registry.find("zzfirst") is not None
    _drop(folder, "zzlater.py", CODEC.format(cls="Later", name="zzlater"))

    assert registry.find("zzlater") is not None
