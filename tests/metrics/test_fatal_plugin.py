"""A metric of another package that ends the process which loads it costs itself alone."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    "code",
    [
        "import os; os._exit(0)",
        "import ctypes; ctypes.string_at(0)",
        "raise SystemExit(0)",
        "raise KeyboardInterrupt",
    ],
    ids=["os-exit", "segv", "system-exit", "interrupt"],
)
def test_fatal_at_import(code, tmp_path, monkeypatch, run_bench):
    """It is unavailable with the reason; the list is whole, and the exit code is what it was."""
    (tmp_path / "fatal.py").write_text(f"{code}\n")
    info = tmp_path / "fatal-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fatal\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bench.metrics]\nfatal = fatal:Fatal\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    done = run_bench("list")

    assert "psnr" in done.stdout
    assert "jpeg" in done.stdout
    assert "fatal" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
