"""What figures are made from: stored rows, images, the cache, the set itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bench import registry
from bench.analysis.published_curves import Reference
from bench.dataset import open as datasets
from bench.dataset.dataset import Dataset
from bench.errors import BenchError, DatasetError
from bench.figures.cache import Cache, Measured
from bench.figures.spec import FigureSet
from bench.image import Image, pixels_sha256
from bench.measurement.results import Results
from bench.output.figure import Skipped
from bench.output.plot_styles import Style, styles
from bench.output.provenance import Stamp, of_record, pixels_of


@dataclass(slots=True)
class Context:
    """What every kind of figure gets.

    Attributes
    ----------
    figure_set
        The set that the figure belongs to.
    results
        Stored rows.
    cache
        What figures measured themselves.
    data_dir
        Folder of datasets, searched first.
    progress
        Called with a few words while something is measured.
    references
        Published curves beside those of the set.
    """

    figure_set: FigureSet
    results: Results
    cache: Cache
    data_dir: Path | None = None
    progress: Callable[[str], object] = field(default=lambda _: None)
    references: Sequence[Reference] = ()
    _images: dict[str, Image] = field(default_factory=dict)

    @property
    def styles(self) -> Mapping[str, Style]:
        """Codec -> its style, the same in every figure of these results."""
        return styles(str(codec) for codec in self.results.rows["codec"].unique())

    def image(self, name: str) -> Image:
        """Return an image of the set's dataset, uint8 RGB (H, W, 3).

        Raises
        ------
        Skipped
            If it is not available.
        """
        if name not in self._images:
            self._images[name] = datasets.load_item(self.dataset([name]).items[0])
        return self._images[name]

    def dataset(self, images: Sequence[str] = ()) -> Dataset:
        """Return the set's dataset, or some images of it; as far as it is available.

        Raises
        ------
        Skipped
            If none of it is, or one of ``images`` is not.
        """
        try:
            return datasets.open_dataset(
                self.figure_set.dataset, self.data_dir, download=False, images=images
            )
        except DatasetError as error:
            raise Skipped(error.what, error.next_step) from error

    def rows_of(self, dataset: str) -> tuple[str, pd.DataFrame]:
        """Return display name and rows of the most complete run of a dataset.

        Raises
        ------
        Skipped
            If there are none.
        """
        rows = self.results.every_row
        found = [
            str(name)
            for name in rows["dataset"].unique()
            if name == dataset or str(name).startswith(f"{dataset} (")
        ]
        if not found:
            raise Skipped(
                f"no results of {dataset} in {self.results.folder}",
                f"Run `bench all -d {dataset} --out {self.results.folder}`.",
            )
        counts = {name: rows.loc[rows["dataset"] == name, "image"].nunique() for name in found}
        best = max(found, key=lambda name: (counts[name], name == dataset))
        return best, rows[rows["dataset"] == best]

    def rows_of_codecs(self, dataset: str, *codecs: str) -> tuple[str, pd.DataFrame]:
        """Return display name and the rows of some codecs, all of which must be there.

        Raises
        ------
        Skipped
            If one has no results; says which, and why it cannot run where that is so.
        """
        display, rows = self.rows_of(dataset)
        lacking = [codec for codec in codecs if codec not in set(rows["codec"])]
        if lacking:
            raise Skipped(*_why_lacking(lacking, dataset, self.results.folder))
        return display, rows[rows["codec"].isin(codecs)]

    def stamp_of_rows(self, display: str) -> Stamp:
        """Return the stamp of stored rows of a dataset."""
        digest = pixels_of(self.results.record, display)
        rows = self.results.every_row
        images = rows.loc[rows["dataset"] == display, "image"].nunique()
        name = display if "(" in display else f"{display} ({images} images)"
        return of_record(self.results.record, datasets={name: digest})

    def measure(
        self, name: str, key: Mapping[str, Any], measure: Callable[[], pd.DataFrame]
    ) -> Measured:
        """Return a measurement of this figure's own, made once per ``key``."""
        self.progress(name)
        return self.cache.get(name, key, measure)

    def stamp_of(
        self, measured: Measured, images: Mapping[str, Image], weights: Mapping[str, str]
    ) -> Stamp:
        """Return the stamp of a measurement on some images."""
        digests = {name: pixels_sha256(pixels) for name, pixels in images.items()}
        return of_record(measured.record, datasets=digests, weights=weights)


def _why_lacking(codecs: list[str], dataset: str, folder: Path) -> tuple[str, str]:
    """Return what is missing and the command that makes it."""
    words = " ".join(f"-c {codec}" for codec in codecs)
    command = f"bench all -d {dataset} {words} --out {folder}"
    for codec in codecs:
        try:
            registry.create(registry.Spec.parse(codec).name)
        except BenchError as error:
            return error.what, f"{error.next_step} Then: {command}".strip()
    return f"no results of {', '.join(codecs)} on {dataset} in {folder}", f"Run: {command}"
