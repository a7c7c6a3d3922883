"""Photographs that no dataset holds, cut small, and runs that last seconds."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bench import image
from bench.codecs.agvae.training.options import Options
from bench.codecs.agvae.training.run import Session
from bench.codecs.agvae.training.schedule import Budget
from bench.codecs.agvae.training.stages import PACKAGED, Settings, run, stages
from bench.image import Image

CROPS = {
    "rocket.jpg": ((40, 120), (200, 300)),
    "ihc.png": ((0, 0), (250, 200)),
    "retina.jpg": ((300, 400), (900, 700)),
}
"""Files of scikit-image's wheel -> top left corners of what is cut out of them."""

HEIGHT, WIDTH = 200, 230


@pytest.fixture(autouse=True)
def _one_thread():
    """Results must not depend on how many cores happen to be free."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def pieces() -> dict[str, Image]:
    """Six pieces of photographs, 200x230, by file name."""
    import skimage

    data = Path(skimage.__file__).parent / "data"
    found = {}
    for name, corners in CROPS.items():
        whole = image.load(data / name)
        for number, (top, left) in enumerate(corners):
            piece = whole[top : top + HEIGHT, left : left + WIDTH].copy()
            found[f"{Path(name).stem}{number}.png"] = piece
    return found


@pytest.fixture(scope="session")
def photo_dir(tmp_path_factory: pytest.TempPathFactory, pieces: dict[str, Image]) -> Path:
    """A folder of these pieces with a manifest that knows licence, source and hash of each."""
    folder = tmp_path_factory.mktemp("photos")
    rows = []
    for name, pixels in pieces.items():
        image.save(pixels, folder / name)
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        rows.append({"name": name, "licence": "CC0", "source": f"sky/{name}", "sha256": digest})
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["name", "licence", "source", "sha256"])
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture
def options(photo_dir: Path, tmp_path: Path) -> Callable[..., Options]:
    """Return a function: name and what differs -> options of a run of seconds."""

    def make(name: str = "net", steps: int = 6, **more: object) -> Options:
        values = {"preset": "small", "batch": 8, "crop": 64, "held_out": 2, "warm_up_steps": 3}
        out = tmp_path / f"{name}.safetensors"
        return Options((photo_dir,), out, Budget(steps), **{**values, **more})

    return make


@pytest.fixture(scope="session")
def ablation_settings(
    tmp_path_factory: pytest.TempPathFactory, photo_dir: Path
) -> Callable[..., Settings]:
    """Return a function: what differs -> settings of tiny branches in a fresh folder."""

    def make(**more: object) -> Settings:
        values = {
            "data": (photo_dir,),
            "work": tmp_path_factory.mktemp("work"),
            "trunk": PACKAGED.with_name("small-gain-asym-mse.safetensors"),
            "branch_steps": 2,
            "only": ("branch-*",),
            "crop": 64,
        }
        return Settings(**{**values, **more})

    return make


@pytest.fixture(scope="session")
def trained(ablation_settings: Callable[..., Settings]) -> Settings:
    """All eight networks of the ablation, two steps from the packaged small network."""
    settings = ablation_settings()
    torch.set_num_threads(1)
    run(
        settings,
        Session(),
        real_files=False,
        tell=lambda *_: None,
        told=lambda *_: None,
    )
    assert all(stage.finished for stage in stages(settings))
    return settings
