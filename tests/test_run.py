"""What ``bench all`` says at its end, and when nothing came of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench import image

Bench = Callable[..., subprocess.CompletedProcess[str]]
SMALL = ("--metric", "psnr", "-j", "1")


def test_the_headline_is_printed(crops: Path, tmp_path: Path, run_bench: Bench):
    """A run ends with BD-rates on standard output, and says so again when it found all stored."""
    words = ["all", "-d", f"folder:{crops}", "-c", "jpeg", "-c", "webp", *SMALL]
    first = run_bench(
        *words, "--points", 4, "--out", tmp_path / "out", workers=False
    ).stdout.splitlines()
    second = run_bench(
        *words, "--points", 4, "--out", tmp_path / "out", workers=False
    ).stdout.splitlines()

    assert f"folder:{crops}, 4 images: the point of each codec nearest to" in first[0]
    assert "bpp PSNR BD-rate (PSNR)" == " ".join(first[1].split())
    assert "webp" == first[2].split()[0]
    assert first == second


def test_a_folder_of_broken_images_is_one_line(tmp_path: Path, run_bench: Bench):
    """Where no image can be read nothing is measured or written: one line, exit code 2."""
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "text.png").write_text("not a picture")
    out = tmp_path / "out"
    words = ["all", "-d", f"folder:{folder}", "-c", "jpeg", *SMALL]
    done = run_bench(*words, "--out", out, check=False)

    assert 2 == done.returncode
    assert 1 == len(done.stderr.strip().splitlines())
    assert "bench: no image can be measured: ImageError" in done.stderr
    assert "Convert it to PNG." in done.stderr
    assert not (out / "rows.csv").exists()


def test_a_broken_image_among_others_is_named(crops: Path, tmp_path: Path, run_bench: Bench):
    """One bad image is told as it is left out; the run succeeds, brackets in names or not."""
    (crops / "broken[red].png").write_bytes((crops / "crop0.png").read_bytes()[:2000])
    words = ["all", "-d", f"folder:{crops}", "-c", "jpeg", "--points", 1, *SMALL]
    done = run_bench(*words, "--out", tmp_path / "out", workers=False)

    assert "left out: broken[red].png: ImageError" in done.stderr
    assert "damaged or truncated" in done.stderr


def test_a_codec_that_fails_everywhere_is_exit_code_2(tmp_path: Path, run_bench: Bench):
    """A picture too wide for WebP, alone: rows with errors, and a line that says so."""
    folder = tmp_path / "images"
    folder.mkdir()
    image.save(np.zeros((2, 20_000, 3), np.uint8), folder / "wide.png")
    words = ["all", "-d", f"folder:{folder}", "-c", "webp", "--points", 1, *SMALL]
    done = run_bench(*words, "--out", tmp_path / "out", check=False, workers=False)

    assert 2 == done.returncode
    assert "Traceback" not in done.stderr
    assert "bench: nothing was measured: all 1 cells failed" in done.stderr.splitlines()[-1]
    assert "at most 16383 pixels a side" in (tmp_path / "out" / "rows.csv").read_text()


@pytest.mark.parametrize("text", ["", ",", "a,b"])
def test_quality_without_numbers(text: str, tmp_path: Path, run_bench: Bench):
    """--quality that names no number is a mistake, told with an example."""
    words = ["all", "-d", "sample", "-c", "jpeg", "--quality", text, "--out", tmp_path / "out"]
    done = run_bench(*words, check=False)

    assert 2 == done.returncode
    assert f"bench: --quality wants numbers, found {text!r}" in done.stderr
    assert not (tmp_path / "out").exists()


def test_plots_alone_keep_the_tables_in_the_record(run_bench, crops, tmp_path):
    """``run.json`` lists what lies in the folder, also after half of it was written again."""
    out = tmp_path / "out"
    words = ("all", "-d", f"folder:{crops}", "-c", "jpeg", "-m", "psnr", "--quick", "--out", out)
    run_bench(*words, plots=True, workers=False)
    before = set(json.loads((out / "run.json").read_text())["files"])

    run_bench("plots", "--out", out)

    assert before == set(json.loads((out / "run.json").read_text())["files"])
