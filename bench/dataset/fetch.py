"""``bench fetch``: make a dataset complete on this machine, every file verified."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from bench import metrics, registry
from bench.dataset.download import Check, Unreachable, download, extract, reach, temporary_beside
from bench.dataset.identity import Identity, expected, file_hash, identify, match, verify
from bench.dataset.manifest import (
    File,
    Manifest,
    download_folder,
    locate,
    names,
    read,
)
from bench.errors import DatasetError, ImageError, UsageError, suggest
from bench.files import user_cache

Tell = Callable[[str], object]
"""Called with what is going on, in a few words."""


class Incomplete(DatasetError):  # noqa: N818 - a verdict, not a fault
    """Images are still missing after every source was tried.

    Attributes
    ----------
    reasons
        What each source answered, in a few words.
    """

    def __init__(self, what: str, next_step: str, reasons: str) -> None:
        super().__init__(what, next_step)
        self.reasons = reasons


@dataclass(frozen=True, slots=True)
class Found:
    """A file whose hash nobody published: what it is, for a manifest to say from now on."""

    name: str
    size_bytes: int
    identity: Identity

    def __str__(self) -> str:
        """Return a line for the manifest's ``files``."""
        known = self.identity
        return (
            f'{{ name = "{self.name}", bytes = {self.size_bytes}, width = {known.width}, '
            f'height = {known.height}, sha256 = "{known.sha256}", '
            f'rgb_sha256 = "{known.rgb_sha256}" }},'
        )


@dataclass(slots=True)
class Report:
    """What ``fetch`` found and did.

    Attributes
    ----------
    dataset
        Name.
    images
        How many the whole dataset has.
    folder
        Where downloads went.
    present
        Names of files that were right already, wherever they lie.
    downloaded
        Names of files that came now.
    recoded
        Files with other bytes than upstream's and the same pixels.
    found
        Files without a known hash: what they are.
    """

    dataset: str
    images: int
    folder: Path
    present: list[str] = field(default_factory=list)
    downloaded: list[str] = field(default_factory=list)
    recoded: list[str] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)

    def __str__(self) -> str:
        """Return the report for people, a line for each thing to know."""
        here = len(self.present) + len(self.downloaded)
        lines = [f"{self.dataset}: {here} of {self.images} images, {len(self.downloaded)} new"]
        if self.downloaded:
            lines[0] += f" in {self.folder}"
        if self.recoded:
            lines.append(f"other files, the same pixels: {', '.join(self.recoded)}")
        if self.found:
            lines.append(f"{len(self.found)} files have no known hash and were not checked. Found:")
            lines += [f"  {found}" for found in self.found]
        return "\n".join(lines)


def fetch_any(
    name: str, data_dir: Path | None = None, *, progress: Tell | None = None
) -> Report | str:
    """Fetch whatever ``bench fetch`` knows by this name, and return what to tell about it.

    That is a dataset; a metric, whose weights it may lack; or a codec, by its method ``fetch``.

    Raises
    ------
    UsageError
        If nothing has that name; the message suggests the near one.
    BenchError
        If it could not be fetched.
    """
    tell = progress or (lambda _: None)
    if name in names():
        return fetch(name, data_dir, progress=progress)
    scored = {word.replace("_", "-"): m.cls for word, m in metrics.discover().items() if m.cls}
    if (metric := scored.get(name.replace("_", "-"))) is not None:
        path = fetch_weights(metric, tell)
        return f"{name}: {path or 'nothing to download'}"
    codecs = {found.name: found.cls for found in registry.discover().values() if found.cls}
    if name not in codecs:
        known = [*names(), *sorted(scored), *sorted(codecs)]
        raise UsageError(f"nothing to fetch is called {name!r}", suggest(name, known))
    paths = codecs[name].fetch(tell)
    return f"{name}: {', '.join(map(str, paths)) or 'nothing to download'}"


def fetch_weights(metric: type[metrics.Metric], tell: Tell) -> Path | None:
    """Download and verify the file that a metric lacks; return it, or None: it lacks none.

    Raises
    ------
    DatasetError
        If it cannot be downloaded or is another file; nothing is left behind.
    OutputError
        If it cannot be written.
    """
    wanted = metric.wanted()
    if wanted is None:
        return None

    def check(path: Path) -> None:
        found = file_hash(path, "sha256")
        if not found.startswith(wanted.sha256):
            raise DatasetError(
                f"{wanted.url} has the wrong sha256: wanted {wanted.sha256}..., found "
                f"{found[:16]}...; the download was deleted"
            )

    name = wanted.path.name
    tell(f"{name}: asking {urlsplit(wanted.url).netloc}")
    try:
        reach(wanted.url)
        download(
            wanted.url,
            wanted.path,
            check,
            lambda done, total: tell(f"{name}: {_megabytes(done, total)}"),
        )
    except DatasetError as error:
        raise type(error)(
            f"weights of {metric.name} could not be downloaded: {error.what}",
            f"Try again, or put {name} into {wanted.path.parent} by hand.",
        ) from error
    return wanted.path


def _megabytes(done: int, total: int) -> str:
    return f"{done / 1e6:.1f} of {total / 1e6:.1f} MB" if total else f"{done / 1e6:.1f} MB"


def fetch(
    name: str,
    data_dir: Path | None = None,
    *,
    images: Sequence[str] = (),
    progress: Tell | None = None,
) -> Report:
    """Download what is missing of a dataset; what is right already stays as it is.

    A wrong file is replaced in the user cache only: anywhere else it is yours, stays untouched,
    and the error says so.

    Parameters
    ----------
    name
        A dataset.
    data_dir
        Where to look first and to download to; the user cache if None.
    images
        Fetch these alone.
    progress
        Called with a few words before and during each download.

    Raises
    ------
    UsageError
        If there is no such dataset or image.
    Incomplete
        If something is still missing at the end; what arrived stays, so that the next call
        goes on from there.
    DatasetError
        If an available file is another one than the manifest says.
    OutputError
        If the folder cannot be written.
    """
    job = _Job(read(name), data_dir, images, progress or (lambda _: None))
    job.look()
    if job.missing and job.manifest.remote:
        job.from_urls()
        if job.missing:
            job.from_archive()
    job.raise_for_missing()
    return job.finish()


class _Job:
    """One call of ``fetch``."""

    def __init__(
        self, manifest: Manifest, data_dir: Path | None, images: Sequence[str], tell: Tell
    ) -> None:
        self.manifest = manifest
        self.data_dir = data_dir
        self.tell = tell
        self.folder = download_folder(manifest, data_dir)
        self.report = Report(manifest.name, manifest.images, self.folder)
        self.wanted = manifest.select(images)
        self.missing: dict[str, File] = {}
        self.failures: dict[str, str] = {}

    def look(self) -> None:
        """Find what is right already."""
        at_hand = locate(self.manifest, self.data_dir)
        if not self.manifest.files:
            if len(at_hand) >= self.manifest.images:
                self.report.present = sorted(at_hand)
            else:
                self.missing = {self.manifest.name: File(self.manifest.name)}
            return
        for file in self.wanted:
            path = at_hand.get(file.name)
            try:
                if path:
                    verify(file, path)
            except DatasetError:
                # Ours to replace; a wrong file of the user's would go on hiding a right one.
                if not path or not path.is_relative_to(user_cache()):
                    raise
                path = None
            if path:
                self.report.present.append(file.name)
            else:
                self.missing[file.name] = file

    def from_urls(self) -> None:
        """Download files one by one; a host that does not answer is not asked again."""
        silent: dict[str, str] = {}
        asked: set[str] = set()
        for template in self.manifest.urls:
            host = urlsplit(template).netloc
            for file in list(self.missing.values()):
                if host in silent:
                    self.failures[file.name] = silent[host]
                    continue
                url = template.format(file=file.name)
                try:
                    if host not in asked:
                        self.tell(f"{self.manifest.name}: asking {host}")
                        reach(url)
                        asked.add(host)
                    words = f"{self.manifest.name}: {file.name}"
                    check = partial(_check_download, file)
                    download(url, self.folder / file.name, check, self._bar(words))
                except Unreachable as error:
                    silent[host] = self.failures[file.name] = error.what
                except DatasetError as error:
                    self.failures[file.name] = error.what
                else:
                    self._arrived(file.name)

    def from_archive(self) -> None:
        """Download the archive and take what is missing out of it."""
        archive = self.manifest.archive
        if archive is None:
            return
        checks: dict[str, Check] | None = None
        if self.manifest.files:
            checks = {name: partial(_check_download, file) for name, file in self.missing.items()}
        zip_name = Path(urlsplit(archive.url).path).name
        words = f"{self.manifest.name}: {zip_name}"
        with temporary_beside(self.folder) as path:
            try:
                self.tell(f"{self.manifest.name}: asking {urlsplit(archive.url).netloc}")
                reach(archive.url)
                check = partial(_check_archive, archive.md5)
                download(archive.url, path, check, self._bar(words))
                self.tell(f"{words}: extracting")
                names_found = extract(path, self.folder, checks)
            except DatasetError as error:
                for name in self.missing:
                    before = f"{self.failures[name]}; " if name in self.failures else ""
                    self.failures[name] = f"{before}{zip_name}: {error.what}"
                return
        if checks is None:
            self.missing.clear()
        for name in names_found:
            self._arrived(name)

    def _bar(self, words: str) -> Callable[[int, int], None]:
        def show(done: int, total: int) -> None:
            here = len(self.report.present) + len(self.report.downloaded)
            size = _megabytes(done, total)
            self.tell(f"{words}, {size} ({here} of {self.manifest.images} images here)")

        return show

    def _arrived(self, name: str) -> None:
        self.report.downloaded.append(name)
        self.missing.pop(name, None)
        self.failures.pop(name, None)

    def raise_for_missing(self) -> None:
        """Say in one line what is missing, why, and how to do it by hand."""
        if not self.missing:
            return
        manifest = self.manifest
        if not manifest.remote:
            raise DatasetError(
                f"dataset {manifest.name} lacks {', '.join(self.missing)}",
                "Install scikit-image again: it carries these files.",
            )
        here = len(self.report.present) + len(self.report.downloaded)
        reasons = list(dict.fromkeys(self.failures.values()))
        told = "; ".join(reasons[:3]) + ("; ..." if len(reasons) > 3 else "")
        raise Incomplete(
            f"dataset {manifest.name}: {here} of {manifest.images} images available, "
            f"the others could not be downloaded: {told}",
            f"Try again, or put the files of {manifest.source} into {self.folder}.",
            told,
        )

    def finish(self) -> Report:
        """Return the report, with what was found where nothing was known."""
        by_name = {file.name: file for file in self.manifest.files}
        at_hand = locate(self.manifest, self.data_dir)
        for name in [*self.report.present, *self.report.downloaded]:
            self.tell(f"{self.manifest.name}: hashing {name}")
            path = at_hand[name]
            file = by_name.get(name, File(name))
            known = expected(file)
            try:
                identity = identify(path, known)
            except ImageError:  # a broken file of an archive costs its own rows only
                continue
            if known is None:
                self.report.found.append(Found(name, path.stat().st_size, identity))
            elif identity.sha256 != known.sha256:
                self.report.recoded.append(name)
        return self.report


def _check_download(file: File, path: Path) -> None:
    known = expected(file)
    if known is None:
        return
    try:
        match(path, known, remember=False)
    except DatasetError as error:
        raise DatasetError(f"{file.name}: {error.what}; the download was deleted") from error


def _check_archive(md5: str | None, path: Path) -> None:
    found = file_hash(path, "md5")
    if md5 not in (None, found):
        raise DatasetError(f"wanted md5 {md5}, found {found}; the download was deleted")
