"""A dataset that was opened: its images, what is known of them, how tables call it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.dataset.identity import Item, pixel_identity
from bench.errors import BenchError

ABOUT = ("title", "licence", "source", "revision", "description")
"""What people want to know of a dataset: of a manifest, of a dataset, in a run record."""


@dataclass(slots=True)
class Pictures:
    """The images of a dataset, known by their pixels.

    Attributes
    ----------
    kept
        The image; the sha256 of its RGB bytes, its width and height in pixels.
    duplicates
        Name of a kept image -> names of those with the same pixels, which do not count again.
    unreadable
        Name -> why it cannot be read.
    """

    kept: list[tuple[Item, tuple[str, int, int]]] = field(default_factory=list)
    duplicates: dict[str, list[str]] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dataset:
    """The images of a dataset that are available.

    Attributes
    ----------
    name
        As tables show it.
    title, licence, source, revision, description
        For people.
    items
        The images, by name.
    missing
        Names of wanted images that are not available; empty where the manifest names none.
    expected
        How many images the whole dataset has.
    note
        What must stand beside its numbers; usually empty.
    folder
        Absolute path of the folder, links resolved; None for a dataset that has a manifest.
    """

    name: str
    title: str
    licence: str
    source: str
    revision: str
    description: str
    items: tuple[Item, ...]
    missing: tuple[str, ...]
    expected: int
    note: str = ""
    folder: Path | None = None

    @property
    def display_name(self) -> str:
        """The name for tables, which says so where images are left out."""
        if len(self.items) == self.expected:
            return self.name
        return f"{self.name} ({len(self.items)} of {self.expected})"

    def few(self, images: int) -> Dataset:
        """Return it cut to some images at even distances, both ends included."""
        total = len(self.items)
        if images >= total:
            return self
        step = (total - 1) / max(1, images - 1)
        return replace(self, items=tuple(self.items[round(i * step)] for i in range(images)))

    def pictures(self) -> Pictures:
        """Return its images with the identity of their pixels; equal pixels count once."""
        found = Pictures()
        first: dict[tuple[str, int, int], str] = {}
        for item in self.items:
            try:
                identity = pixel_identity(item)
            except BenchError as error:
                found.unreadable[item.name] = f"{type(error).__name__}: {error}"
                continue
            name = first.setdefault(identity, item.name)
            if name == item.name:
                found.kept.append((item, identity))
            else:
                found.duplicates.setdefault(name, []).append(item.name)
        return found

    def provenance(self, pictures: Pictures | None = None) -> dict[str, Any]:
        """Return what a run record says of it, and of each image what identifies its pixels.

        ``images`` has the sha256 of the RGB bytes, ``sizes`` width and height in pixels.
        ``pixels_sha256`` identifies the very images: the sha256 of the lines ``name width height
        rgb_sha256``; an unreadable image has the line ``name unreadable``.
        """
        found = pictures or self.pictures()
        lines = {item.name: f"{w} {h} {sha}" for item, (sha, w, h) in found.kept}
        lines |= dict.fromkeys(found.unreadable, "unreadable")
        text = "".join(f"{name} {lines[name]}\n" for name in sorted(lines))
        return {
            **{key: getattr(self, key) for key in ABOUT},
            "folder": str(self.folder or ""),
            "images": {item.name: identity[0] for item, identity in found.kept},
            "sizes": {item.name: list(identity[1:]) for item, identity in found.kept},
            "duplicates": found.duplicates,
            "expected": self.expected,
            "note": self.note,
            "pixels_sha256": hashlib.sha256(text.encode()).hexdigest(),
        }
