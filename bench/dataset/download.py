"""One address to one verified file: temporary name, check, move. Archives likewise."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from bench.dataset.manifest import SUFFIXES
from bench.errors import DatasetError, OutputError

OFFLINE = "BENCH_OFFLINE"
CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
_CHUNK_BYTES = 1 << 16
_HEADERS = {"User-Agent": "agvae-bench"}
_MAX_ARCHIVE_BYTES = 8 << 30

Progress = Callable[[int, int], object]
"""Called with bytes done and bytes in all (0 where the server does not say)."""

Check = Callable[[Path], None]
"""Raises DatasetError where a downloaded file is not the wanted one."""


class Unreachable(DatasetError):  # noqa: N818 - a verdict on a host, not on a file
    """The host of an address does not answer; its other addresses will not either."""


class _Bar:
    """What pooch calls while it downloads."""

    def __init__(self, progress: Progress) -> None:
        self.total = 0
        self._done = 0
        self._progress = progress

    def update(self, count: int) -> None:
        self._done += count
        self._progress(min(self._done, self.total) if self.total else self._done, self.total)

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        """Nothing to close."""


def reach(url: str) -> None:
    """Return if the host of ``url`` answers at all.

    Looking up a name can hang longer than any timeout of a connection, hence the thread.

    Raises
    ------
    Unreachable
        If it does not within ``CONNECT_TIMEOUT_S``, or ``$BENCH_OFFLINE`` is set.
    """
    if os.environ.get(OFFLINE, "0") not in ("", "0"):
        raise Unreachable(f"{urlsplit(url).netloc} is not asked ({OFFLINE} is set)")
    import requests

    outcome: list[str] = []

    def ask() -> None:
        try:
            requests.head(url, timeout=CONNECT_TIMEOUT_S, headers=_HEADERS)
        except requests.exceptions.RequestException as error:
            outcome.append(reason(error))
        else:
            outcome.append("")

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(CONNECT_TIMEOUT_S)
    told = outcome[0] if outcome else f"no answer within {CONNECT_TIMEOUT_S:g} s"
    if told:
        raise Unreachable(f"{urlsplit(url).netloc} cannot be reached ({told})")


def reason(error: BaseException) -> str:
    """Return the innermost cause of a network error, without addresses of objects."""
    while True:
        inner = error.__cause__ or error.__context__ or getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            break
        error = inner
    return str(getattr(error, "strerror", None) or error) or type(error).__name__


def download(url: str, path: Path, check: Check, progress: Progress) -> None:
    """Download ``url`` to ``path``, which appears whole and checked or not at all.

    Raises
    ------
    Unreachable
        If the connection fails.
    DatasetError
        If the server refuses, the transfer breaks off, or ``check`` rejects the file.
    OutputError
        If it cannot be written.
    """
    import pooch  # type: ignore[import-untyped]
    import requests

    transfer = pooch.HTTPDownloader(
        progressbar=_Bar(progress),
        chunk_size=_CHUNK_BYTES,
        timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
        headers=_HEADERS,
    )
    with temporary_beside(path) as partial:
        try:
            transfer(url, str(partial), None)
        except requests.exceptions.HTTPError as error:
            raise DatasetError(f"{url} is not there ({error})") from error
        except requests.exceptions.ConnectionError as error:
            raise Unreachable(f"{urlsplit(url).netloc} is gone ({reason(error)})") from error
        except requests.exceptions.RequestException as error:
            raise DatasetError(f"{url} broke off: {reason(error)}") from error
        check(partial)
        partial.replace(path)


@contextlib.contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """Yield a hidden name beside ``path``; what is left there at the end is deleted.

    Raises
    ------
    OutputError
        If the folder cannot be made, or writing fails inside the block.
    """
    partial = path.parent / f".{secrets.token_hex(8)}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; nothing was written there",
            "Choose another folder with --data-dir, or make room.",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            if partial.is_dir():
                shutil.rmtree(partial)
            else:
                partial.unlink(missing_ok=True)


def extract(archive: Path, folder: Path, wanted: dict[str, Check] | None) -> list[str]:
    """Extract the images of a ZIP file into ``folder``, flat; all that are wanted or none.

    Hidden files (macOS writes ``._*``), folders and what is not an image are skipped.

    Parameters
    ----------
    archive
        The ZIP file.
    folder
        Made if need be; files of the same name there are replaced.
    wanted
        File name -> check, for a choice of files; None for every image.

    Returns
    -------
    list of str
        The names of the files written.

    Raises
    ------
    DatasetError
        If the archive is damaged, has entries that point outside of it, or fails a check.
    OutputError
        If the folder cannot be written.
    """
    with temporary_beside(folder) as partial:
        partial.mkdir()
        try:
            with zipfile.ZipFile(archive) as opened:
                members = _members(opened, wanted)
                for name, info in members.items():
                    with opened.open(info) as source, (partial / name).open("wb") as target:
                        shutil.copyfileobj(source, target, _CHUNK_BYTES)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            NotImplementedError,  # an unknown compression method
            RuntimeError,  # an encrypted entry
        ) as error:
            raise DatasetError(f"the archive is damaged ({error})") from error
        for name in members:
            if wanted is not None:
                wanted[name](partial / name)
        folder.mkdir(parents=True, exist_ok=True)
        for name in members:
            (partial / name).replace(folder / name)
    return sorted(members)


def _members(
    opened: zipfile.ZipFile, wanted: dict[str, Check] | None
) -> dict[str, zipfile.ZipInfo]:
    """Return the images to extract by their bare names, after checking every entry."""
    members: dict[str, zipfile.ZipInfo] = {}
    for info in opened.infolist():
        path = PurePosixPath(info.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in info.filename:
            raise DatasetError(f"the archive has an entry outside of itself: {info.filename!r}")
        hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
        if info.is_dir() or hidden or path.suffix.lower() not in SUFFIXES:
            continue
        if wanted is not None and path.name not in wanted:
            continue
        if path.name in members:
            raise DatasetError(f"the archive has two images called {path.name}")
        members[path.name] = info
    total = sum(info.file_size for info in members.values())
    if total > _MAX_ARCHIVE_BYTES:
        raise DatasetError(f"the archive would take {total >> 30} GiB")
    if not members:
        raise DatasetError("the archive holds none of the images")
    return members
