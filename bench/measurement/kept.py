"""Pictures that a run decoded with networks, kept in the user's cache so that its page is quick.

A page shows what files decode to, and a network takes a second for what the run did moments ago.
What is kept is found by the hash of the file and by what decoded it: codec, its version (the hash
of its weights), the source code of the suite and the versions of the libraries. So it does not
matter in which folder results lie, and nothing of another decoder is taken. Whatever is wrong with
a kept picture, or with keeping it, costs the time to decode the file again, and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import registry
from bench.codec import Codec
from bench.files import user_cache
from bench.image import Image, pixels_sha256
from bench.measurement.provenance import package_versions

if TYPE_CHECKING:
    from bench.measurement.encoding import Cell
    from bench.measurement.worker import Task

LIMIT = "BENCH_KEPT_MIB"
"""The environment variable that says how much is kept between runs; 0 keeps nothing."""

_LIMIT_MIB = 256.0
_MOST_PIXELS = 8_000_000  # of a picture that is kept: more memory than its codec's nobody takes
_BYTES_A_PIXEL = 1.1  # of a photograph as lossless WebP of method 0
_MAGIC = b"bench decoded picture 1\n"
_HASH_BYTES = 32
_NAME = re.compile(r"[0-9a-f]{64}(\.[0-9a-f]{16})?")  # of what is kept, or was being written


@dataclass(frozen=True, slots=True)
class Kept:
    """A decoded picture, and what the bytes of its file are for.

    Attributes
    ----------
    pixels
        uint8 RGB (H, W, 3).
    ledger
        As of ``Codec.ledger``.
    """

    pixels: Image
    ledger: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the pictures of one decoder are kept; travels to workers.

    Attributes
    ----------
    folder
        In the user's cache.
    decoder
        Hash of what decodes: see ``place_of``.
    """

    folder: str
    decoder: str

    def path(self, file_sha256: str) -> Path:
        """Return where the picture of a file is, if it is kept."""
        name = hashlib.sha256(f"{self.decoder} {file_sha256}".encode()).hexdigest()
        return Path(self.folder, name)

    def put(self, data: bytes, pixels: Image, ledger: Mapping[str, int]) -> None:
        """Keep what the file ``data`` decodes to; where that cannot be, leave it."""
        from PIL import Image as PILImage

        with contextlib.suppress(Exception):  # a full disk, a side that WebP cannot hold
            buffer = io.BytesIO()
            how: dict[str, Any] = {"lossless": True, "exact": True, "method": 0, "quality": 0}
            PILImage.fromarray(pixels).save(buffer, "WEBP", **how)
            file = hashlib.sha256(data).hexdigest()
            about = {"decoder": self.decoder, "file": file, "rgb": pixels_sha256(pixels)}
            head = json.dumps({**about, "ledger": {k: int(v) for k, v in ledger.items()}})
            body = head.encode() + b"\n" + buffer.getvalue()
            _write(self.path(file), _MAGIC + hashlib.sha256(body).digest() + body)

    def get(self, file_sha256: str, shape: Sequence[int]) -> Kept | None:
        """Return the picture of a file, of the shape (H, W, 3); None where it is not kept whole."""
        from PIL import Image as PILImage

        with contextlib.suppress(Exception):
            head, webp = self._read(file_sha256)
            with PILImage.open(io.BytesIO(webp), formats=["WEBP"]) as opened:
                if (opened.height, opened.width, 3) != tuple(shape):
                    return None
                pixels = np.array(opened.convert("RGB"))
            if pixels_sha256(pixels) == head["rgb"]:
                return Kept(pixels, head["ledger"])
        return None

    def ledger(self, file_sha256: str, size_bytes: int) -> dict[str, int] | None:
        """Return what the bytes of a file are for; None where that is not kept, or not all of it.

        Parameters
        ----------
        file_sha256, size_bytes
            Of the file.
        """
        with contextlib.suppress(Exception):
            found: dict[str, int] = self._read(file_sha256)[0]["ledger"]
            return found if sum(found.values()) == size_bytes else None
        return None

    def _read(self, file_sha256: str) -> tuple[dict[str, Any], bytes]:
        """Return what is kept of a file: words and WebP.

        Raises
        ------
        Exception
            Of any kind, if that is nothing, or not what ``put`` wrote for this file and decoder.
        """
        path = self.path(file_sha256)
        data = path.read_bytes()
        body = data[len(_MAGIC) + _HASH_BYTES :]
        if data != _MAGIC + hashlib.sha256(body).digest() + body:
            raise ValueError(f"{path} is damaged")
        head, _, webp = body.partition(b"\n")
        about: dict[str, Any] = json.loads(head)
        if (about["decoder"], about["file"]) != (self.decoder, file_sha256):
            raise ValueError(f"{path} is of another file")
        with contextlib.suppress(OSError):
            os.utime(path)  # the oldest go first
        return about, webp


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; no other process sees a part of it.

    A part that a kill leaves has a name that ``trim`` knows; ``files.write_atomically`` gives one
    that may be anybody's.

    Raises
    ------
    OSError
        If that fails; then nothing of it is left.
    """
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def limit_bytes() -> int:
    """Return how much may be kept between runs."""
    with contextlib.suppress(ValueError, OverflowError):
        return max(0, int(float(os.environ.get(LIMIT, "") or _LIMIT_MIB) * 2**20))
    return 0  # who wrote something there wanted less, not more


def folder() -> Path:
    """Return where pictures are kept."""
    return user_cache() / "decoded"


def is_own_network(codec: Codec) -> bool:
    """Whether a codec is a network of the suite, not of another package."""
    if not codec.learned:
        return False
    found = registry.find(codec.name)
    return found is not None and not found.package


def place_of(codec: Codec) -> Place | None:
    """Return where pictures of a codec are kept; None: they are not.

    They are those of the suite's own networks on a CPU. A codec of another package may consist of
    files that nobody can hash.
    """
    if not is_own_network(codec) or codec.device != "cpu" or not limit_bytes():
        return None
    parts = (codec.name, codec.version(), codec.format_version, codec.precision, _program())
    return Place(str(folder()), hashlib.sha256(repr(parts).encode()).hexdigest())


@cache
def _program() -> str:
    """Return the hash of the suite's source code and the versions of the libraries."""
    digest = hashlib.sha256(repr(sorted(package_versions().items())).encode())
    root = Path(__file__).parents[1]
    for base in (root, root / "codecs"):  # a walk does not follow the link that the latter may be
        for path in sorted(base.rglob("*.py")):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def marked(tasks: list[Task], cells: Iterable[Cell], codecs: Iterable[Codec]) -> list[Task]:
    """Return tasks that say where what they decode is kept.

    A dataset's pictures are kept if all of them have room, the smallest dataset first: which of
    them a page shows is known when all are measured.

    Parameters
    ----------
    tasks, cells
        Of a plan.
    codecs
        Those whose pictures a page may show.
    """
    found = {codec.name: place_of(codec) for codec in codecs}
    places = {name: place for name, place in found.items() if place}
    if not places or not _made(folder()):
        return tasks
    dataset_of = {cell.key: cell.dataset for cell in cells}
    sizes: dict[str, float] = {}
    mine = [task for task in tasks if task.codec in places]
    for task in mine:
        name = dataset_of.get(task.row.key, "")
        pixels = task.row.width * task.row.height
        sizes[name] = sizes.get(name, 0.0) + _BYTES_A_PIXEL * min(pixels, _MOST_PIXELS)
    room, kept = float(limit_bytes()), set()
    for name, size in sorted(sizes.items(), key=lambda pair: pair[1]):
        if size <= room:
            room -= size
            kept.add(name)

    def mark(task: Task) -> Task:
        small = task.row.width * task.row.height <= _MOST_PIXELS
        wanted = small and dataset_of.get(task.row.key, "") in kept
        return replace(task, keep=places[task.codec]) if wanted else task

    return [mark(task) if task.codec in places else task for task in tasks]


def _made(place: Path) -> bool:
    """Whether a folder is there, made if need be."""
    with contextlib.suppress(OSError):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        return True
    return False


def trim() -> None:
    """Remove what is kept beyond the limit, the oldest first; files of other names stay.

    The folder may be a link to one that holds something else too.
    """
    with contextlib.suppress(OSError):
        mine = [e for e in os.scandir(folder()) if _NAME.fullmatch(e.name) and e.is_file()]
        found = [(entry.stat(), entry.path) for entry in mine]
        room = limit_bytes()
        for about, path in sorted(found, key=lambda pair: pair[0].st_mtime_ns, reverse=True):
            room -= about.st_size
            if room < 0:
                Path(path).unlink(missing_ok=True)
