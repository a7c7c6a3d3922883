"""The uncompressed pictures of a run: taken only from where the reader lets the suite look.

Results may come from anybody, and their record may name any folder of this machine. A dataset of
the suite (Kodak, say) is looked for where datasets lie. A folder is opened only if this user made
the run, or names the folder; and of it, only the very pictures that were measured are taken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.dataset.open import FOLDER_PREFIX, load_item, open_dataset
from bench.errors import BenchError, DatasetError
from bench.image import Image
from bench.measurement.ownership import is_own


def original(
    record: Mapping[str, Any],
    dataset: str,
    image: str,
    data_dir: Path | None = None,
    folders: Sequence[str] = (),
) -> Image:
    """Return a picture that was measured, uint8 RGB (H, W, 3), checked by its pixel hash.

    Parameters
    ----------
    record
        The run's: which folders and which pixels were measured.
    dataset, image
        Values of the columns of those names.
    data_dir
        Searched first for datasets of the suite.
    folders
        Folders that the reader names, ``folder:PATH`` or ``PATH``.

    Raises
    ------
    BenchError
        If it is not available here, may not be shown, or is not the one that was measured.
    """
    # "kodak (6 of 24)" is how tables call an incomplete one
    name = re.sub(r" \(\d+ of \d+\)$", "", dataset)
    datasets = record.get("datasets") or {}
    about = datasets.get(dataset) or datasets.get(name) or {}
    images = about.get("images")
    wanted = images.get(image) if isinstance(images, Mapping) else None
    if not name.startswith(FOLDER_PREFIX):
        return _picture(name, image, wanted, data_dir)
    if not isinstance(wanted, str):
        raise DatasetError(f"the record does not say which pixels {image} had", "Run it again.")
    places = [folder.removeprefix(FOLDER_PREFIX) for folder in folders]
    if is_own(record) and isinstance(about.get("folder"), str):
        places.append(about["folder"])
    failure: BenchError = DatasetError(
        f"{name} is a folder of whoever made the run; its pictures are taken only from a folder "
        "that you name: --pictures folder:PATH"
    )
    for place in places:
        try:
            return _picture(f"{FOLDER_PREFIX}{place}", image, wanted, data_dir)
        except BenchError as error:
            failure = error
    raise failure


def _picture(dataset: str, image: str, wanted: str | None, data_dir: Path | None) -> Image:
    """Return an image of a dataset if its pixels have the hash ``wanted``; None: any."""
    opened = open_dataset(dataset, data_dir, download=False, images=[image])
    found = next((item for item in opened.items if item.name == image), None)
    if found is None:
        raise DatasetError(f"dataset {dataset} has no image {image} here")
    return load_item(found, wanted)
