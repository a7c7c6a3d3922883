"""Where numbers come from: commit, package versions, machine, threads, date."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import sys
import threading
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.measurement.ownership import seal

PACKAGES = (
    "numpy",
    "pillow",
    "pillow-avif-plugin",
    "pillow-heif",
    "pillow-jxl-plugin",
    "pyjpegli",
    "av",
    "opencv-python-headless",
    "scipy",
    "torch",
    "torchvision",
    "compressai",
    "pytorch-msssim",
    "lpips",
    "numba",
    "pandas",
    "matplotlib",
)


def bench_version() -> str:
    """Return the version of this package; ``unknown`` where it runs without being installed."""
    try:
        return version("agvae-bench")
    except PackageNotFoundError:
        return "unknown"


def package_versions() -> dict[str, str]:
    """Return the installed versions of what takes part in a measurement."""
    found = {"bench": bench_version(), "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def cpu_count() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def cpu_name() -> str:
    """Return the processor's own name."""
    return _cpu_info("model name") or platform.processor() or platform.machine()


def _cpu_info(key: str) -> str:
    """Return the first value of ``key`` in Linux's description of the processors, or nothing."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((row.partition(":")[2].strip() for row in lines if row.startswith(key)), "")


def cpu_flags() -> list[str]:
    """Return the vector extensions that change which kernels run."""
    wanted = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")
    found = _cpu_info("flags").split()
    return [flag for flag in wanted if flag in found]


@cache
def gpu_name() -> str:
    """Return the names of NVIDIA GPUs, or an empty text."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return ""
    done = subprocess.run(  # noqa: S603 - a fixed command
        [tool, "--query-gpu=name", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    return ", ".join(done.stdout.split("\n")).strip(", ") if done.returncode == 0 else ""


@cache
def git_commit() -> str:
    """Return the commit of this checkout, with ``+changes`` where its code differs; may be empty.

    Results and files that git does not know are no part of the code.
    """
    root = Path(__file__).resolve().parents[2]
    tool = shutil.which("git")
    if not tool or not (root / ".git").exists():
        return ""

    def ask(*words: str) -> str:
        return subprocess.run(  # noqa: S603 - fixed commands
            [tool, "-C", str(root), *words], capture_output=True, text=True, check=False
        ).stdout.strip()

    head = ask("rev-parse", "--short=12", "HEAD")
    changed = ask("status", "--porcelain", "--untracked-files=no", "--", ".", ":!results")
    return f"{head}+changes" if head and changed else head


def ask_ahead() -> None:
    """Let git and the GPU's driver be asked in a thread; ``record`` finds what they answered."""

    def ask() -> None:
        with contextlib.suppress(Exception):  # record asks again, and says what is wrong
            git_commit()
            gpu_name()

    threading.Thread(target=ask, daemon=True).start()


def record(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - plain data for JSON
    """Return the run record: plain data, ready for JSON."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": git_commit(),
        "versions": package_versions(),
        "cpu": cpu_name(),
        "cpu_flags": cpu_flags(),
        "cores": cpu_count(),
        "gpu": gpu_name(),
        "system": f"{platform.system()} {platform.machine()}",
        "executable": Path(sys.executable).name,
        "seal": seal(more),
        **more,
    }
