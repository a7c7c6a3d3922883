"""One image of a dataset: which pixels its file holds, whether they are the right ones.

Hashes are computed once per file and remembered in the user cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from bench import image
from bench.dataset.manifest import File
from bench.errors import DatasetError, ImageError, OutputError
from bench.files import user_cache, write_atomically
from bench.image import Image

_LIMIT_BYTES = 64 << 20
"""Of a larger cache file the older half is forgotten; an entry takes about 300 bytes."""

_END_OF_KEY = b'], "sha256"'

_HASH = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Identity:
    """What a file is: the hash of its bytes, the hash of its RGB bytes, its size in pixels."""

    sha256: str
    rgb_sha256: str
    width: int
    height: int

    @property
    def pixels(self) -> tuple[str, int, int]:
        """The hash of the RGB bytes, width and height: what identifies a picture."""
        return self.rgb_sha256, self.width, self.height


Key = tuple[str, int, int, int]


class HashCache:
    """Identities by path, size and times, kept as lines of JSON that are only ever appended.

    A cache that is unreadable, damaged or read-only costs time and nothing else. Several
    processes may append at once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[Key, Identity] = {}
        self._lines: dict[bytes, bytes] = {}  # parsed when they are asked for
        with contextlib.suppress(OSError, OutputError):
            text = path.read_bytes()
            if len(text) > _LIMIT_BYTES:
                text = text[-_LIMIT_BYTES // 2 :].partition(b"\n")[2]
                write_atomically(path, text)
            self._lines = {line.partition(_END_OF_KEY)[0]: line for line in text.split(b"\n")}

    def get(self, key: Key) -> Identity | None:
        """Return what is known of the file as it is now."""
        if key not in self._known:
            text = json.dumps({"key": key, "sha256": ""}).encode()
            entry = _parse(self._lines.get(text.partition(_END_OF_KEY)[0], b""))
            if entry is None or entry[0] != key:
                return None
            self._known[key] = entry[1]
        return self._known[key]

    def put(self, key: Key, identity: Identity) -> None:
        """Remember ``identity``, on disk too where that is possible."""
        self._known[key] = identity
        line = json.dumps({"key": key, **asdict(identity)}) + "\n"
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab", buffering=0) as file:
                # A line cut off by a kill must not swallow this one.
                file.write(b"\n" + line.encode())


def _parse(line: bytes) -> tuple[Key, Identity] | None:
    """Return one line of the cache file, or None where it is damaged."""
    try:
        data = json.loads(line)
        path, size, mtime, ctime = data["key"]
        known = Identity(data["sha256"], data["rgb_sha256"], data["width"], data["height"])
        if not (_HASH.fullmatch(known.sha256) and _HASH.fullmatch(known.rgb_sha256)):
            return None
        if not (isinstance(known.width, int) and isinstance(known.height, int)):
            return None
    except (ValueError, KeyError, TypeError):
        return None
    return (path, size, mtime, ctime), known


@cache
def _cache(path: Path) -> HashCache:
    return HashCache(path)


def identify(path: Path, expected: Identity | None = None, *, remember: bool = True) -> Identity:
    """Return what the file at ``path`` is, from the cache where it has not changed since.

    Parameters
    ----------
    path
        An image file.
    expected
        What it should be: a file with that very hash is not decoded.
    remember
        Whether to use the cache; not for a file under a temporary name.

    Raises
    ------
    ImageError
        If it cannot be read, or is no image that the suite measures.
    """
    try:
        if not remember:
            return _compute(path, expected)
        path = path.resolve()
        key = _key(path)
        hashes = _cache(user_cache() / "hashes.jsonl")
        known = hashes.get(key)
        if known is None:
            known = _compute(path, expected)
            if key == _key(path):  # else it changed under our hands
                hashes.put(key, known)
    except OSError as error:
        raise ImageError(
            f"cannot read {path}: {error.strerror or error}", "Check the path and its permissions."
        ) from error
    return known


def _key(path: Path) -> Key:
    stat = path.stat()
    return str(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _compute(path: Path, expected: Identity | None) -> Identity:
    sha256 = file_hash(path)
    if expected is not None and sha256 == expected.sha256:
        return expected
    pixels = image.load(path)
    height, width = pixels.shape[:2]
    return Identity(sha256, image.pixels_sha256(pixels), width, height)


def match(path: Path, expected: Identity, *, remember: bool = True) -> Identity:
    """Return what the file at ``path`` is, if its bytes or at least its pixels are as expected.

    Raises
    ------
    DatasetError
        If neither is; it says what was wanted and what was found, and leaves the file alone.
    """
    wanted = f"wanted sha256 {expected.sha256}"
    try:
        found = identify(path, expected, remember=remember)
    except ImageError as error:
        told = f"found {file_hash(path)}, which does not decode" if path.is_file() else "found none"
        raise DatasetError(f"{wanted}, {told}") from error
    if found.pixels != expected.pixels and found.sha256 != expected.sha256:
        raise DatasetError(
            f"{wanted} or the {expected.width}x{expected.height} pixels {expected.rgb_sha256}, "
            f"found {found.sha256} and the {found.width}x{found.height} pixels {found.rgb_sha256}"
        )
    return found


def file_hash(path: Path, algorithm: str = "sha256") -> str:
    """Return the hash of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(
            file, lambda: hashlib.new(algorithm, usedforsecurity=False)
        ).hexdigest()


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
    return (verify(item.file, item.path) or identify(item.path)).pixels


def load_item(item: Item, pixels_sha256: str | None = None) -> Image:
    """Return the pixels of an image, uint8 RGB (H, W, 3), checked against what is known of them.

    Parameters
    ----------
    item
        The image.
    pixels_sha256
        Of the RGB bytes that are wanted: those that were planned, or measured. None: what the
        manifest says is enough.

    Raises
    ------
    ImageError
        If it cannot be read.
    DatasetError
        If it is another image than its manifest says, or than is wanted.
    """
    known = expected(item.file)
    try:
        pixels = image.load(item.path)
    except ImageError:
        verify(item.file, item.path)  # says which hash was wanted
        raise
    found = image.pixels_sha256(pixels)
    height, width = pixels.shape[:2]
    if known is not None and (found, width, height) != known.pixels:
        raise DatasetError(
            f"{item.path} is not the image of that name: wanted {known.width}x{known.height} "
            f"pixels of sha256 {known.rgb_sha256}, found {width}x{height} of {found}; "
            "it was left as it is",
            "Move it away, then run again or `bench fetch` the dataset.",
        )
    if pixels_sha256 not in (None, found):
        raise DatasetError(
            f"{item.path} holds another picture now: wanted pixels of sha256 "
            f"{pixels_sha256}, found {width}x{height} of {found}",
            "Put the picture back, or run `bench all` again.",
        )
    return pixels
