"""From a name to verified local images.

``open_dataset("kodak")`` looks in ``--data-dir``, ``$BENCH_DATA`` and the user cache, then on the
web; ``open_dataset("folder:PATH")`` takes any folder. Where a manifest knows a hash, it is checked
when the dataset is opened; hashes are remembered, so that this costs nothing the second time.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench.dataset import manifest as manifests
from bench.dataset.dataset import ABOUT, Dataset, Pictures
from bench.dataset.fetch import Incomplete, fetch
from bench.dataset.identity import Item, load_item, pixel_identity, verify
from bench.dataset.manifest import Manifest
from bench.errors import DatasetError, OutputError, UsageError, suggest

__all__ = [
    "Dataset",
    "Item",
    "NotAtHand",
    "Pictures",
    "at_hand",
    "choose_default",
    "load_item",
    "open_dataset",
    "overview",
    "pixel_identity",
]

FOLDER_PREFIX = "folder:"


class NotAtHand(DatasetError):  # noqa: N818 - a verdict, not a fault
    """No image of a dataset is here, and none could be downloaded."""


def open_dataset(
    name: str,
    data_dir: Path | None = None,
    *,
    download: bool = True,
    images: Sequence[str] = (),
    progress: Callable[[str], object] | None = None,
) -> Dataset:
    """Return a dataset, downloaded and verified as far as need be.

    Images that are missing are downloaded. Where that fails, the available ones are the dataset,
    and its ``note`` and ``display_name`` say so.

    Parameters
    ----------
    name
        A manifest's name, or ``folder:PATH``.
    data_dir
        Searched before ``$BENCH_DATA`` and the user cache; downloads go there.
    download
        Whether to look on the web.
    images
        Names of images; all if empty. Only these are downloaded.
    progress
        Called with a few words while downloading.

    Raises
    ------
    UsageError
        If there is no such dataset or image; the message suggests the near one.
    NotAtHand
        If no image is here and none could be downloaded.
    DatasetError
        If a file is another one than the manifest says, or a folder has no images.
    OutputError
        If a download cannot be written.
    """
    if name.startswith(FOLDER_PREFIX):
        return _choose(_open_folder(name), images)
    manifest = manifests.read(name)
    dataset = at_hand(name, data_dir, images=images)
    failure = ""
    if download and manifest.remote and not _complete(dataset, manifest, images):
        try:
            fetch(name, data_dir, images=images, progress=progress)
        except Incomplete as error:
            failure = error.reasons
        except OutputError as error:
            failure = error.what
        dataset = at_hand(name, data_dir, images=images)
    if not dataset.items:
        raise _not_at_hand(manifest, data_dir, failure)
    dataset = dataset if manifest.files else _choose(dataset, images)
    return _with_note(dataset, failure)


def _complete(dataset: Dataset, manifest: Manifest, images: Sequence[str]) -> bool:
    if manifest.files:
        return not dataset.missing
    if images:  # of an archive's content, nobody knows the names before it is here
        known = {item.name for item in dataset.items} | {item.file.stem for item in dataset.items}
        return known >= set(images)
    return len(dataset.items) >= manifest.images


def _not_at_hand(manifest: Manifest, data_dir: Path | None, failure: str) -> NotAtHand:
    searched = ", ".join(str(place) for place in manifests.places(data_dir))
    if manifest.package:
        return NotAtHand(
            f"dataset {manifest.name} is not in the installed {manifest.package}",
            "Install scikit-image again.",
        )
    tried = f"; downloading failed: {failure}" if failure else ""
    return NotAtHand(
        f"dataset {manifest.name} is not available: looked for a folder {manifest.folders[0]} in "
        f"{searched}{tried}",
        f"Run `bench fetch {manifest.name}` with a network, or put the files of "
        f"{manifest.source} into {manifests.download_dir(data_dir) / manifest.folders[0]}.",
    )


def at_hand(name: str, data_dir: Path | None = None, *, images: Sequence[str] = ()) -> Dataset:
    """Return what lies on this machine of a dataset, perhaps nothing; nothing is verified.

    Raises
    ------
    UsageError
        If there is no such dataset or image.
    """
    manifest = manifests.read(name)
    found = manifests.locate(manifest, data_dir)
    if manifest.files:
        wanted = manifest.select(images)
        items = tuple(
            Item(file.stem, found[file.name], file) for file in wanted if file.name in found
        )
        missing = tuple(file.stem for file in wanted if file.name not in found)
    else:
        items = tuple(
            Item(Path(name).stem, path, manifests.File(name)) for name, path in found.items()
        )
        missing = ()
    return Dataset(
        name=manifest.name,
        **{key: getattr(manifest, key) for key in ABOUT},
        items=tuple(sorted(items, key=lambda item: item.name)),
        missing=missing,
        expected=manifest.images,
    )


def _open_folder(word: str) -> Dataset:
    typed = Path(word.removeprefix(FOLDER_PREFIX)).expanduser()
    if not typed.is_dir():
        raise DatasetError(f"{typed} is not a folder", "Write folder:PATH of a folder of images.")
    folder = typed.resolve()
    paths: dict[str, Path] = {}
    for path in manifests.list_images(folder):
        name = printable(path.as_posix().removeprefix(f"{folder.as_posix().rstrip('/')}/"))
        while name in paths:  # two names that differ in what cannot be printed
            name += "'"
        paths[name] = path
    items = tuple(Item(name, path, manifests.File(name)) for name, path in paths.items())
    if not items:
        raise DatasetError(
            f"{typed} has no image files (looked for {' '.join(manifests.SUFFIXES)} in it and "
            "below it, hidden ones left out)",
            f"Give a folder that has some.{_passed_over(folder)}",
        )
    return Dataset(
        name=FOLDER_PREFIX + printable(_plain(typed, folder)),
        title=printable(folder.name),
        licence="unknown",
        source="a local folder",
        revision="as found",
        description=f"{len(items)} images of a local folder.",
        items=items,
        missing=(),
        expected=len(items),
        folder=folder,
        note=_passed_over(folder).strip(),
    )


def _passed_over(folder: Path) -> str:
    """Return a sentence about the images of a folder whose format is not read, or nothing."""
    others = [path.relative_to(folder).as_posix() for path in manifests.passed_over(folder)]
    if not others:
        return ""
    more = f" and {len(others) - 5} more" if len(others) > 5 else ""
    return (
        f" {len(others)} image files are passed over, their formats are not read as originals: "
        f"{', '.join(others[:5])}{more}"
    )


def printable(name: str) -> str:
    """Return a name for tables: control characters and bytes that are no text are escaped."""
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def _plain(typed: Path, folder: Path) -> str:
    """Return the path as typed without ``./``, ``..`` and doubled slashes."""
    plain = os.path.normpath(typed)
    return plain if Path(plain).resolve() == folder else str(folder)


def open_all(
    names: Sequence[str | Dataset],
    data_dir: Path | None = None,
    *,
    download: bool = True,
    images: Sequence[str] | Mapping[str, Sequence[str]] = (),
    progress: Callable[[str], object] | None = None,
) -> list[Dataset]:
    """Return several datasets: each place once, however often and however spelled it was typed.

    Parameters
    ----------
    names, data_dir, download, progress
        See ``open_dataset``; a dataset that is open already stays as it is.
    images
        Names of images, or dataset as in ``names`` -> names of its images; all if empty.
    """
    for name in names:  # a mistyped one is told before another one is downloaded
        if isinstance(name, str):
            _open_folder(name) if name.startswith(FOLDER_PREFIX) else manifests.read(name)
    opened: dict[Path | str, Dataset] = {}
    for name in names:
        if isinstance(name, Dataset):
            dataset = name
        else:
            chosen = images.get(name, ()) if isinstance(images, Mapping) else images
            dataset = open_dataset(
                name, data_dir, download=download, images=chosen, progress=progress
            )
        same = opened.setdefault(dataset.folder or dataset.name, dataset)
        items = {item.name: item for item in (*same.items, *dataset.items)}
        opened[dataset.folder or dataset.name] = replace(
            same, items=tuple(items[item] for item in sorted(items))
        )
    return distinct(list(opened.values()))


def distinct(opened: Sequence[Dataset]) -> list[Dataset]:
    """Return the datasets, those called as another one before them by their whole path."""
    found: list[Dataset] = []
    for dataset in opened:
        taken = {other.name for other in found}
        if dataset.name in taken and dataset.folder is not None:
            found.append(replace(dataset, name=printable(f"{FOLDER_PREFIX}{dataset.folder}")))
        else:
            found.append(dataset)
    return found


def _choose(dataset: Dataset, images: Sequence[str]) -> Dataset:
    """Return the dataset with the named images alone, by name or by name without suffix."""
    if not images:
        return dataset
    chosen: list[Item] = []
    named, spelt = defaultdict[str, list[Item]](list), defaultdict[str, list[Item]](list)
    for item in dataset.items:
        named[item.name].append(item)
        for word in {item.file.stem, Path(item.file.name).name}:
            spelt[word].append(item)
    for typed in images:
        hits = named.get(typed) or spelt.get(typed, [])
        if len(hits) != 1:
            told = "has no image" if not hits else f"has {len(hits)} images"
            raise UsageError(
                f"dataset {dataset.name} {told} {typed!r}",
                suggest(typed, [item.name for item in hits or dataset.items]),
            )
        chosen += hits
    items = tuple(sorted(dict.fromkeys(chosen), key=lambda item: item.name))
    return replace(dataset, items=items)


def _with_note(dataset: Dataset, failure: str) -> Dataset:
    """Verify what can be verified, and put in words what a reader of the numbers must know."""
    words = []
    if len(dataset.items) != dataset.expected:
        words.append(
            f"{len(dataset.items)} of {dataset.expected} images; never call their average "
            f"{dataset.title}"
        )
    if failure:
        words.append(f"downloading the others failed: {failure}")
    recoded, unknown = [], 0
    for item in dataset.items:
        known = verify(item.file, item.path)
        if known is None:
            unknown += 1
        elif known.sha256 != item.file.sha256:
            recoded.append(item.name)
    if recoded:
        words.append(f"other files than upstream's, the same pixels: {', '.join(recoded)}")
    if unknown:
        words.append(
            f"{unknown} images have no published hash and were not checked: "
            f"`bench fetch {dataset.name}` says what they are"
        )
    return replace(dataset, note=". ".join(words))


def choose_default(
    data_dir: Path | None = None,
    *,
    download: bool = True,
    images: Sequence[str] = (),
    one: bool = False,
    progress: Callable[[str], object] | None = None,
) -> tuple[list[Dataset], list[str]]:
    """Return what a bare ``bench all`` measures, and what must be said about the choice, loudly.

    Datasets of ``default = "download"`` (Kodak) if they are available or can be downloaded, those
    of ``available`` (CLIC) that lie here complete, and the embedded ``fallback`` where that is
    nothing.

    Parameters
    ----------
    data_dir, download, images, progress
        See ``open_dataset``.
    one
        Whether the first of them is enough.

    Raises
    ------
    DatasetError
        If an available file is another one than its manifest says.
    UsageError
        If none of the chosen datasets has the ``images``.
    """
    chosen: list[Dataset] = []
    messages: list[str] = []
    unknown: UsageError | None = None
    for name in manifests.names():
        default = manifests.read(name).default
        if chosen and (one or default == "fallback"):
            continue
        fetching = download and default == "download"
        try:
            if default == "available" and (lacks := _lacks(name, data_dir, images)) is not None:
                messages.append(lacks)
                continue
            dataset = open_dataset(
                name, data_dir, download=fetching, images=images, progress=progress
            )
        except NotAtHand as error:
            messages.append(str(error))
            continue
        except UsageError as error:  # --image of another dataset
            unknown = unknown or error
            continue
        if default == "fallback":
            messages.append(
                f"NEITHER KODAK NOR CLIC IS AVAILABLE: measuring photographs of `{name}` instead. "
                "No published number can be compared with these."
            )
        chosen.append(dataset)
    if not chosen:
        raise unknown or NotAtHand("no dataset is available", "Run `bench fetch kodak`.")
    return chosen, [text for text in messages if text]


def _lacks(name: str, data_dir: Path | None, images: Sequence[str]) -> str | None:
    """Return what of a dataset is not here; empty: all of it; None: it is complete."""
    manifest, found = manifests.read(name), at_hand(name, data_dir, images=images)
    if not found.items:
        return ""
    if _complete(found, manifest, images):
        return None
    here = f"{len(found.items)} of {found.expected} images are available"
    return f"{name} is left out: {here}; --dataset {name} measures them"


def overview(data_dir: Path | None = None) -> list[dict[str, str]]:
    """Return name, what is available, title and licence of every dataset, for ``bench list``."""
    rows = []
    for name in manifests.names():
        found = at_hand(name, data_dir)
        rows.append(
            {
                "name": name,
                "available": f"{len(found.items)} of {found.expected}",
                "title": found.title,
                "licence": found.licence,
            }
        )
    return rows
