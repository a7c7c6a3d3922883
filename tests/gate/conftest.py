"""Small real measurements in this process, so that a codec can be broken by monkeypatching."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from forkserver import Here

from bench import image, registry
from bench.codec import Setting
from bench.gate import check, diagnose, measure, tolerance
from bench.gate.check import Report
from bench.gate.rows import Locked
from bench.image import Image
from bench.measurement import decoder, pictures, plan, worker


def forget() -> None:
    """Make the worker side of this process as fresh as a new one."""
    pictures.forget_all_but()
    for kept in (decoder.codec, worker._metric):
        getattr(kept, "cache_clear", lambda: None)()  # a test may replace them


@dataclass(frozen=True)
class Gate:
    """A folder of crops, and the two steps of the gate on it."""

    folder: Path

    @property
    def dataset(self) -> str:
        """Its name."""
        return f"folder:{self.folder}"

    @property
    def inline(self) -> Executor:
        """An executor that runs calls here."""
        return Here()

    @staticmethod
    def ladder(codec: str, points: int | None = None) -> list[Setting]:
        """Return rungs of a codec as a baseline holds them."""
        settings = registry.settings(registry.create(codec), registry.Spec.parse(codec))
        return plan.spread(settings, points)

    def lock(self, settings: Mapping[str, Sequence[Setting]]) -> Locked:
        """Measure a baseline."""
        forget()
        want = measure.Want({self.dataset: ()}, settings)
        return measure.measure(want, decoded=True, make_executor=Here).locked

    def check(self, locked: Locked, **options: Any) -> Report:
        """Measure the same again and compare, as ``bench check`` does."""
        forget()
        want = measure.of_rows(locked.rows.values())
        found = measure.measure(want, like=locked, make_executor=Here)
        report = check.compare(
            locked,
            found.locked,
            tolerance.load(self.folder / "baseline.csv"),
            lacking=found.lacking,
            **options,
        )
        return diagnose.notes(report, found.items, diagnose.explain)


@pytest.fixture(scope="session")
def make_gate(
    tmp_path_factory: pytest.TempPathFactory, photo: Image
) -> Callable[[Sequence[tuple[int, int]]], Gate]:
    """Return a function: corners of crops -> a gate on these 168x176 crops of a photograph."""

    def make(corners: Sequence[tuple[int, int]]) -> Gate:
        folder = tmp_path_factory.mktemp("crops")
        for number, (top, left) in enumerate(corners):
            image.save(photo[top : top + 168, left : left + 176], folder / f"crop{number}.png")
        return Gate(folder)

    return make


@pytest.fixture(scope="session")
def gate(make_gate) -> Gate:
    """Three crops."""
    return make_gate([(0, 0), (0, 260), (120, 100)])


@pytest.fixture(scope="session")
def locked(gate: Gate) -> Locked:
    """JPEG and WebP on three crops, six rungs each."""
    return gate.lock({"jpeg": gate.ladder("jpeg", 6), "webp": gate.ladder("webp", 6)})


@pytest.fixture(autouse=True)
def _fresh_worker() -> Iterator[None]:
    yield
    forget()
