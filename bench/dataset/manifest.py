"""The manifests of ``datasets/``: what a dataset is, where it may lie, where it comes from."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.errors import DatasetError, OutputError, UsageError, suggest
from bench.files import user_cache

FOLDER = Path(__file__).parents[1] / "datasets"
SUFFIXES = (
    *(".png", ".ppm", ".pgm", ".pbm", ".pnm", ".bmp", ".tif", ".tiff", ".gif", ".webp"),
    *(".jpg", ".jpeg", ".jpe", ".jfif"),
)
"""What counts as an image in a folder or an archive."""

OTHER_SUFFIXES = (
    *(".apng", ".avif", ".bpg", ".cr2", ".dds", ".dib", ".dng", ".exr", ".hdr", ".heic"),
    *(".heif", ".hif", ".ico", ".j2c", ".j2k", ".jls", ".jng", ".jp2", ".jpf", ".jpx"),
    *(".jxl", ".jxr", ".mpo", ".nef", ".pam", ".pcx", ".pfm", ".psd", ".qoi", ".raw"),
    *(".svg", ".tga", ".wdp", ".xcf"),
)
"""Images that a folder may hold and that the suite does not load as originals."""

_UNSAFE = re.compile(r"[/\\:\x00-\x1f\x7f]")
"""What no name of a folder or file may hold: separators and drives of any system, controls."""

DEFAULTS = ("download", "available", "fallback")
"""What ``bench all`` does with a dataset nobody named; see ``Manifest.default``."""


@dataclass(frozen=True, slots=True)
class File:
    """One image of a manifest; a hash is None where nobody published it.

    Attributes
    ----------
    name
        File name, the same upstream and on disk.
    sha256
        Of the file as upstream serves it.
    rgb_sha256
        Of its decoded RGB bytes, row by row.
    width, height
        In pixels.
    """

    name: str
    sha256: str | None = None
    rgb_sha256: str | None = None
    width: int | None = None
    height: int | None = None

    @property
    def stem(self) -> str:
        """The name of the image in tables: ``kodim05``."""
        return Path(self.name).stem


@dataclass(frozen=True, slots=True)
class Archive:
    """A ZIP file that holds the images, with its md5 where one is known."""

    url: str
    md5: str | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """One TOML file of ``datasets/``.

    Attributes
    ----------
    name
        Stem of the file, CLI word and column value.
    title, licence, source, revision, description
        For people; ``description`` says which resolution this is.
    images
        How many images the whole dataset has.
    default
        ``download``: part of a bare ``bench all``, fetched if need be. ``available``: part of it
        where some of it lies on this machine. ``fallback``: run when there is nothing else.
    folders
        Names of its folder inside a search place; the first is the one downloads go to.
    files
        Its images; empty where only an archive is known, whose content is then taken as found.
    urls
        Addresses with ``{file}`` in them, tried in order.
    archive
        Tried for what ``urls`` did not give.
    package
        ``package/folder`` of an installed Python package that carries the files.
    """

    name: str
    title: str
    licence: str
    source: str
    revision: str
    description: str
    images: int
    default: str
    folders: tuple[str, ...]
    files: tuple[File, ...] = ()
    urls: tuple[str, ...] = ()
    archive: Archive | None = None
    package: str = ""

    @property
    def remote(self) -> bool:
        """Whether there is an address to download from."""
        return bool(self.urls or self.archive)

    def select(self, images: Sequence[str]) -> tuple[File, ...]:
        """Return the files called ``images`` (``kodim05`` or ``kodim05.png``), or all of them.

        Raises
        ------
        UsageError
            If there is no such file; the message suggests the near one.
        """
        if not images or not self.files:
            return self.files
        named = {file.stem: file for file in self.files}
        wanted = [Path(image).stem if image not in named else image for image in images]
        for typed, stem in zip(images, wanted, strict=True):
            if stem not in named:
                raise UsageError(
                    f"dataset {self.name} has no image {typed!r}", suggest(stem, sorted(named))
                )
        return tuple(file for file in self.files if file.stem in wanted)


def names() -> list[str]:
    """Return the names of all manifests, the default dataset first."""
    found = [path.stem for path in _folder().glob("*.toml")]
    return sorted(found, key=lambda name: (DEFAULTS.index(read(name).default), name))


def read(name: str) -> Manifest:
    """Return the manifest called ``name``.

    Raises
    ------
    UsageError
        If there is none; the message suggests the near one.
    DatasetError
        If it is not a complete manifest.
    """
    path = _folder() / f"{name}.toml"
    known = sorted(path.stem for path in path.parent.glob("*.toml"))
    if name not in known:
        if Path(name).is_dir():
            raise UsageError(f"{name} is a folder, no dataset's name", f"Write folder:{name}.")
        raise UsageError(f"unknown dataset {name!r}", f"{suggest(name, known)} Or folder:PATH.")
    return _read(path)


def _folder() -> Path:
    if not FOLDER.is_dir():
        raise UsageError(
            f"{FOLDER} is not a folder: this checkout lost its symbolic links",
            "Clone again with `git config core.symlinks true`, or install the wheel.",
        )
    return FOLDER


@cache
def _read(path: Path) -> Manifest:
    try:
        return parse(path.stem, path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{path} is not a complete manifest: {error!r}", "Repair it.") from error


def parse(name: str, text: str) -> Manifest:
    """Return the manifest that ``text`` (TOML) describes.

    Raises
    ------
    KeyError, TypeError, ValueError
        If a key is missing, unknown or illegal.
    """
    data: dict[str, Any] = tomllib.loads(text)
    data["description"] = " ".join(data["description"].split())
    data["folders"] = tuple(data["folders"])
    data["urls"] = tuple(data.get("urls", ()))
    data["files"] = tuple(
        # The size is for readers and other tools; the hashes say everything it says.
        File(**{key: value for key, value in entry.items() if key != "bytes"})
        for entry in data.get("files", ())
    )
    if "archive" in data:
        data["archive"] = Archive(**data["archive"])
    manifest = Manifest(name=name, **data)
    _check_places(manifest)
    if manifest.default not in DEFAULTS:
        raise ValueError(f"default must be one of {DEFAULTS}, found {manifest.default!r}")
    if manifest.files and len(manifest.files) != manifest.images:
        raise ValueError(f"images = {manifest.images}, found {len(manifest.files)} files")
    return manifest


def _check_places(manifest: Manifest) -> None:
    """Refuse names that lead out of the data folder, on any system, and addresses off the web."""
    named = [("folder", name, False) for name in manifest.folders]
    named += [("file", file.name, False) for file in manifest.files]
    named += [("package", manifest.package, True)] if manifest.package else []
    for kind, name, nested in named:
        parts = name.split("/") if nested else [name]
        if any(part in ("", ".", "..") or _UNSAFE.search(part) for part in parts):
            raise ValueError(f"{kind} {name!r} is not a plain name: it may lead elsewhere")
    urls = (*manifest.urls, *([manifest.archive.url] if manifest.archive else []))
    for url in urls:
        if not url.lower().startswith(("https://", "http://")):
            raise ValueError(f"address {url!r} does not begin with https://")


def places(data_dir: Path | None = None) -> list[Path]:
    """Return where datasets are looked for: ``--data-dir``, ``$BENCH_DATA``, the user cache."""
    named = [data_dir, Path(os.environ["BENCH_DATA"]) if os.environ.get("BENCH_DATA") else None]
    return [place.expanduser() for place in named if place] + [download_dir()]


def download_dir(data_dir: Path | None = None) -> Path:
    """Return where downloads go: ``--data-dir``, else the user cache.

    ``$BENCH_DATA`` is only read, since it is often a shared folder.
    """
    return data_dir.expanduser() if data_dir else user_cache() / "datasets"


def download_folder(manifest: Manifest, data_dir: Path | None = None) -> Path:
    """Return where the files of a dataset are downloaded to.

    Raises
    ------
    OutputError
        If that is a link which leads out of ``download_dir``: links are read, not written through.
    """
    place = download_dir(data_dir)
    folder = place / manifest.folders[0]
    if not folder.resolve().is_relative_to(place.resolve()):
        raise OutputError(
            f"{folder} is a link that leads to {folder.resolve()}; nothing was written there",
            f"Choose another --data-dir, or --data-dir {folder.resolve().parent}.",
        )
    return folder


def locate(manifest: Manifest, data_dir: Path | None = None) -> dict[str, Path]:
    """Return the available files, by name; nothing is opened.

    The files may be spread over several places: each is taken from the first place that has it.
    A place may also be the dataset's own folder (``--data-dir photos/kodak``).
    """
    if manifest.package:
        folders = [package_folder(manifest.package)]
    else:
        below = [p / name for p in places(data_dir) for name in manifest.folders]
        folders = below + (places(data_dir) if manifest.files else [])
    found: dict[str, Path] = {}
    for folder in folders:
        if manifest.files:
            for file in manifest.files:
                if file.name not in found and (folder / file.name).is_file():
                    found[file.name] = folder / file.name
        elif not found:  # an archive's folder: whatever it holds, never a mixture of two
            found = {path.relative_to(folder).as_posix(): path for path in list_images(folder)}
    return found


def package_folder(package: str) -> Path:
    """Return a folder inside an installed package, which is not imported.

    Raises
    ------
    DatasetError
        If the package is not installed.
    """
    root, _, below = package.partition("/")
    spec = find_spec(root)
    if spec is None or not spec.submodule_search_locations:
        raise DatasetError(f"the package {root} is not installed", "pip install scikit-image")
    return Path(next(iter(spec.submodule_search_locations))) / below


def list_images(folder: Path) -> list[Path]:
    """Return every image file in ``folder`` and below, sorted; hidden ones are skipped.

    Links to files are read, links to folders are not followed.
    """
    return _files(folder, SUFFIXES)


def passed_over(folder: Path) -> list[Path]:
    """Return the files in ``folder`` and below that are images, but of formats not loaded here."""
    return _files(folder, OTHER_SUFFIXES)


def _parts(path: str) -> list[str]:
    return path.split(os.sep)  # noqa: PTH206 - in the order of ``Path``, a tenth of the time


def _files(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    found: list[str] = []
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        found += [
            path
            for name in files
            if not name.startswith(".")
            and os.path.splitext(name)[1].lower() in suffixes  # noqa: PTH122 - a tenth of the time
            and os.path.isfile(path := os.path.join(root, name))  # noqa: PTH113, PTH118 - likewise
        ]
    return [Path(path) for path in sorted(found, key=_parts)]
