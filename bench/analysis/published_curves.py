"""Published rate-distortion curves: drawn beside ours, never taken for measurements."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UsageError
from bench.metrics.columns import column


@dataclass(frozen=True, slots=True)
class Reference:
    """A published curve, drawn dashed and labelled "reported, not measured".

    Attributes
    ----------
    name
        What the label calls it.
    dataset
        Dataset that it was reported on; drawn in the plots of that one only.
    points
        Metric column (``psnr_db``, ``ms_ssim_db``, ``lpips_alex``) -> (bpp, value) pairs.
    """

    name: str
    dataset: str
    points: Mapping[str, Sequence[tuple[float, float]]]


def load_reference(path: Path) -> Reference:
    """Return the published curve in a JSON file of CompressAI's shape.

    The file holds ``name`` and ``results`` with ``bpp`` beside ``psnr-rgb``, ``ms-ssim-rgb`` or
    ``ms-ssim-db-rgb``. The dataset is its ``dataset``, else what the name of the file or of its
    folder says (``kodak/vtm.json``, ``vtm_kodak.json``).

    Raises
    ------
    UsageError
        If the file cannot be read or has another shape.
    """
    try:
        data = json.loads(path.read_text())
        results = data["results"]
        rates = [float(value) for value in results["bpp"]]
        columns: dict[str, list[float]] = {}
        if "psnr-rgb" in results:
            columns["psnr_db"] = [float(value) for value in results["psnr-rgb"]]
        if "ms-ssim-rgb" in results:
            columns["ms_ssim_db"] = [
                float(v) for v in column("ms_ssim_db").of_means(results["ms-ssim-rgb"])
            ]
        if "ms-ssim-db-rgb" in results:
            columns["ms_ssim_db"] = [float(value) for value in results["ms-ssim-db-rgb"]]
        points = {name: sorted(zip(rates, values, strict=True)) for name, values in columns.items()}
        return Reference(str(data["name"]), data.get("dataset") or _dataset_in(path), points)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is not a published curve ({type(error).__name__}: {error})",
            'Wanted JSON like {"name": "VTM", "results": {"bpp": [...], "psnr-rgb": [...]}}.',
        ) from error


def _dataset_in(path: Path) -> str:
    """Return the dataset that a path names."""
    found = re.search(r"kodak|clic\d{4}-[a-z]+", f"{path.stem} {path.resolve().parent.name}")
    if not found:
        raise ValueError('it does not say of which dataset: add "dataset": "kodak"')
    return found[0]
