"""Files and folders of results: written whole or not at all, named safely."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import itertools
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.errors import OutputError

_STEM_LETTERS = 100


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
        target = path.resolve()
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
