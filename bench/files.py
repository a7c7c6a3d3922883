"""Files and folders of results: written whole or not at all, named safely."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import itertools
import os
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.errors import OutputError

_STEM_LETTERS = 100


def user_cache() -> Path:
    """Return the user's cache folder of this suite; it may not exist yet.

    Who has no home gets a place where no file can be. With older versions of platformdirs it would
    be a folder ``~`` of the current one, and what lies there is anybody's.
    """
    import platformdirs

    with contextlib.suppress(RuntimeError):
        folder: Path = platformdirs.user_cache_path("agvae-bench", appauthor=False)
        if folder.is_absolute():
            return folder
    return Path(os.devnull, "agvae-bench")


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` by way of a temporary file beside it; nothing is half-written.

    A kill at any moment leaves the old file or the new one, never a part; a link is followed.
    A device or pipe, which must not be replaced by a file, is written to directly.

    Raises
    ------
    OutputError
        If the folder is missing or read-only, or the disk is full.
    """
    try:
        target = _followed(path)
        if target.exists() and not target.is_file() and not target.is_dir():
            target.write_bytes(data)
            return
        part = target.with_name(f".{secrets.token_hex(8)}.part")
        try:
            # Mode "x" makes the file with the permissions that the user's umask leaves.
            with part.open("xb") as file:
                file.write(data)
            part.replace(target)
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise _cannot_write(path, error) from error


def _followed(path: Path) -> Path:
    """Return where links lead; links in a circle are an error on every Python.

    Raises
    ------
    OSError, RuntimeError
        If they go in a circle; from Python 3.13 on ``resolve`` returns one of them.
    """
    target = path.resolve()
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return target


def _cannot_write(path: Path, error: Exception) -> OutputError:
    number = getattr(error, "errno", None)
    if number == errno.ENOSPC:
        next_step = "The disk is full: make room, or choose another folder."
    elif number in (errno.ENOENT, errno.ENOTDIR):
        next_step = f"Make the folder {path.parent} first."
    else:
        next_step = "Choose another folder."
    return OutputError(
        f"cannot write {path}: {getattr(error, 'strerror', None) or error}; "
        "nothing was written there",
        next_step,
    )


def check_writable(path: Path, *, make_folders: bool = False) -> None:
    """Refuse an output before the work whose result it will hold; nothing is left behind.

    Parameters
    ----------
    path
        The file to be written; a device or pipe is not touched.
    make_folders
        Whether folders that are missing will be made for it.

    Raises
    ------
    OutputError
        If it is a folder, or no file can be made where it is to lie.
    """
    try:
        target = _followed(path)
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if target.exists() and not target.is_file():
            return
        folder = target.parent
        while make_folders and not folder.exists():
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, RuntimeError, ValueError) as error:
        raise _cannot_write(path, error) from error


def check_folder(folder: Path) -> None:
    """Refuse a folder of results that cannot be made or written to; nothing is left behind.

    Raises
    ------
    OutputError
        If that is so.
    """
    try:
        check_writable(folder / "part", make_folders=True)
    except OutputError as error:
        cause = error.__cause__
        raise OutputError(
            f"cannot write results to {folder}: {getattr(cause, 'strerror', None) or cause}",
            "Choose another --out.",
        ) from error


def make_folder(folder: Path) -> Path:
    """Return ``folder``, made if missing.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {folder}: {error.strerror or error}",
            "Choose another --out.",
        ) from error
    return folder


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time write the tables and plots of ``folder``; the others wait.

    A folder that is not there is not locked: whoever uses it says so better.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        yield
        return
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def file_stems(datasets: Sequence[str]) -> dict[str, str]:
    """Return a file-name stem for each dataset, distinct and safe on every file system.

    At most ``_STEM_LETTERS`` letters, so that suffixes fit; a longer one ends in its hash. Stems
    differ in more than case.

    >>> file_stems(["kodak", "folder:/tmp/my photos"])
    {'kodak': 'kodak', 'folder:/tmp/my photos': 'folder_tmp_my_photos'}
    """
    stems: dict[str, str] = {}
    for name in datasets:
        safe = "".join(c if c.isascii() and (c.isalnum() or c in ".-") else "_" for c in name)
        stem = "_".join(part for part in safe.split("_") if part).lstrip(".") or "dataset"
        if len(stem) > _STEM_LETTERS:
            digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
            stem = f"{stem[: _STEM_LETTERS - 9]}-{digest}"
        candidates = itertools.chain([stem], (f"{stem}-{n}" for n in itertools.count(2)))
        taken = {other.lower() for other in stems.values()}
        stems[name] = next(c for c in candidates if c.lower() not in taken)
    return stems
