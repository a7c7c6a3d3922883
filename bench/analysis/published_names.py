"""Published curves by name, from ``published_curves.toml``, and the words of ``--reference``."""

from __future__ import annotations

import os
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.analysis.published_curves import Reference, load_reference
from bench.errors import UsageError, suggest
from bench.metrics.columns import column, drawn_form

PATH = Path(__file__).with_name("published_curves.toml")
_TEXTS = ("id", "name", "optimised", "dataset", "source", "read")
_METRICS = ("psnr_db", "ms_ssim")


@dataclass(frozen=True, slots=True)
class Published:
    """A published curve as the file has it.

    Attributes
    ----------
    id
        What ``--reference`` is given.
    name
        Label; no two of one dataset share it.
    optimised
        For which metric: ``mse``, ``ms-ssim``, or empty where it is no learned codec.
    dataset
        Over all of whose images the points are means.
    source, read
        Where it was published; how the points were read, and how well.
    points
        ``psnr_db`` or ``ms_ssim`` (0..1) -> (bpp, value) pairs, rates rising.
    """

    id: str
    name: str
    optimised: str
    dataset: str
    source: str
    read: str
    points: Mapping[str, tuple[tuple[float, float], ...]]

    @property
    def rates(self) -> tuple[float, float]:
        """The lowest and the highest rate, in bpp."""
        found = [rate for points in self.points.values() for rate, _ in points]
        return min(found), max(found)

    def values(self, metric: str) -> NDArray[np.float64] | None:
        """Return (N, 2) of bpp and a quality column; None where not published.

        Decibels are those of the published mean, as everywhere in this suite.
        """
        form = column(metric)
        if form.source not in self.points:
            return None
        found = np.asarray(self.points[form.source], dtype=np.float64)
        return np.column_stack([found[:, 0], form.of_means(found[:, 1])])

    def reference(self) -> Reference:
        """Return it as it is drawn: in decibels where the metric has them."""
        shown = [drawn_form(column(metric)).column for metric in self.points]
        drawn = {
            name: [(float(rate), float(value)) for rate, value in found]
            for name in shown
            if (found := self.values(name)) is not None
        }
        return Reference(self.name, self.dataset, drawn, source=f"{self.source} ({self.read})")


@cache
def published() -> Mapping[str, Published]:
    """Return id -> curve, in the order of the file."""
    content = tomllib.loads(PATH.read_text(encoding="utf-8"))
    return {str(entry["id"]): _published(entry) for entry in content["curve"]}


def _published(entry: Mapping[str, Any]) -> Published:
    texts = {key: str(entry[key]) for key in _TEXTS}
    points = {
        metric: tuple(sorted((float(rate), float(value)) for rate, value in entry[metric]))
        for metric in _METRICS
        if metric in entry
    }
    return Published(**texts, points=points)


def find(name: str) -> Published:
    """Return the published curve of an id.

    Raises
    ------
    UsageError
        If there is none; it names the near one.
    """
    if name not in published():
        raise UsageError(
            f"no published curve {name!r}",
            f"{suggest(name, list(published())).partition('Known:')[0]}See `bench list "
            "--references`; a file of CompressAI's JSON form does as well.",
        )
    return published()[name]


def references(words: Iterable[str | Path]) -> list[Reference]:
    """Return the published curves that ``--reference`` asks for, each once.

    Parameters
    ----------
    words
        Ids, several separated by commas, or JSON files; see ``load_reference``. What ends in
        ``.json``, has a folder before it, or is a ``Path`` is a file.

    Raises
    ------
    UsageError
        If an id is unknown or a file cannot be read.
    """
    found: dict[str, Reference] = {}
    for word in words:
        whole = isinstance(word, Path) or Path(word).is_file()
        for part in [str(word)] if whole else str(word).split(","):
            text = part.strip()
            if text:
                key, reference = _one(text, file=isinstance(word, Path))
                found.setdefault(key, reference)
    return _distinct(found)


def _one(text: str, *, file: bool) -> tuple[str, Reference]:
    """Return a key that is the same for the same curve, and the curve."""
    if not file and text in published():
        return text, find(text).reference()
    if file or text.lower().endswith(".json") or os.sep in text or Path(text).is_file():
        path = Path(text)
        return str(path.resolve()), load_reference(path)
    return text, find(text).reference()


def _distinct(found: Mapping[str, Reference]) -> list[Reference]:
    """Return the curves; those of one name and dataset also say which file or id each is."""
    count = Counter((one.name, one.dataset) for one in found.values())
    return [
        one if count[one.name, one.dataset] == 1 else replace(one, name=_told_apart(key, one))
        for key, one in found.items()
    ]


def _told_apart(key: str, one: Reference) -> str:
    return f"{one.name} [{Path(key).stem if os.sep in key else key}]"
