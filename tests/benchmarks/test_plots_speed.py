"""Processor time of a run's plots: every metric on both axes in both formats."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from bench.output import plots

ROOT = Path(__file__).resolve().parent.parent.parent


def test_all_plots_of_a_run_on_kodak(benchmark, tmp_path: Path):
    """The committed rows of Kodak, as ``bench plots`` draws them."""
    rows = pd.read_csv(ROOT / "results/kodak/rows.csv", keep_default_na=False, na_values=[""])
    record = json.loads((ROOT / "results/kodak/run.json").read_text())
    paths = benchmark.pedantic(
        plots.write_all, (rows, tmp_path), {"provenance": record}, rounds=3, warmup_rounds=1
    )

    if not paths:
        pytest.fail("nothing was drawn")
