"""Whole curves on Kodak against published ones; minutes of encoding.

``pytest tests/benchmarks/test_published_curves.py --benchmark-only``
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench.analysis import bjontegaard
from bench.analysis.published_names import find

QPS = "47,42,37,32,27,22,17,12"
"""The quantisers of CompressAI's published curve: 47 to 12 in steps of 5."""


@pytest.mark.benchmark(group="192 encodings of BPG over Kodak")
def test_bpg_444(benchmark, kodak_dir: Path, tmp_path: Path, run_bench):
    """BPG 4:4:4, 8 bit, level 8 lies within 2 % BD-rate of bpgenc 0.9.8 with x265."""
    words = ["all", "--dataset", "kodak", "--data-dir", kodak_dir.parent, "--codec", "bpg"]
    words += ["--metric", "psnr", "--quality", QPS, "--out", tmp_path / "out"]
    benchmark.pedantic(run_bench, words, rounds=1)
    means = pd.read_csv(tmp_path / "out" / "summary.csv")
    found = find("bpg444").values("psnr_db")
    ours = bjontegaard.Curve(tuple(means["bpp"]), tuple(means["psnr_db"]))
    delta = bjontegaard.compare(bjontegaard.Curve(*map(tuple, found.T)), ours)
    benchmark.extra_info["bd_rate_percent"] = delta.bd_rate_percent

    assert abs(delta.bd_rate_percent) < 2
