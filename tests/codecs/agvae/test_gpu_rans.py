"""The device's kernels: under Triton's interpreter everywhere, on a GPU where there is one.

The interpreter must be chosen before Triton is imported, hence the processes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton", reason="AG-VAE's kernels need Triton")

ROOT = Path(__file__).parents[3]


def run(interpreted: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of ``gpu_kernels.py`` and ``gpu_networks.py`` in a fresh process."""
    files = [str(Path(__file__).with_name(f"gpu_{name}.py")) for name in ("kernels", "networks")]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=3", *files],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": interpreted},
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,  # of a loaded machine; 28 s of processor time
    )


@pytest.mark.slow
def test_kernels_in_the_interpreter():
    """Coder, exact networks and transforms compute what the CPU's code computes."""
    done = run("1")

    assert 0 == done.returncode, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_kernels_on_the_device():
    """The same on the device itself."""
    done = run("0")

    assert 0 == done.returncode, done.stdout[-6000:] + done.stderr[-2000:]
