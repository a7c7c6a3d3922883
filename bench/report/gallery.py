"""The pictures of a page: images, rates, and what is lacking."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.image import Image


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture in the page: the original, or what a codec made of it at one rung."""

    data: bytes
    row: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cost_bytes(self) -> int:
        """What it adds to the page: base64 and its tags."""
        return 4 * math.ceil(len(self.data) / 3) + 80


@dataclass(slots=True)
class Scene:
    """An image of the viewer.

    Attributes
    ----------
    dataset, image
        Which.
    pixels
        The original, whole.
    window
        x, y, width, height of the part that is shown.
    original
        Index of its picture.
    rates
        Target bpp -> codec -> index of the picture at the nearest rung.
    targets
        Of a run that searched: one of ``rates`` -> the target that its pictures hit.
    """

    dataset: str
    image: str
    pixels: Image
    window: tuple[int, int, int, int]
    original: int
    rates: dict[float, dict[str, int]] = field(default_factory=dict)
    targets: dict[float, str] = field(default_factory=dict)


@dataclass(slots=True)
class Gallery:
    """All pictures of a page, and what it lacks."""

    scenes: list[Scene] = field(default_factory=list)
    shots: list[Shot] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def cost_bytes(self) -> int:
        """What the pictures add to the page."""
        return sum(shot.cost_bytes for shot in self.shots)

    def leave_out(self, reason: str) -> None:
        """Note once what is not in the page."""
        if reason not in self.left_out:
            self.left_out.append(reason)
