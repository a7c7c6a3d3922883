"""A command line as a codec (TOML), and the codec of any Python file, by name of the file."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from small_runs import go

from bench import registry
from bench.codec import Codec, Setting
from bench.errors import DecodeError, EncodeError, SettingError, Unavailable, UsageError
from bench.image import Image, save
from bench.registry import from_file
from bench.registry.command import codec_class
from bench.registry.command_file import read

SHIPPED = ("avifenc", "cjpeg", "cjxl", "cwebp")

PROGRAM = """#!{python} -SE
import json, shutil, sys, time
words = sys.argv[1:]
if words == ["version"]:
    print("\\nraw 1.0\\nsecond line")
elif words[0] == "copy":
    shutil.copy(words[1], words[2])
elif words[0] == "show":
    json.dump(words[3:], open(words[2], "w"))
elif words[0] == "fail":
    print("first words", file=sys.stderr); sys.exit(3)
elif words[0] == "die":
    import os, signal; os.kill(os.getpid(), signal.SIGSEGV)
elif words[0] == "spawn":
    import subprocess; subprocess.Popen(["sleep", "321"]); time.sleep(321)
"""

TEXT = """
encode = "./raw copy {{input}} {{output}}"
decode = "./raw copy {{input}} {{output}}"
suffix = ".raw"
version = "./raw version"
input = "ppm"
{more}
[parameters.quality]
default = 50
low = 0
high = 100
ladder = [10, 90]
[parameters.preset]
default = "a"
"""

CLASS = """
import beside
from bench.codec import Codec, Setting
class {name}(Codec):
    name = "{name}"
    def ladder(self): return [Setting(step=1)]
    def version(self): return "mine 1"
    def encode(self, image, setting): return beside.pack(image)
    def decode(self, data): return beside.unpack(data)
"""

BESIDE = """
import numpy as np
def pack(image): return bytes(image.shape[:2]) + image.tobytes()
def unpack(data): return np.frombuffer(data[2:], np.uint8).reshape(data[0], data[1], 3)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a blank and quotes in its name, a program in it; nothing stays known."""
    monkeypatch.delenv("BENCH_CODEC_FILES", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    registry.discover.cache_clear()
    place = tmp_path / 'it\'s "a" {folder} $HOME;x'
    place.mkdir()
    program = place / "raw"
    # A shebang is bounded in length and in blanks: a link without them stands in.
    short = tmp_path / "python"
    short.symlink_to(sys.executable)
    program.write_text(PROGRAM.format(python=short))
    program.chmod(0o755)
    yield place
    os.environ.pop("BENCH_CODEC_FILES", None)
    registry.discover.cache_clear()


def _write(folder: Path, more: str = "", **changes: str) -> Path:
    text = TEXT.format(more=more)
    for key, value in changes.items():
        lines = [f"{key} = {value!r}" if x.startswith(f"{key} =") else x for x in text.split("\n")]
        text = "\n".join(lines)
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def _pixels() -> Image:
    return np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)


def test_pixels_travel_through_the_programs(folder: Path):
    """A picture comes back from a command in a folder whose name a shell would not survive."""
    codec = codec_class(_write(folder))()
    data = codec.encode(_pixels(), Setting(quality=10))

    assert data.startswith(b"P6")
    assert np.array_equal(_pixels(), codec.decode(data))
    assert codec.version() == "raw 1.0"
    assert [10, 90] == [setting["quality"] for setting in codec.ladder()]


def test_its_ceiling_is_unknown(folder: Path):
    """A program may halve colour inside: nothing claims that its conversion loses nothing."""
    codec, photos = _write(folder), folder.parent / "photos"
    photos.mkdir()
    save(_pixels(), photos / "p.png")

    assert codec_class(codec)().ceiling(_pixels(), Setting(quality=10)) is None
    assert go(f"folder:{photos}", codecs=[str(codec)], points=2).ceilings.empty


def test_label_says_effort_and_other_parameters(folder: Path):
    """Two curves of one program differ in their labels."""
    codec = codec_class(_write(folder, 'effort = "preset"'))()
    other = codec_class(_write(folder, 'effort = "the only one"'))()

    assert "mine, preset b (raw 1.0)" == codec.label(Setting(quality=1, preset="b"))
    assert "mine preset b, the only one (raw 1.0)" == other.label(Setting(quality=1, preset="b"))


@pytest.mark.parametrize("value", ["a b", "$(touch x)", "'; rm -rf ~; '", "{quality}", "*", "-x"])
def test_a_value_is_one_argument_and_is_never_read_by_a_shell(folder: Path, value: str):
    """Whatever characters it has."""
    path = _write(folder, encode="./raw show {input} {output} {preset} x{quality}")
    data = codec_class(path)().encode(_pixels(), Setting(quality=7, preset=value))

    assert [value, "x7"] == json.loads(data)
    assert ["mine.toml", "raw"] == sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize(
    ("encode", "words"),
    [
        ("./raw fail {input} {output}", "exit code 3: first words"),
        ("./raw die {input} {output}", "signal 11"),
        ("./raw nothing {input} {output}", "wrote no file output.raw"),
        ("./raw spawn {input} {output}", "took more than 0.5 s and was ended"),
    ],
)
def test_a_failing_program_is_an_error_with_its_words(folder: Path, encode: str, words: str):
    """Exit code, signal, no output, no end: each refuses the picture, and leaves no process."""
    path = _write(folder, "timeout_s = 0.5" if "spawn" in encode else "", encode=encode)
    start = time.monotonic()
    with pytest.raises(EncodeError, match=words):
        codec_class(path)().encode(_pixels(), Setting(quality=7, preset="a"))

    assert time.monotonic() - start < 30
    assert not [
        p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "321"]
    ]


def test_what_a_decoder_writes_must_be_a_picture(folder: Path):
    """A decoder that ends well and writes something else is an error, not a score."""
    codec = codec_class(_write(folder))()
    with pytest.raises(DecodeError, match="wrote no 8-bit picture"):
        codec.decode(b"no picture")


def test_a_missing_program_makes_the_codec_unavailable(folder: Path):
    """With its name and how to get it, which is no caveat of a codec that is here."""
    install = 'install = "Install it with: apt install x"'
    path = _write(folder, install, decode="nosuch {input} {output}")
    with pytest.raises(Unavailable, match=r"program nosuch is not installed\. Install it"):
        codec_class(path)()

    assert "" == codec_class(_write(folder, install))().note()
    assert "a caveat" == codec_class(_write(folder, 'note = "a caveat"'))().note()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encode": "./raw copy {input}"}, r"encode lacks \{output\}"),
        ({"encode": "./raw {input} {output} {qualty}"}, r"place \{qualty\} that nothing fills"),
        ({"encode": "./raw {input} {output} {quality.real}"}, "nothing fills"),
        ({"encode": "./raw {input} {output} {quality!r}"}, "nothing fills"),
        ({"encode": "./raw {input} {output} {0}"}, "nothing fills"),
        ({"decode": "./raw {input} {output} {quality}"}, "nothing fills"),
        ({"decode": "./raw '{input} {output}"}, "cannot be split"),
        ({"version": ""}, "version must be text"),
        ({"suffix": "raw"}, "suffix must begin with a dot"),
        ({"input": "jpg"}, "input must be png or ppm"),
        ({"default": "many"}, "parameters.quality is no number"),
        ({"high": "x"}, "parameters.quality.high must be a number"),
    ],
)
def test_a_wrong_file_is_refused_in_words(folder: Path, change: dict[str, str], words: str):
    """Each kind of mistake names its key; nothing is run."""
    with pytest.raises(UsageError, match=words):
        read(_write(folder, **change))


def test_unknown_keys_suggest_the_near_one(folder: Path):
    """A misspelt key is not ignored: its default would measure something else."""
    with pytest.raises(UsageError, match=r"unknown key timout_s\. Did you mean timeout_s"):
        read(_write(folder, "timout_s = 3"))
    path = _write(folder)
    path.write_text(path.read_text().replace("ladder", "lader"))
    with pytest.raises(UsageError, match=r"unknown key parameters\.quality\.lader\. Did you mean"):
        read(path)


def test_ladder_values_outside_the_range_are_refused(folder: Path):
    """They would fail only after the first cells were measured."""
    path = _write(folder)
    path.write_text(path.read_text().replace("[10, 90]", "[10, 900]"))
    with pytest.raises(UsageError, match="quality must be a whole number from 0 to 100, found 900"):
        read(path)


def test_a_file_is_a_codec_by_its_path(folder: Path):
    """``FILE.toml:OPTION=VALUE`` is a spec; the codec is then known by the file's stem."""
    spec = registry.Spec.typed(f"{_write(folder)}:preset=b")
    codec = registry.create(spec.name)

    assert ("mine", {"preset": "b"}) == (spec.name, dict(spec.options))
    assert codec.version().startswith("raw 1.0, mine.toml ")


def test_an_edited_file_has_another_version(folder: Path):
    """So rows of the file as it was are never reused for the file as it is."""
    versions = []
    for more in ("", 'title = "other"'):
        os.environ.pop("BENCH_CODEC_FILES", None)
        registry.discover.cache_clear()
        versions.append(
            registry.create(registry.Spec.typed(str(_write(folder, more))).name).version()
        )

    assert versions[0] != versions[1]


def test_a_file_that_changes_while_it_is_used_is_refused(folder: Path):
    """A worker that starts late must not measure another codec under the same version."""
    path = _write(folder)
    registry.Spec.typed(str(path))
    _write(folder, 'title = "other"')
    registry.discover.cache_clear()
    with pytest.raises(Unavailable, match="was changed while it was used"):
        registry.create(registry.discover.__wrapped__()["mine"].name)


def test_the_user_configuration_folder_is_searched(folder: Path):
    """A TOML there is a codec like any other, in every command."""
    place = folder.parent / "config" / "agvae-bench" / "codecs"
    place.mkdir(parents=True)
    shutil.copy(_write(folder), place / "own.toml")
    registry.discover.cache_clear()
    found = registry.discover()["own"]

    assert found.cls is not None
    assert found.source == str(place / "own.toml")


@pytest.mark.parametrize("word", ["mine.py:First", "mine.py:First:step=1", "one.py"])
def test_a_class_in_a_file_is_a_codec(folder: Path, word: str, monkeypatch: pytest.MonkeyPatch):
    """It may import what lies beside it, and needs no package; one class needs no name."""
    (folder / "beside.py").write_text(BESIDE)
    (folder / "mine.py").write_text(CLASS.format(name="First") + CLASS.format(name="Second"))
    (folder / "one.py").write_text(CLASS.format(name="First"))
    monkeypatch.chdir(folder)
    codec = registry.create(registry.Spec.typed(word).name)

    assert codec.name == "First"
    assert np.array_equal(_pixels(), codec.decode(codec.encode(_pixels(), Setting(step=1))))


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("mine.py", "2 codec classes; its subclasses of bench.codec.Codec: mine.py:First, mine.py"),
        ("mine.py:Third", "no codec class Third"),
        ("nosuch.py:First", "nosuch.py: no such file"),
        ("./nosuch", "names no codec"),
        ("mine.toml:Mine", "has no classes"),
        ("broken.py:First", "ZeroDivisionError"),
        ("exits.py:First", "died|SystemExit"),
        ("kills.py:First", "died"),
        ("webp.toml", "another codec is named webp"),
    ],
)
def test_a_file_without_a_codec_is_refused_in_words(
    folder: Path, word: str, words: str, monkeypatch: pytest.MonkeyPatch
):
    """Also one whose import exits or kills its process; the command line goes on to say so."""
    (folder / "beside.py").write_text(BESIDE)
    (folder / "mine.py").write_text(CLASS.format(name="First") + CLASS.format(name="Second"))
    (folder / "broken.py").write_text("1 / 0")
    (folder / "exits.py").write_text("raise SystemExit(0)")
    (folder / "kills.py").write_text("import os; os._exit(0)")
    shutil.copy(_write(folder), folder / "webp.toml")
    monkeypatch.chdir(folder)
    with pytest.raises(UsageError, match=words):
        registry.Spec.typed(word)


@pytest.mark.parametrize("word", ["broken.py", "broken.py:First", "./mine.toml"])
def test_a_table_of_results_never_loads_a_file(
    folder: Path, word: str, monkeypatch: pytest.MonkeyPatch
):
    """Only what is typed does: a folder of results from elsewhere may name any file."""
    (folder / "broken.py").write_text("1 / 0")
    monkeypatch.chdir(folder)
    _write(folder)

    assert registry.Spec.parse(word.partition(":")[0]).name == word.partition(":")[0]
    assert not from_file.known()


@pytest.mark.parametrize("word", ["avif:subsampling=4:2:0", "webp", "jpeg:quality=3"])
def test_names_are_no_files(word: str):
    """A codec's name with options is read as before."""
    assert from_file.split(word) is None


def test_options_with_an_illegal_value_are_refused(folder: Path):
    """As for every codec, before anything is measured."""
    spec = registry.Spec.typed(f"{_write(folder)}:quality=101")
    with pytest.raises(SettingError, match="quality must be a whole number from 0 to 100"):
        registry.settings(registry.create(spec.name), spec)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_commands_code_a_picture(name: str, photo: Image):
    """The commands that come with the package, where their programs are installed."""
    try:
        codec: Codec = registry.create(name)
    except Unavailable as error:
        pytest.skip(str(error))
    ladder = [registry.complete(codec, setting) for setting in codec.ladder()]
    sizes = []
    for setting in (ladder[0], ladder[-1]):
        data = codec.encode(photo, setting)
        error = np.mean((codec.decode(data).astype(float) - photo) ** 2)
        sizes.append((len(data), -error))

    assert sizes[0] < sizes[1]
    assert sizes[0][1] < sizes[1][1] > -40
