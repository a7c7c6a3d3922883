"""One image of a dataset: verified against its manifest, loaded, known by its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench import image
from bench.dataset.identity import Identity, identify, match
from bench.dataset.manifest import File
from bench.errors import DatasetError, ImageError
from bench.image import Image


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a dataset; travels to workers.

    Attributes
    ----------
    name
        As tables show it: ``kodim05``; in a folder the path below it, ``holiday/sea.png``.
    path
        The file.
    file
        What the manifest says of it; of an image of a folder, nothing but the name.
    """

    name: str
    path: Path
    file: File


def expected(file: File) -> Identity | None:
    """Return what ``file`` should be, or None where nobody published its hashes."""
    if not (file.sha256 and file.rgb_sha256 and file.width and file.height):
        return None
    return Identity(file.sha256, file.rgb_sha256, file.width, file.height)


def verify(file: File, path: Path) -> Identity | None:
    """Return the identity of a local file if it is the one of the manifest; None: nobody knows.

    Raises
    ------
    DatasetError
        If it is another one; it is left as it is.
    """
    known = expected(file)
    if known is None:
        return None
    try:
        return match(path, known)
    except DatasetError as error:
        raise DatasetError(
            f"{path} is not the image of that name: {error.what}; it was left as it is",
            "Move it away, then run again or `bench fetch` the dataset.",
        ) from error


def pixel_identity(item: Item) -> tuple[str, int, int]:
    """Return sha256 of the RGB bytes, width and height of an image, decoded only if it must be.

    Raises
    ------
    ImageError
        If it cannot be read.
    DatasetError
        If it is another image than its manifest says.
    """
    known: Identity = verify(item.file, item.path) or identify(item.path)
    return known.rgb_sha256, known.width, known.height


def pixel_hash(item: Item) -> str:
    """Return the sha256 of the RGB bytes of an image; see ``pixel_identity``."""
    return pixel_identity(item)[0]


def load_item(item: Item) -> Image:
    """Return the pixels of an image, uint8 RGB (H, W, 3), checked against its manifest.

    Raises
    ------
    ImageError
        If it cannot be read.
    DatasetError
        If it is another image than its manifest says.
    """
    known = expected(item.file)
    if known is None:
        return image.load(item.path)
    try:
        pixels = image.load(item.path)
    except ImageError:
        verify(item.file, item.path)  # says which hash was wanted
        raise
    found = (image.pixels_sha256(pixels), *pixels.shape[1::-1])
    if found != (known.rgb_sha256, known.width, known.height):
        raise DatasetError(
            f"{item.path} is not the image of that name: wanted {known.width}x{known.height} "
            f"pixels of sha256 {known.rgb_sha256}, found {found[1]}x{found[2]} of {found[0]}; "
            "it was left as it is",
            "Move it away, then run again or `bench fetch` the dataset.",
        )
    return pixels
