"""Training photographs: read from tars or folders, known by their pixels, named with their licence.

The order, and with it every crop of a run, depends on the pixels alone: not on how the files are
packed or called.
"""

from __future__ import annotations

import csv
import hashlib
import io
import tarfile
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from bench.errors import DatasetError
from bench.image import Image, pixels_sha256

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".ppm", ".bmp", ".tif", ".tiff")
MANIFEST = "manifest.csv"
"""Beside tars or images: columns ``name``, ``licence``, ``source``, ``sha256`` (of the file)."""

UNKNOWN_LICENCE = "unknown"


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """One photograph.

    Attributes
    ----------
    name
        File name inside its tar or folder.
    pixels
        uint8 RGB (H, W, 3).
    rgb_sha256
        Of the pixels, row by row.
    licence, source
        As the manifest says; ``unknown`` and the name where there is none.
    """

    name: str
    pixels: Image
    rgb_sha256: str
    licence: str = UNKNOWN_LICENCE
    source: str = ""


@dataclass(frozen=True, slots=True)
class Photos:
    """A set of photographs in the order of their hashes, without duplicates.

    Attributes
    ----------
    members
        The photographs.
    left_out
        (name, reason) of files that cannot be used.
    """

    members: tuple[Photo, ...]
    left_out: tuple[tuple[str, str], ...] = field(default=())

    @property
    def digest(self) -> str:
        """sha256 over the members' hashes: which pictures these are."""
        joined = "".join(photo.rgb_sha256 for photo in self.members)
        return hashlib.sha256(joined.encode()).hexdigest()

    def split(self, count: int) -> tuple[Photos, Photos]:
        """Return all but the first ``count``, and those: a random choice, but always the same."""
        return Photos(self.members[count:], self.left_out), Photos(self.members[:count])

    def at_least(self, side: int) -> Photos:
        """Return those that a square of ``side`` pixels fits into, the others left out."""
        large = tuple(p for p in self.members if min(p.pixels.shape[:2]) >= side)
        small = tuple(
            (p.name, f"{p.pixels.shape[1]}x{p.pixels.shape[0]} is smaller than a crop of {side}")
            for p in self.members
            if min(p.pixels.shape[:2]) < side
        )
        return Photos(large, (*self.left_out, *small))

    def facts(self) -> dict[str, Any]:
        """Return what a manifest of weights says of its training data."""
        return {
            "photos": len(self.members),
            "megapixels": round(sum(p.pixels.size for p in self.members) / 3e6, 1),
            "pixels_sha256": self.digest,
            "licences": dict(Counter(photo.licence for photo in self.members).most_common()),
        }

    def sources_by_licence(self) -> dict[str, list[str]]:
        """Return where every photograph comes from, by licence."""
        by_licence: dict[str, list[str]] = {}
        for photo in sorted(self.members, key=lambda p: (p.licence, p.source or p.name)):
            by_licence.setdefault(photo.licence, []).append(photo.source or photo.name)
        return by_licence


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    data: bytes
    row: dict[str, str]


def read(paths: Sequence[Path]) -> Photos:
    """Read every photograph of some tars, folders or single images.

    A file that is no 8-bit picture in colour or gray is left out with its reason.

    Parameters
    ----------
    paths
        In any order.

    Raises
    ------
    DatasetError
        If a path is missing or not such a thing, a file is another one than the manifest beside
        it says, or nothing usable is found.
    """
    by_hash: dict[str, Photo] = {}
    left_out: list[tuple[str, str]] = []
    with ThreadPoolExecutor(8) as pool:
        for file, result in pool.map(_decode, _files(paths)):
            if isinstance(result, str):
                left_out.append((file.name, result))
                continue
            digest = pixels_sha256(result)
            if digest in by_hash:
                left_out.append((file.name, f"the same pixels as {by_hash[digest].name}"))
                continue
            licence = file.row.get("licence") or UNKNOWN_LICENCE
            source = file.row.get("source", "")
            by_hash[digest] = Photo(file.name, result, digest, licence, source)
    if not by_hash:
        names = ", ".join(str(path) for path in paths) or "nothing"
        raise DatasetError(f"no photograph in {names}", "Give tars or folders of images to --data.")
    return Photos(tuple(by_hash[digest] for digest in sorted(by_hash)), tuple(left_out))


def _files(paths: Iterable[Path]) -> Iterator[_File]:
    """Yield every image file, checked against the manifest beside it."""
    for path in paths:
        if path.is_dir():
            rows = _rows(path / MANIFEST)
            inside = [p for p in path.rglob("*") if p.suffix.lower() in (*SUFFIXES, ".tar")]
            for file in sorted(p for p in inside if p.is_file()):
                if file.suffix.lower() == ".tar":
                    yield from _members(file, rows or _rows(file.parent / MANIFEST))
                else:
                    yield _checked(file.name, file.read_bytes(), rows)
        elif path.is_file() and path.suffix.lower() in SUFFIXES:
            yield _checked(path.name, path.read_bytes(), _rows(path.parent / MANIFEST))
        elif path.is_file() and tarfile.is_tarfile(path):
            yield from _members(path, _rows(path.parent / MANIFEST))
        else:
            what = "is neither a tar, a folder nor an image" if path.exists() else "no such file"
            raise DatasetError(f"{path}: {what}", "Give tars or folders of images to --data.")


def _members(path: Path, rows: dict[str, dict[str, str]]) -> Iterator[_File]:
    """Yield the image files of a tar."""
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                if not member.isfile() or not name.lower().endswith(SUFFIXES):
                    continue
                opened = archive.extractfile(member)
                assert opened is not None
                yield _checked(name, opened.read(), rows)
    except (tarfile.TarError, EOFError) as error:
        raise DatasetError(f"{path} is damaged ({error})", "Copy it again.") from error


def _rows(manifest: Path) -> dict[str, dict[str, str]]:
    """Return the rows of a manifest by file name; empty where there is none."""
    if not manifest.is_file():
        return {}
    with manifest.open(newline="", encoding="utf-8") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def _checked(name: str, data: bytes, rows: dict[str, dict[str, str]]) -> _File:
    row = rows.get(name, {})
    wanted = row.get("sha256")
    if wanted and hashlib.sha256(data).hexdigest() != wanted:
        raise DatasetError(
            f"training photo {name} is not the one of {MANIFEST}: its sha256 differs",
            "Copy the data again, or remove its manifest.",
        )
    return _File(name, data, row)


def _decode(file: _File) -> tuple[_File, Image | str]:
    """Return the pixels, or the reason why there are none."""
    from PIL import Image as PILImage

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd metadata does not concern us
        try:
            with PILImage.open(io.BytesIO(file.data)) as opened:
                if opened.mode not in ("RGB", "L", "P", "1"):
                    return file, f"its mode is {opened.mode}, wanted RGB or gray"
                return file, np.array(opened.convert("RGB"))
        except (OSError, ValueError, SyntaxError) as error:
            return file, f"it cannot be decoded ({error})"
