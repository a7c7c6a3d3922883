"""The fuzzer: finds planted faults of every kind, and nothing in a short run of real decoders."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

PLANTED = """
import os, time
import numpy as np
import fuzz, targets
from targets import Target, PLAIN
fuzz.HANG_S, fuzz.MEMORY_MIB = 3, 400
GOOD = np.zeros((2, 2, 3), np.uint8)

def decode(data):
    kind = "{kind}"
    if data == bytes(range(64)):
        return GOOD
    if kind == "raise":
        raise KeyError("foreign")
    if kind == "exit":
        raise SystemExit(0)
    if kind == "crash":
        os.abort()
    if kind == "hang":
        time.sleep(60)
    if kind == "memory":
        np.ones(1 << 29, np.uint8)
    if kind == "shape":
        return GOOD[..., 0]
    return GOOD + 9

targets.make = lambda name: Target(decode, [bytes(range(64))], PLAIN, True)
"""
FOUND = {
    "raise": "KeyError",
    "exit": "SystemExit",
    "crash": "the process ended with -6",
    "hang": "| 0 | 4 |",
    "memory": "MemoryError",
    "shape": "no image",
    "pixels": "other pixels behind a checksum",
}


def _fuzz(folder: Path, *words: str, plant: str = "") -> subprocess.CompletedProcess[str]:
    paths = [str(folder), str(HERE), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    script = folder / "planted.py"
    script.write_text(
        plant + "\nimport fuzz, sys\nfuzz.__file__ = __file__\nsys.exit(fuzz.main())\n"
    )
    return subprocess.run(
        [sys.executable, script, *words, "--keep", folder / "found"],
        env=env, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    [pytest.param(k, marks=pytest.mark.slow) if k in ("hang", "memory") else k for k in FOUND],
)
def test_planted_faults_are_found(tmp_path: Path, kind: str) -> None:
    """Each kind of fault ends in exit code 1, its name, and the input that shows it."""
    plant = PLANTED.replace("{kind}", kind)
    done = _fuzz(tmp_path, "--target", "planted", "--inputs", "4", "--minutes", "1", plant=plant)

    assert done.returncode == 1, done.stdout + done.stderr
    assert FOUND[kind] in done.stdout
    assert list((tmp_path / "found").glob("planted-*"))


def test_a_short_run_of_real_decoders_finds_nothing(tmp_path: Path) -> None:
    """A thousand damaged files of six decoders give no fault (seed and files are fixed)."""
    names = ["load-png", "load-jpeg", "codec-jpeg", "codec-webp", "codec-jpeg2000", "codec-bpg"]
    targets = [word for name in names for word in ("--target", name)]
    done = _fuzz(tmp_path, *targets, "--inputs", "1200", "--minutes", "4", "--seed", "3")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "1200 inputs, 0 faults" in done.stdout
