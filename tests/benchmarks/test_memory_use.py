"""How much memory a worker and a large picture take; ``tox -e benchmark -- -k memory``."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench import image

GIB = 2**30
CLASSICAL = ("jpeg", "webp", "avif", "bpg")
LARGE = (5216, 7680)
"""Height and width of 40 million pixels."""


def peak_bytes(pid: int) -> int:
    """Return the largest resident size a process ever had, 0 where it is gone."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return 0


def watched(*words: object) -> dict[str, int]:
    """Run bench; return the peak of itself and the largest of its workers."""
    psutil = pytest.importorskip("psutil")
    command = [sys.executable, "-m", "bench", *map(str, words)]
    peak = {"main": 0, "worker": 0}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        known = psutil.Process(process.pid)
        while process.poll() is None:
            peak["main"] = max(peak["main"], peak_bytes(process.pid))
            with contextlib.suppress(psutil.Error):
                found = [peak_bytes(child.pid) for child in known.children(recursive=True)]
                peak["worker"] = max([peak["worker"], *found])
            time.sleep(0.05)
        assert process.stderr is not None
        said = process.stderr.read().decode()
    assert 0 == process.returncode, said
    return peak


@pytest.mark.benchmark(group="memory")
@pytest.mark.parametrize(("metrics", "limit"), [(("psnr", "ms_ssim"), 0.5), ((), 1.5)])
def test_classical_run(
    benchmark, kodak_dir: Path, tmp_path: Path, metrics: tuple[str, ...], limit: float
):
    """No worker of the classical codecs takes more: 0.5 GiB without LPIPS, which needs torch."""
    words = ["all", "--dataset", "kodak", "--data-dir", kodak_dir.parent, "--image", "kodim05"]
    words += [word for codec in CLASSICAL for word in ("--codec", codec)]
    words += [word for metric in metrics for word in ("--metric", metric)]
    peak = benchmark.pedantic(watched, [*words, "--out", tmp_path / "out", "-j", 2], rounds=1)
    benchmark.extra_info.update({f"peak_{name}_gib": v / GIB for name, v in peak.items()})

    assert 0 < peak["worker"] < limit * GIB


@pytest.mark.benchmark(group="memory")
def test_40_megapixels(benchmark, kodim: Callable[[int], image.Image], tmp_path: Path):
    """AG-VAE decodes 40 million pixels in less than 6 GiB, to the size they had."""
    height, width = LARGE
    tile = kodim(5)
    copies = (-(-height // tile.shape[0]), -(-width // tile.shape[1]), 1)
    source, coded, back = (tmp_path / name for name in ("in.ppm", "in.agv", "back.ppm"))
    image.save(np.tile(tile, copies)[:height, :width], source)
    encoding = watched("encode", source, coded, "--quality", 2)
    decoding = benchmark.pedantic(watched, ("decode", coded, back), rounds=1)
    benchmark.extra_info["peak_encode_gib"] = encoding["main"] / GIB
    benchmark.extra_info["peak_decode_gib"] = decoding["main"] / GIB

    assert 3 * height * width < back.stat().st_size
    assert decoding["main"] < 6 * GIB
