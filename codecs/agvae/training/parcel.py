"""Files on the way between two machines: one tar, cut into pieces that fit what may travel."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.errors import DatasetError, OutputError

MIB = 2**20
PIECE = "parcel-"
"""Pieces are called parcel-000, parcel-001, ...: ``cat parcel-* | tar -x`` opens them anywhere."""


_END_BYTES = 1024
"""Zeros that end every tar."""


def size_bytes(files: Mapping[str, Path]) -> int:
    """Return about how many bytes a parcel of ``files`` has."""
    return sum(path.stat().st_size + 1024 for path in files.values()) + 10240


def write(files: Mapping[str, Path], folder: Path, piece_bytes: int) -> list[Path]:
    """Write a parcel into ``folder``; return its pieces.

    Parameters
    ----------
    files
        Name inside the parcel -> file.
    folder
        Made if missing; older pieces in it are removed.
    piece_bytes
        Size that no piece exceeds.

    Raises
    ------
    OutputError
        If a piece cannot be written.
    """
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, path in sorted(files.items()):
            archive.add(path, name)
    data = stream.getvalue()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f"{PIECE}*"):
            old.unlink()
        pieces = []
        for number, start in enumerate(range(0, len(data), piece_bytes)):
            pieces.append(folder / f"{PIECE}{number:03d}")
            pieces[-1].write_bytes(data[start : start + piece_bytes])
    except OSError as error:
        raise OutputError(
            f"cannot write to {folder}: {error.strerror or error}", "Choose another folder."
        ) from error
    return pieces


def read(folder: Path, destination: Path) -> list[str]:
    """Unpack the parcel whose pieces lie in ``folder`` or in folders below it; return the names.

    Raises
    ------
    DatasetError
        If there is none, or a piece is missing or damaged.
    """
    pieces = sorted(folder.rglob(f"{PIECE}*"), key=lambda path: path.name)
    if not pieces:
        raise DatasetError(
            f"{folder} holds no {PIECE}000", "Give the folder that was brought back."
        )
    stream = b"".join(path.read_bytes() for path in pieces)
    numbers = [path.name.removeprefix(PIECE) for path in pieces]
    whole = numbers == [f"{number:03d}" for number in range(len(pieces))]
    if not whole or not stream.endswith(bytes(_END_BYTES)):
        raise DatasetError(
            f"the parcel in {folder} is incomplete: found pieces {', '.join(numbers)}",
            "Bring it again.",
        )
    data = io.BytesIO(stream)
    destination.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(fileobj=data) as archive:
            _unpack(archive, destination)
            return archive.getnames()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DatasetError(
            f"the parcel in {folder} is incomplete or damaged ({error})", "Bring it again."
        ) from error


def _unpack(archive: tarfile.TarFile, destination: Path) -> None:
    """Extract plain files and folders below ``destination``; anything else is a ``TarError``."""
    root = destination.resolve()
    for member in archive:
        inside = (root / member.name).resolve().is_relative_to(root)
        if not inside or not (member.isfile() or member.isdir()):
            raise tarfile.TarError(f"{member.name} is no plain file below the folder")
    # Python before 3.11.4, Debian 12's for one, knows no filters.
    safe: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    archive.extractall(destination, **safe)  # noqa: S202 - checked above


def tree_bytes(root: Path) -> int | None:
    """Return the bytes of the files in a checkout that git does not ignore; None outside of one."""
    tool = shutil.which("git")
    if not tool:
        return None
    words: Sequence[str] = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    done = subprocess.run(  # noqa: S603 - a fixed command
        [tool, "-C", str(root), *words], capture_output=True, check=False
    )
    if done.returncode:
        return None
    files = [root / name for name in done.stdout.decode().split("\0") if name]
    return sum(path.lstat().st_size for path in files if path.is_symlink() or path.is_file())
