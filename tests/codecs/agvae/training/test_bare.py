"""Training needs torch, NumPy, Pillow, safetensors, typer and rich, and no other library."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from bench.cli import command_line
from bench.errors import BenchError

ABSENT = (
    *("av", "bjontegaard", "compressai", "lpips", "pillow_avif", "platformdirs", "pooch"),
    *("pytorch_msssim", "requests", "torchvision"),
)
"""Libraries that the suite needs and a bare machine with torch does not have."""

BARE = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT!r}:
            raise ImportError(name + " is not here")
sys.meta_path.insert(0, Absent())
from bench.cli import main
main()
"""


def on_a_bare_machine(*words: object) -> subprocess.CompletedProcess[str]:
    """Run ``bench WORDS`` in a process that lacks those libraries."""
    return subprocess.run(
        [sys.executable, "-c", BARE, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
def test_train_all_on_a_bare_machine(photo_dir, tmp_path):
    """One command trains, exports and measures with torch and little else."""
    done = on_a_bare_machine(
        *("train-all", "--data", photo_dir, "--work", tmp_path / "work", "--only"),
        *("small-gain-asym-mse", "--small-steps", 2, "--batch", 8, "--crop", 64),
        *("--estimate", "--pause-after", "520s"),
    )

    assert 0 == done.returncode, done.stderr
    assert "all stages are finished" in done.stdout
    facts = json.loads((tmp_path / "work" / "small-gain-asym-mse.json").read_text())
    assert "estimated bits" == facts["reached"]["by"]
    assert 11 == len(facts["reached"]["rows"])


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("train", "--out", "x", "--budget", "1s"), "no training data"),
        (("train", "absent.tar", "--out", "x", "--budget", "1s"), "absent.tar: no such file"),
        (("train", "absent.tar", "--budget", "1s"), "--out is missing"),
        (("train", "absent.tar", "--out", "x", "--budget", "1h"), "--budget wants"),
        (("train-all", "absent.tar"), "absent.tar: no such file"),
        (("train-all", "absent.tar", "--levels", "a"), "--levels wants"),
        (
            ("train", "absent.tar", "--out", "x", "--budget", "1s", "--level-power", "2"),
            "--level-power must lie",
        ),
        (("train-all", "absent.tar", "--pause-after", "3steps"), "--pause-after wants"),
    ],
)
def test_bad_input(tmp_path, monkeypatch, words, match):
    """What cannot be done is said in one line and leaves nothing behind."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(BenchError, match=match) as caught:
        command_line(words)(words, standalone_mode=False)

    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("x*"))


def test_codecs_do_not_load_the_trainer(run_bench):
    """Encoding and decoding never import training code."""
    code = (
        "import sys, bench.registry as r; r.discover(); r.create('jpeg');"
        "import bench.codecs.agvae.runtime.engine;"
        "print([m for m in sys.modules if '.training' in m])"
    )

    assert "[]" == run_bench.python(code).stdout.strip()


def test_train_continues_on_the_command_line(photo_dir, tmp_path, capsys):
    """The same command twice: paused, then finished with a table of real files."""
    words = (
        *("train", photo_dir, "--out", tmp_path / "net", "--budget", "12steps"),
        *("--preset", "small", "--batch", 8, "--crop", 64, "--variant", "nogain-gauss"),
        *("--level", 4, "--device", "cpu"),
    )

    words = [*map(str, words)]
    command_line(words)([*words, "--pause-after", "0.001s"], standalone_mode=False)
    first = capsys.readouterr()
    command_line(words)(words, standalone_mode=False)
    second = capsys.readouterr()

    assert "paused at step 10" in first.err
    assert "level      bpp" in second.out
    assert 12 == json.loads((tmp_path / "net.json").read_text())["training"]["steps"]
    assert 13 == len((tmp_path / "net.csv").read_text().splitlines())
