"""Three tiny photographs, and a run that is broken off after the very cell."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import image
from bench.measurement import executor


@pytest.fixture
def small(tmp_path: Path, photo: image.Image) -> Path:
    """A folder of three different photographs, 48x40."""
    folder = tmp_path / "small"
    folder.mkdir()
    for number, name in enumerate("abc"):
        crop = photo[80 * number : 80 * number + 40, 90 * number : 90 * number + 48]
        image.save(crop, folder / f"{name}.png")
    return folder


@pytest.fixture
def one_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break off after the very cell."""
    monkeypatch.setattr(executor, "_IN_FLIGHT_PER_WORKER", 1)
