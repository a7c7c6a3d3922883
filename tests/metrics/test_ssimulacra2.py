"""SSIMULACRA2 against the package of that name, and where its definition says the value."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from bench import image, metrics
from bench.image import Image
from bench.metrics import Undefined
from bench.metrics.ssimulacra2 import SCALES, WEIGHTS, Ssimulacra2

METRIC = Ssimulacra2()


def _compressed(pixels: Image, kind: str, quality: int) -> Image:
    buffer = io.BytesIO()
    PILImage.fromarray(pixels).save(buffer, kind, quality=quality)
    with PILImage.open(buffer) as opened:
        return np.array(opened.convert("RGB"))


def _by_package(folder: Path, original: Image, decoded: Image) -> float:
    """Return the package's score; it reads files."""
    package = pytest.importorskip("ssimulacra2.ssimulacra2", reason="needs the package ssimulacra2")
    image.save(original, folder / "original.png")
    image.save(decoded, folder / "decoded.png")
    return package.compute_ssimulacra2(folder / "original.png", folder / "decoded.png")


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
@pytest.mark.parametrize("quality", [3, 30, 75, 97])
def test_equals_the_package(tmp_path: Path, photo: Image, kind: str, quality: int):
    """Within 0.001 of the package, which computes in double precision."""
    decoded = _compressed(photo, kind, quality)

    assert _by_package(tmp_path, photo, decoded) == pytest.approx(METRIC(photo, decoded), abs=1e-3)


@pytest.mark.parametrize("shape", [(8, 8), (9, 40), (31, 50), (224, 226), (225, 225), (300, 17)])
def test_equals_the_package_at_any_size(tmp_path: Path, photo: Image, shape: tuple[int, int]):
    """Odd sides, and sizes that have fewer than six scales."""
    pixels = photo[: shape[0], 100 : 100 + shape[1]].copy()
    decoded = _compressed(pixels, "JPEG", 40)

    assert _by_package(tmp_path, pixels, decoded) == pytest.approx(
        METRIC(pixels, decoded), abs=1e-2
    )


def test_equals_published_programs_value(photo: Image):
    """A fixed pair has the value that was recorded from the package on 2026-11-29."""
    moved = np.roll(photo, 1, axis=1)

    assert METRIC(photo, moved) == pytest.approx(23.68601, abs=1e-3)


def test_an_exact_copy_has_100(photo: Image):
    """Exactly, not nearly: the value at the better end stands for equal pictures."""
    assert METRIC(photo, photo.copy()) == 100.0


def test_one_changed_sample_is_less_than_100(photo: Image):
    """And nothing gives more."""
    changed = photo.copy()
    changed[10, 10, 1] ^= 1

    assert 99 < METRIC(photo, changed) < 100


def test_more_damage_has_a_lower_score(photo: Image):
    """In order of quality, below zero at the end."""
    scores = [METRIC(photo, _compressed(photo, "JPEG", q)) for q in (1, 10, 40, 80, 95)]

    assert scores == sorted(scores)
    assert scores[0] < 0


@pytest.mark.parametrize("side", [32, 256])
def test_flat_pictures_have_the_packages_value(tmp_path: Path, side: int):
    """They have no variance and no edges; the definition is lenient there, and so are we."""
    black = np.zeros((side, side, 3), np.uint8)
    white = np.full_like(black, 255)

    assert METRIC(black, black) == 100.0
    assert _by_package(tmp_path, black, white) == pytest.approx(METRIC(black, white), rel=1e-3)


def test_strips_do_not_show(photo: Image, monkeypatch: pytest.MonkeyPatch):
    """A picture of many strips has the value that it has in one."""
    decoded = _compressed(photo, "JPEG", 30)
    several = METRIC(photo, decoded)
    monkeypatch.setattr("bench.metrics.ssimulacra2._STRIP_SAMPLES", 1 << 30)

    assert METRIC(photo, decoded) == pytest.approx(several, abs=1e-5)


def test_weights_that_are_left_out_are_zero():
    """At the finest scale only the dissimilarity of Y is computed: X and B have no weight."""
    assert (3, SCALES, 2, 3) == WEIGHTS.shape
    assert not WEIGHTS[[0, 2], 0, :, 0].any()
    assert WEIGHTS[1, 0, :, 0].any()


def test_not_defined_under_8_pixels(photo: Image):
    """No scale has a shorter side: the original would say 100."""
    with pytest.raises(Undefined, match="not defined under 8 pixels"):
        METRIC(photo[:7, :40].copy(), photo[:7, :40].copy())


def test_is_a_metric_of_the_command_line():
    """``-m ssimulacra2``."""
    assert "ssimulacra2" in metrics.discover()
