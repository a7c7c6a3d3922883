"""What a run on a local Dask cluster of two workers costs beside two local processes, in turns.

``python tests/benchmarks/cluster.py``

1,000 generated pictures of 64x64, JPEG at two qualities, PSNR, as in ``growth.py``. CPU seconds of
the command with all its processes, and of the cluster's scheduler and workers with theirs while it
ran. Each round has a new cluster, so that its processes start in the first of two runs on it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from PIL import Image

QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def pictures(folder: Path, count: int) -> Path:
    """Fill a folder with pictures of 64x64."""
    folder.mkdir()
    random = np.random.default_rng(1)
    for index in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        coarse.resize((64, 64), Image.Resampling.BICUBIC).save(folder / f"{index:05d}.png")
    return folder


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, list[psutil.Process]]]:
    """Yield the address of a scheduler with two workers, as the docs start them; its processes."""
    from distributed import Client

    folder.mkdir()
    where = folder / "scheduler.json"
    common = ["--scheduler-file", str(where), "--no-dashboard", "--host", "127.0.0.1"]
    with ExitStack() as stack:
        started = []
        for words in (["scheduler", "--port", "0"], *[["worker", "--nthreads", "1"]] * 2):
            command = [sys.executable, "-m", "dask", *words, *common]
            process = stack.enter_context(subprocess.Popen(command, cwd=folder, **QUIET))
            stack.callback(process.terminate)
            started.append(psutil.Process(process.pid))
        while not where.exists() or not where.stat().st_size:
            time.sleep(0.1)
        address = json.loads(where.read_text())["address"]
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(2)
        yield address, started


def used_s(processes: list[psutil.Process]) -> float:
    """Return the CPU seconds of processes and of their descendants."""
    every = [one for process in processes for one in (process, *process.children(recursive=True))]
    return sum(sum(one.cpu_times()[:2]) for one in every)


def run(words: list[str]) -> tuple[float, float]:
    """Run a command; return its seconds, and the CPU seconds of it and of what it started."""
    started, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, "-m", "bench", *words], check=True, **QUIET)
    after = os.times()
    used = after.children_user - before.children_user
    used += after.children_system - before.children_system
    return time.perf_counter() - started, used


def rows(out: Path) -> pd.DataFrame:
    """Return what was measured, without times."""
    frame = pd.read_csv(out / "rows.csv")
    return frame.drop(columns=["encode_s", "decode_s"])


def main() -> None:
    """Print a line for each run, and medians of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        words = ["all", "-d", f"folder:{pictures(place / 'p', options.pictures)}", "-c", "jpeg"]
        words += ["-q", "50,90", "-m", "psnr", "-j", "2", "--out"]
        for number in range(options.rounds):
            with cluster(place / f"c{number}") as (address, processes):
                for turn in ("first", "next"):
                    local, there = place / f"l{number}{turn}", place / f"d{number}{turn}"
                    wall_s, cpu_s = run([*words, str(local)])
                    before = used_s(processes)
                    their_wall_s, theirs_s = run([*words, str(there), "--scheduler", address])
                    theirs_s += used_s(processes) - before
                    pd.testing.assert_frame_equal(rows(local), rows(there))
                    found = {"turn": turn, "s": their_wall_s / wall_s, "CPU s": theirs_s / cpu_s}
                    ratios.append(found)
                    sys.stdout.write(
                        f"two processes {wall_s:.2f} s, {cpu_s:.2f} CPU s; {turn} run on a cluster "
                        f"{their_wall_s:.2f} s, {theirs_s:.2f} CPU s: {found['s']:.2f} times the "
                        f"time, {found['CPU s']:.2f} times the CPU time\n"
                    )
                    sys.stdout.flush()
    medians = pd.DataFrame(ratios).groupby("turn", sort=False).median()
    sys.stdout.write(f"{medians.round(2).to_string()}\n")


if __name__ == "__main__":
    main()
