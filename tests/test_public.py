"""What ``import bench`` gives: documented names, loaded late, and the example of docs/use.md."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import bench

ROOT = Path(__file__).resolve().parent.parent


def test_public_names():
    """They are sorted, complete, and the only names that ``dir`` shows."""
    assert sorted(bench.__all__) == bench.__all__ == dir(bench)
    assert {"run", "load_results", "Results", "Codec", "Metric", "BenchError"} <= {*bench.__all__}
    for name in bench.__all__:
        assert getattr(bench, name).__doc__
    assert all(issubclass(getattr(bench, n), bench.BenchError) for n in dir(bench) if "Error" in n)


def test_unknown_name():
    """A name that is not public is an AttributeError, as of any module."""
    with pytest.raises(AttributeError, match="has no attribute 'nosuch'"):
        _ = bench.nosuch  # type: ignore[attr-defined]


def test_import_is_light():
    """``import bench`` and ``bench --help`` load no numeric library."""
    heavy = "{'numpy', 'pandas', 'torch', 'matplotlib', 'PIL'}"
    for module in ("bench", "bench.cli"):
        code = f"import sys, {module}; print(*sorted({heavy} & set(sys.modules)))"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert "" == done.stdout.strip()


def test_documented_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The example of docs/use.md runs as printed and returns tables."""
    found = re.search(r"```py\n(.*?)```", (ROOT / "docs" / "use.md").read_text(), re.DOTALL)
    assert found is not None
    monkeypatch.chdir(tmp_path)
    space: dict[str, bench.Results] = {}
    exec(found[1], space)
    r = space["r"]

    assert (tmp_path / "results" / "mine" / "bench.sqlite").is_file()
    for frame in (r.summary(), r.bd_rates(anchor="jpeg"), r.failures()):
        assert isinstance(frame, pd.DataFrame)
    assert {"jpeg", "webp"} == set(r.summary()["codec"])
    assert ["webp"] == r.bd_rates(anchor="jpeg")["codec"].unique().tolist()
    pd.testing.assert_frame_equal(r.rows, bench.load_results("results/mine").rows)


def test_documented_experiment(tmp_path: Path, crops: Path, monkeypatch: pytest.MonkeyPatch):
    """The example of docs/experiments.md runs the file of that page from Python."""
    text = (ROOT / "docs" / "experiments.md").read_text()
    toml, code = (re.search(rf"```{kind}\n(.*?)```", text, re.DOTALL) for kind in ("toml", "py"))
    assert toml is not None
    assert code is not None
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paper.toml").write_text(toml[1].replace("folder:photos", f"folder:{crops}"))
    space: dict[str, bench.Results] = {}
    exec(code[1], space)

    assert {"jpeg", "webp:method=6", "avif:speed=8"} == set(space["results"].summary()["codec"])
    assert (tmp_path / "results" / "notebook" / "experiment.toml").is_file()


def test_empty_quality():
    """A run of no setting is refused in one line: it is no default and no IndexError."""
    with pytest.raises(bench.UsageError, match="no setting of jpeg was asked for"):
        bench.run(datasets=["sample"], codecs=["jpeg"], metrics=["psnr"], quality=[])
    with pytest.raises(bench.UsageError, match="no setting of jpeg was asked for"):
        bench.run(datasets=["sample"], codecs={"jpeg": []}, metrics=["psnr"])
