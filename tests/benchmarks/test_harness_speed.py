"""Whole-process speed: the harness against CompressAI's bench on the same points, start-up, resume.

Compare only within one run: ``tox -e benchmark -- -k harness``.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

QUALITIES = [str(q) for q in range(5, 100, 10)]
CODECS = ("jpeg", "webp")


def ours(kodak_dir: Path, out: Path) -> pd.DataFrame:
    """Measure 480 encodings from nothing; return the summary."""
    shutil.rmtree(out, ignore_errors=True)
    words = [w for codec in CODECS for w in ("--codec", codec)]
    words += ["--metric", "psnr", "--metric", "ms_ssim", "--quality", ",".join(QUALITIES)]
    command = [sys.executable, "-m", "bench", "all", "--dataset", "kodak", *words]
    subprocess.run(
        [*command, "--data-dir", kodak_dir.parent, "--out", out, "-j", "2"],
        check=True,
        capture_output=True,
    )
    return pd.read_csv(out / "summary.csv")


def theirs(kodak_dir: Path) -> dict[str, dict[str, list[float]]]:
    """Measure the same with CompressAI's bench; return its results by codec."""
    found = {}
    for codec in CODECS:
        command = [sys.executable, "-m", "compressai.utils.bench", codec, str(kodak_dir)]
        command += ["-q", ",".join(QUALITIES), "-j", "2"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found[codec] = json.loads(done.stdout)["results"]
    return found


@pytest.mark.benchmark(group="480 encodings over Kodak, JPEG and WebP, PSNR and MS-SSIM")
def test_bench_all(benchmark, kodak_dir: Path, tmp_path: Path):
    """Our harness, plots and tables included."""
    summary = benchmark.pedantic(ours, (kodak_dir, tmp_path / "out"), rounds=1)

    assert len(CODECS) * len(QUALITIES) == len(summary)


@pytest.mark.usefixtures("compressai")
@pytest.mark.benchmark(group="480 encodings over Kodak, JPEG and WebP, PSNR and MS-SSIM")
def test_compressai_bench(benchmark, kodak_dir: Path, tmp_path: Path):
    """CompressAI's, with equal values; ours takes at most an eighth of its time in the same run."""
    started = time.perf_counter()
    reference = benchmark.pedantic(theirs, (kodak_dir,), rounds=1)
    between = time.perf_counter()
    summary = ours(kodak_dir, tmp_path / "out")
    ratio = (between - started) / (time.perf_counter() - between)
    benchmark.extra_info["times_as_fast"] = ratio
    for codec in CODECS:
        rows = summary[summary.codec == codec].sort_values("bpp")

        assert pytest.approx(reference[codec]["bpp"], abs=1e-9) == rows.bpp.tolist()
        assert pytest.approx(reference[codec]["psnr-rgb"], abs=1e-4) == rows.psnr_db.tolist()
        assert pytest.approx(reference[codec]["ms-ssim-rgb"], abs=1e-5) == rows.ms_ssim.tolist()
    assert ratio >= 8


@pytest.mark.benchmark(group="start-up and resume")
def test_help(benchmark):
    """``bench --help`` takes less than half a second."""
    benchmark.pedantic(
        subprocess.run,
        ([sys.executable, "-m", "bench", "--help"],),
        {"check": True, "capture_output": True},
        rounds=5,
    )

    assert benchmark.stats.stats.min < 0.5  # what others do on the machine only adds


@pytest.mark.benchmark(group="start-up and resume")
def test_resume_with_everything_stored(benchmark, kodak_dir: Path, tmp_path: Path):
    """A second ``bench all`` finds 960 rows, as many as a whole run has, in under 5 seconds."""
    words = ["--dataset", "kodak", "--codec", "jpeg", "--codec", "webp", "--metric", "psnr"]
    words += ["--quality", ",".join(str(q) for q in range(3, 100, 5))]
    command = [sys.executable, "-m", "bench", "all", *words, "--out", str(tmp_path / "out")]
    command += ["--data-dir", str(kodak_dir.parent)]
    subprocess.run(command, check=True, capture_output=True)
    done = benchmark.pedantic(
        subprocess.run, (command,), {"check": True, "capture_output": True, "text": True}, rounds=3
    )

    assert "960 cells: 0 measured now" in done.stderr
    assert benchmark.stats.stats.median < 5
