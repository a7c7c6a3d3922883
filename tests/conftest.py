"""What tests share: real images, found where they are and skipped with a reason where not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench import image
from bench.image import Image

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session", autouse=True)
def _environment() -> None:
    """Let tests find the team's data where BENCH_DATA and BENCH_WEIGHTS do not say."""
    for name, folder in (("BENCH_DATA", "datasets"), ("BENCH_WEIGHTS", "weights")):
        if name not in os.environ and (SHARED / folder).is_dir():
            os.environ[name] = str(SHARED / folder)


def _folder(variable: str, below: str) -> Path:
    base = os.environ.get(variable)
    path = Path(base or "absent") / below
    if not path.is_dir():
        pytest.skip(f"needs {below}: set {variable} to the folder that holds it")
    return path


@pytest.fixture(scope="session")
def kodak_dir(_environment: None) -> Path:
    """The folder of the 24 Kodak images."""
    return _folder("BENCH_DATA", "kodak")


@pytest.fixture(scope="session")
def clic2025_dir(_environment: None) -> Path:
    """The folder of (some of) the CLIC 2025 validation images."""
    return _folder("BENCH_DATA", "clic2025")


@pytest.fixture(scope="session")
def weights_dir(_environment: None) -> Path:
    """The folder of weights that are not in the package."""
    return _folder("BENCH_WEIGHTS", ".")


@pytest.fixture(scope="session")
def kodim(kodak_dir: Path) -> Callable[[int], Image]:
    """Return a function: number of a Kodak image -> its pixels."""
    return lambda number: image.load(kodak_dir / f"kodim{number:02d}.png")


@pytest.fixture(scope="session")
def photo() -> Image:
    """A photograph that is always at hand: scikit-image's chelsea, 300x451."""
    import skimage

    return image.load(Path(skimage.__file__).parent / "data" / "chelsea.png")


@pytest.fixture(scope="session")
def rng() -> np.random.Generator:
    """A generator with a fixed seed."""
    return np.random.default_rng(20211)
