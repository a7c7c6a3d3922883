"""Runs of a few tiny cells in this process, broken off where a test wants it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from forkserver import Here

from bench.measurement import pictures
from bench.measurement import plan as plans
from bench.measurement.progress import Progress
from bench.measurement.results import Results
from bench.measurement.run import run


class Watch(Progress):
    """Keeps what it is told; interrupts after some cells, or raises another error there."""

    def __init__(self, cells: int = -1, error: BaseException | None = None) -> None:
        self.left, self.error = cells, error or KeyboardInterrupt()
        self.said: list[str] = []
        self.plan: plans.Plan | None = None

    def say(self, text: str, *, loud: bool = False) -> None:  # noqa: ARG002
        """Keep it."""
        self.said.append(text)

    def planned(self, plan: plans.Plan) -> None:
        """Keep it."""
        self.plan = plan

    def measured(self, _row: object) -> None:
        """Count."""
        self.left -= 1
        if self.left == 0:
            raise self.error


def go(*datasets: object, codecs: Any = ("jpeg", "webp"), **more: Any) -> Results:
    """Measure in this process."""
    options = {"metrics": ["psnr"], "points": 4, "jobs": 1, "make_executor": Here} | more
    pictures.forget_all_but()
    return run([str(d) for d in datasets], codecs, options.pop("metrics"), **options)


def interrupted(*datasets: object, cells: int, **more: Any) -> None:
    """Begin a plan and break it off."""
    with pytest.raises(KeyboardInterrupt):
        go(*datasets, progress=Watch(cells), **more)


def files(folder: Path) -> dict[str, Any]:
    """Return the numbers of a folder of results, times left out."""
    rows = pd.read_csv(folder / "rows.csv").drop(columns=["encode_s", "decode_s"])
    found = {"rows": rows, "summary": pd.read_csv(folder / "summary.csv")}
    found["bd_rate"] = pd.read_csv(folder / "bd_rate.csv")
    return found


def same(one: Path, other: Path) -> bool:
    """Return whether two folders hold the same numbers and the same files."""
    names = [{p.relative_to(f) for p in f.rglob("*.*")} for f in (one, other)]
    assert names[0] == names[1]
    for name, frame in files(one).items():
        pd.testing.assert_frame_equal(frame, files(other)[name])
    return True
