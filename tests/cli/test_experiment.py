"""``bench all EXPERIMENT.toml``: what a file may say, what a run writes, what repeats it."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from experiments import FILE, METRIC, MINE, as_another_process, cells

from bench import image, registry
from bench.cli import report as report_command
from bench.errors import UsageError
from bench.measurement import plan as plans
from bench.measurement import repetition
from bench.measurement import run as conductor
from bench.measurement.experiment import load_experiment
from bench.measurement.plan import Wanted
from bench.measurement.results import load_results
from bench.rate_search import PerImage


def test_a_run_of_a_file(measure, site: Path):
    """It measures what the file says, and options stand for what they name alone."""
    measure("paper.toml", "-o", "out")
    found = cells(site / "out")

    assert {"jpeg", "webp:method=0", "jpeg:subsampling=4:4:4"} == {
        curve for _, _, curve, _, _ in found
    }
    assert 2 * 3 * 2 == len(found)
    assert {30, 60} == {json.loads(s)["quality"] for _, _, c, s, _ in found if "4:4:4" in c}
    measure("paper.toml", "-c", "jpeg", "-q", "20,40,70", "-o", "out")
    assert [20, 40, 70] == sorted({json.loads(s)["quality"] for *_, s, _ in cells(site / "out")})


@pytest.mark.parametrize(
    "words",
    [
        ["-d", "folder:pictures", "-c", "jpeg", "-c", "./mine.py:Mine", "-m", "psnr"],
        [
            "-d",
            "folder:pictures",
            "-c",
            "null",
            "-c",
            "jpeg:progressive=true",
            "--image",
            "1.png",
            "-m",
            "psnr",
        ],
        [
            "-d",
            "folder:pictures",
            "-c",
            "webp",
            "-m",
            "bpp",
            "-q",
            "1,99.0",
            "--anchor",
            "webp",
            "--reference",
            "vtm18",
        ],
        ["--quick", "-d", "folder:pictures", "-c", "jpeg", "-m", "psnr"],
        ["paper.toml", "--points", "1"],
    ],
)
def test_what_a_run_writes_repeats_it(measure, site: Path, words: list[str]):
    """The same cells by the same names and keys, and the same file again."""
    measure(*words, "-o", "out")
    done = measure("out/experiment.toml", "-o", "again/deep")

    assert 0 == done.code
    assert cells(site / "out") == cells(site / "again" / "deep")
    before, after = (
        load_experiment(f"{folder}/experiment.toml") for folder in ("out", "again/deep")
    )
    assert before.measured_with == after.measured_with
    assert (before.codecs, before.images) == (after.codecs, after.images)
    assert ("vtm18",) * ("vtm18" in words) == after.references
    assert "the experiment was" not in done.stderr


def test_metrics_of_files_and_commands_are_repeated(measure, site: Path):
    """By their file and command: their names alone mean nothing in the next process."""
    (site / "worst.py").write_text(METRIC)
    (site / "one.sh").write_text("#!/bin/sh\ncmp -s $1 $2 && echo 1 || echo 0\n")
    (site / "one.sh").chmod(0o755)
    words = ["-m", "./worst.py", "-m", "cmd:same=./one.sh {reference} {decoded}"]
    measure("-d", "folder:pictures", "-c", "null", *words, "-o", "out")
    as_another_process()
    measure("out/experiment.toml", "-o", "again")
    written = load_experiment("again/experiment.toml")

    assert "worst.py" == written.metrics[0]
    assert f"cmd:same={site}/one.sh {{reference}} {{decoded}}" == written.metrics[1].replace(
        "'", ""
    )
    assert written.measured_with == load_experiment("out/experiment.toml").measured_with
    frame = load_results("again").rows
    assert [0, 0] == frame["worst"].tolist()


def test_paths_of_checkpoints(site: Path):
    """Weights and the file of an architecture are of the experiment's folder, names stay."""
    (site / "sub").mkdir()
    word = "compressai:arch={}net.py:Net,weights={}ckpt/*.pth.tar,name=mine"
    named = "compressai:arch=mbt2018-mean,weights={}a,b.pth,stride=64"
    codecs = json.dumps([word.format("", "../"), named.format("")])
    (site / "sub" / "x.toml").write_text(f"codecs = {codecs}")
    found = load_experiment("sub/x.toml").codecs

    assert (word.format("sub/", ""), named.format("sub/")) == found
    written = repetition.with_paths(
        found[0], lambda text: repetition._from(site / "sub", Path(text))
    )
    assert word.format("", "../") == written


def test_the_folder_may_move_with_what_it_names(measure, site: Path):
    """Paths are relative to the file, so a copy of the whole works elsewhere."""
    measure("-d", "folder:pictures", "-c", "mine.py", "-m", "psnr", "-o", "out")
    (site / "moved").mkdir()
    for name in ("out", "pictures"):
        shutil.copytree(site / name, site / "moved" / name)
    shutil.copy(site / "mine.py", site / "moved")
    shutil.rmtree(site / "pictures")
    as_another_process()
    done = measure("moved/out/experiment.toml", "-o", "again")

    assert (0, False) == (done.code, "the experiment was" in done.stderr)
    assert {"folder:moved/pictures"} == {name for name, *_ in cells(site / "again")}


def test_what_cannot_be_repeated_is_said(measure, site: Path):
    """Another codec file, other pixels, another version of a metric: said, and under tables."""
    measure("-d", "folder:pictures", "-c", "./mine.py", "-c", "jpeg", "-m", "psnr", "-o", "out")
    image.save(np.zeros((40, 48, 3), np.uint8), site / "pictures" / "0.png")
    (site / "copy.py").write_text(MINE.replace("64", "32"))
    text = (site / "out" / "experiment.toml").read_text().replace("mine.py", "copy.py")
    assert 'mine = "1, copy.py' in text
    (site / "out" / "experiment.toml").write_text(text.replace('psnr = "1"', 'psnr = "0"'))
    as_another_process()
    done = measure("out/experiment.toml", "-o", "again")
    said = load_results("again").remarks

    assert 3 == len(said)
    assert 0 == done.code
    for words in (
        "codec mine of version 1, copy.py",
        "metric psnr of version 0",
        "not measured on the pictures that folder:pictures has here",
    ):
        assert words in done.stderr
        assert any(words in sentence for sentence in said)


def test_a_run_that_breaks_off_leaves_the_file_of_the_last_one(measure, site: Path, monkeypatch):
    """``experiment.toml`` is that of the results which the folder shows."""
    measure("-d", "folder:pictures", "-c", "jpeg", "-m", "psnr", "-o", "out")
    before = (site / "out" / "experiment.toml").read_text()

    def broken(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(conductor.executor, "measure", broken)
    done = measure("-d", "folder:pictures", "-c", "webp", "-m", "psnr", "-o", "out")

    assert 130 == done.code
    assert before == (site / "out" / "experiment.toml").read_text()


def test_options_that_were_not_typed_leave_the_file_alone(measure, site: Path):
    """The file's folder counts where no --out is typed, though --out has a default."""
    (site / "paper.toml").write_text(FILE.replace("points", 'out = "of the file"\npoints'))
    measure("paper.toml")

    assert (site / "of the file" / "experiment.toml").is_file()
    assert not (site / "results").exists()


def test_outputs(measure, site: Path, monkeypatch: pytest.MonkeyPatch):
    """The page is written where the file or the option asks for it, and the next run is told."""
    pages: list[Path] = []
    monkeypatch.setattr(report_command, "write_page", lambda *words: pages.append(words[1]))
    measure("paper.toml", "-o", "out")
    assert [] == pages
    assert "" == measure("paper.toml", "-o", "out", "--report").stdout
    assert [Path("out/report.html")] == pages
    measure("out/experiment.toml", "-o", "again")
    assert [Path("out/report.html"), Path("again/report.html")] == pages
    (site / "paper.toml").write_text(FILE + "[outputs]\nplots = false\n")
    measure("paper.toml", "-o", "out2")
    assert "plots = false" in (site / "out2" / "experiment.toml").read_text()


@pytest.mark.parametrize(
    "value",
    [
        "",
        'a"b\\c',
        "\x00\x1f\x7f\n\t",
        "é 😀 \u2028",
        3,
        -1.5,
        1e-7,
        True,
        ["a", 2],
        {"a b": {"c": []}},
    ],
)
def test_what_is_written_is_toml(value: object):
    """Any text, number, list or table comes back as it was."""
    assert value == tomllib.loads(f"x = {repetition._toml(value)}")["x"]


def test_variants_stay_with_their_family():
    """A repeated default run keeps the variants of a codec apart, and a named one does not."""
    variant = Wanted("agvae-gauss", (), True)
    plan = plans.choose(plans.Request((), ["jpeg", variant], ["psnr"]))
    named = plans.choose(plans.Request((), ["jpeg", "agvae-gauss"], ["psnr"]))
    entries = {entry["codec"]: entry for entry in repetition._entries(Path(), plan)}

    assert ({"agvae-branch": ["agvae-gauss"]}, {}) == (plan.families, named.families)
    assert entries["agvae-gauss"]["variant"] is True
    assert "variant" not in entries["jpeg"]


def test_a_dataset_that_was_taken_out_changes_nothing_else(measure, site: Path):
    """Pictures are known by their hash, not by their place in the list."""
    shutil.copytree(site / "pictures", site / "first")
    image.save(np.zeros((40, 48, 3), np.uint8), site / "first" / "0.png")
    words = ("-d", "folder:first", "-d", "folder:pictures", "-c", "jpeg", "-m", "psnr")
    measure(*words, "--points", "1", "-o", "out")
    text = (site / "out" / "experiment.toml").read_text()
    (site / "out" / "experiment.toml").write_text(text.replace('"folder:../first", ', ""))
    done = measure("out/experiment.toml", "-o", "again")

    assert (0, False) == (done.code, "the experiment was" in done.stderr)
    assert {"folder:pictures"} == {name for name, *_ in cells(site / "again")}


def test_a_default_run_is_repeated(tmp_path: Path):
    """Curve by curve, at the very settings, with the variants where they were."""
    plan = plans.choose(plans.Request((), (), ["psnr"], more_curves=True))
    wanted = [
        Wanted(entry["codec"], tuple(entry.get("quality", ())), entry.get("variant", False))
        for entry in repetition._entries(tmp_path, plan)
    ]
    again = plans.choose(plans.Request((), wanted, ["psnr"]))
    before, after = (
        {(registry.spec_name(c.codec, s), s.json) for c in one.curves for s in c.settings}
        for one in (plan, again)
    )

    assert before == after
    assert plan.families == again.families


def test_targets(measure, site: Path):
    """They are repeated by value; those of each image cannot be, and no file says otherwise."""
    words = ("-d", "folder:pictures", "-c", "jpeg", "-t", "psnr=30,33", "-o", "out")
    measure(*words)
    measure("out/experiment.toml", "-o", "again")
    assert cells(site / "out") == cells(site / "again")
    assert ("psnr=30", "psnr=33") == load_experiment("again/experiment.toml").targets
    each = PerImage("psnr", "psnr of webp", {("folder:pictures", "0.png"): 31.0})
    found = conductor.run(["folder:pictures"], ["jpeg"], ["psnr"], targets=[each], out="out")

    assert 1 == len(found.rows)
    assert not (site / "out" / "experiment.toml").exists()


def test_from_python(inline, site: Path):
    """The file's arguments are those of ``bench.run``."""
    found = conductor.run(**{**load_experiment("paper.toml").arguments(), "out": "out"})

    assert 12 == len(found.rows)
    assert 'anchor = "jpeg"' in Path("out/experiment.toml").read_text()
    with pytest.raises(UsageError, match="cannot read the experiment gone"):
        load_experiment("gone")
