"""Metrics that ``-m`` names by a file or a command: numbers, identity, refusals."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

import bench
from bench import image as images
from bench import metrics
from bench.codec import Setting
from bench.errors import MetricError, UsageError
from bench.image import Image
from bench.measurement.results import Results, load_results
from bench.metrics import columns, command, from_file
from bench.output.write import write

PROGRAM = """#!{python} -SE
import os, sys, time
word, reference, decoded = sys.argv[1:4]
one, other = (open(path, "rb").read() for path in (reference, decoded))
if word == "differs": print("difference:", 0 if one == other else 1 + len(other) / 1e9)
elif word == "names": print(int(os.listdir(".") == [] and len(os.listdir(os.path.dirname(one)))))
elif word == "nothing": print("done")
elif word == "two": print("1.5 2.5")
elif word == "fail": print("a reason", file=sys.stderr); sys.exit(3)
elif word == "die": os.kill(os.getpid(), 11)
elif word == "sleep":
    import subprocess; subprocess.Popen(["sleep", "654"]); time.sleep(654)
elif word == "flood":
    while True: sys.stdout.write("1" * 65536)
elif word == "photo": print(0 if one == other else 7 if len(one) < 9000 else "no number here")
elif word == "warn": print("careful: 12", file=sys.stderr); print(0 if one == other else 4)
"""

METRIC = """
from bench.metrics import Metric
class Level(Metric):
    name = "level"
    higher_is_better = False
    definition = "Mean of the decoded picture."
    def __init__(self): self.version = "a"
    def score(self, state, decoded): return {value}
class Other(Metric):
    name = "other"
    def score(self, state, decoded): return 1.0
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a hostile name, a program and a file of metrics; nothing stays known."""
    monkeypatch.delenv("BENCH_METRIC_FILES", raising=False)
    metrics.discover.cache_clear()
    found = tmp_path / "a b;'$(touch x)\"&{z}"
    found.mkdir()
    program = found / "score it"
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    (found / "mine.py").write_text(METRIC.format(value="float(decoded.mean())"))
    monkeypatch.chdir(found)
    yield found
    os.environ.pop("BENCH_METRIC_FILES", None)
    metrics.discover.cache_clear()


def words(what: str, options: str = ":lower") -> str:
    """Return a word of ``-m`` that calls the program."""
    return f"cmd:mine{options}='./score it' {what} {{reference}} {{decoded}}"


def pair(side: int = 24) -> tuple[Image, Image]:
    """Return two pictures that differ."""
    dark = np.zeros((side, side, 3), np.uint8)
    return dark, dark + np.uint8(9)


def test_a_command_is_a_metric(folder: Path):
    """By its name, with its direction, version and definition; paths with anything in them."""
    name = from_file.name_of(words("differs"))
    metric = metrics.create(name)

    assert ("mine", "mine", False) == (name, metric.column, metric.higher_is_better)
    assert 0.0 == metric(pair()[0], pair()[0])
    assert 1 < metric(*pair()) < 1.001
    assert "score it" in metric.definition
    assert "lower is better" in metric.definition
    assert not (folder / "x").exists()


def test_what_a_program_writes_as_an_error_is_no_number(folder: Path):
    """A warning with a number in it changes nothing."""
    assert 4.0 == metrics.create(from_file.name_of(words("warn")))(*pair())


def test_a_script_of_an_interpreter(folder: Path):
    """Its path becomes absolute, whatever characters the folder has, and its hash counts."""
    text = f"cmd:mine:lower={sys.executable} -SE './score it' differs {{reference}} {{decoded}}"
    before = command.read(text).sha256
    metric = metrics.create(from_file.name_of(text))

    assert 0.0 == metric(pair()[0], pair()[0])
    (folder / "score it").write_text(PROGRAM.format(python=sys.executable) + "# edited\n")
    assert before != command.read(text).sha256


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("38.25\n", 38.25),
        ("score: -1e-3 dB", -0.001),
        ("1.8747\n3-norm: 0.92\n", 1.8747),
        ("0.5\n3-norm: 1 of 2\n", 0.5),
        ("PSNR=inf", math.inf),
        ("(.5)", 0.5),
        ("ssimulacra2 v2.1a 70", 70.0),
    ],
)
def test_the_number_is_found(text: str, value: float):
    """One number among words, or the one that has a line to itself."""
    assert value == command.number(text, "program")


@pytest.mark.parametrize(
    ("text", "count"), [("", 0), ("38,25", 2), ("1\n2\n", 2), ("0x1f", 0), ("1 2", 2), ("3dB", 0)]
)
def test_no_number_or_two_are_refused(text: str, count: int):
    """Nothing is guessed, least of all a decimal comma."""
    with pytest.raises(MetricError, match=f"program wrote {count} numbers, wanted one"):
        command.number(text, "program")


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        (words("nothing"), "wrote 0 numbers, wanted one: done"),
        (words("two"), "wrote 2 numbers, wanted one: 1.5 2.5"),
        (words("fail"), "failed with exit code 3: a reason"),
        (words("die"), "failed with signal 11"),
        (words("sleep", ":lower:0.3s"), "took more than 0.3 s and was ended"),
        (words("flood"), "wrote more than 16 MiB of text and was ended"),
        (words("differs", ""), "higher is said to be better, but an exact copy has 0 and a noisy"),
        ("cmd:x=nosuchprogram {reference} {decoded}", "the program nosuchprogram is not installed"),
        ("cmd:x=cmp {reference}", "it lacks {decoded}"),
        ("cmd:x=cmp {reference} {decoded} {other}", "the place {other} that nothing fills"),
        ("cmd:x=cmp '{reference} {decoded}", "cannot be split into arguments"),
        ("cmd:x=", "is no command of a metric"),
        ("cmd:=cmp {reference} {decoded}", "is no command of a metric"),
        ("cmd:x:faster=cmp {reference} {decoded}", "unknown option 'faster'"),
        ("cmd:x:0s=cmp {reference} {decoded}", "unknown option '0s'"),
        ("cmd:psnr=cmp {reference} {decoded}", "the name 'psnr' is taken"),
        ("cmd:bpp=cmp {reference} {decoded}", "the name 'bpp' is taken"),
        ("./nosuch.py:X", "no such file"),
        ("./mine.py:Nosuch", "holds no metric class Nosuch"),
        ("./mine.py", "holds 2 metric classes"),
        ("./mine.py:Level:x", "names no metric"),
        ("./mine.txt", "names no metric"),
    ],
)
def test_what_is_no_metric_is_refused_before_measuring(folder: Path, word: str, reason: str):
    """In one line that says what is wrong."""
    with pytest.raises((UsageError, MetricError)) as caught:
        from_file.name_of(word)

    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {} == from_file.known()  # a second call would be refused as well


def test_a_program_that_is_too_slow_leaves_no_children(folder: Path):
    """It is ended with all that it started."""
    with pytest.raises(MetricError, match="took more than"):
        from_file.name_of(words("sleep", ":lower:0.3s"))

    assert [] == [
        p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "654"]
    ]


def test_versions_tell_a_changed_command_file_or_program(folder: Path):
    """So that scores of another program never stand for today's."""
    first = command.read(words("differs"))
    old, other = first.sha256, command.read(words("two")).sha256
    metric = metrics.create(from_file.name_of(words("differs")))
    (folder / "score it").write_text(PROGRAM.format(python=sys.executable) + "# edited\n")
    edited = command.read(words("differs"))

    assert first == command.read(first.word) == edited
    assert 3 == len({old, other, edited.sha256})
    with pytest.raises(MetricError, match="was changed while it was used"):
        metric(*pair())


def test_a_file_that_changes_while_it_is_used_is_refused(folder: Path):
    """A worker must not score with another program than the plan says."""
    name = from_file.name_of("./mine.py:Level")
    assert metrics.create(name).version.startswith("a, mine.py ")
    (folder / "mine.py").write_text(METRIC.format(value="1.0"))
    metrics.discover.cache_clear()

    with pytest.raises(UsageError, match="unknown metric 'level'"):
        metrics.create(name)
    (broken,) = [item for item in metrics.discover().values() if item.source.endswith(":Level")]
    assert "was changed while it was used" in broken.reason


@pytest.fixture
def measure(folder: Path, photo: Image, tmp_path: Path) -> Callable[..., Results]:
    """Return a function: words of ``-m`` -> the results of two settings on a small picture."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    images.save(photo[:80, :100], pictures / "one.png")

    def run(*words: str) -> Results:
        forget()
        codecs = {"jpeg": [Setting(quality=20), Setting(quality=90)]}
        out = tmp_path / "out"
        return bench.run([f"folder:{pictures}"], codecs, words, out=out, jobs=1, download=False)

    return run


def forget() -> None:
    """Be as a process that was just started."""
    os.environ.pop("BENCH_METRIC_FILES", None)
    metrics.discover.cache_clear()
    for name in [name for name in sys.modules if name.startswith("bench_plugin_file_")]:
        del sys.modules[name]


def test_results_of_a_named_metric(folder: Path, measure: Callable[..., Results], tmp_path: Path):
    """An edited file is scored anew; what it is stands in the results, for who reads them."""
    first = measure("psnr", "./mine.py:Level", words("differs")).rows
    (folder / "mine.py").write_text(METRIC.format(value="2.0"))
    measure("psnr", "./mine.py:Level", words("differs"))
    forget()
    try:
        read = load_results(tmp_path / "out")
        write(read, plots=False)
        level, mine = columns.column("level"), columns.column("mine")
    finally:
        columns._recorded.clear()

    assert first["level"].between(1, 254).all()
    assert first["mine"].between(1, 1.001).all()
    assert [2.0, 2.0] == list(read.rows["level"])
    assert "Mean of the decoded picture." == level.definition
    assert ("lower", "mine") == (mine.better, mine.metric)
    table = next((tmp_path / "out" / "tables").glob("*_rd.md")).read_text()
    assert "mine \N{DOWNWARDS ARROW}" in table


def test_a_metric_that_fails_costs_its_cells_and_no_encoding(measure: Callable[..., Results]):
    """The row says why; the next run without the metric takes the stored files."""
    failing = measure("psnr", words("photo")).rows
    without = measure("psnr").rows

    assert [True, True] == ["wrote 0 numbers, wanted one" in text for text in failing["error"]]
    assert ["", ""] == list(without["error"])
    assert without["bytes"].notna().all()


def test_two_records_that_disagree_are_refused():
    """A column is better one way only."""
    about = {
        **dict.fromkeys(("words", "short", "unit", "definition"), "x-disagree"),
        "digits": 2,
        "smallest_px": 1,
        "higher_is_better": True,
        "limits": [None, 5],
    }
    try:
        columns.learn("x-disagree", "x-disagree", about)
        columns.learn("x-disagree", "x-disagree", about)
        columns.learn("psnr", "psnr_db", about)  # which is known better here
        assert "dB" == columns.column("psnr_db").unit
        assert (-math.inf, 5) == columns.column("x-disagree").limits
        with pytest.raises(UsageError, match="two results mean different metrics by 'x-disagree'"):
            columns.learn("x-disagree", "x-disagree", {**about, "higher_is_better": False})
        for fault in ({"limits": [5, 1]}, {"digits": 99}, {"words": "a\nb"}, {"limits": ["a", 1]}):
            with pytest.raises(UsageError, match="cannot be one"):
                columns.learn("x-other", "x-other", {**about, **fault})
    finally:
        columns._recorded.clear()
