"""Cells that somebody else gives, checked against their originals before anything is stored."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.codec import Setting
from bench.dataset.dataset import Dataset, Pictures
from bench.dataset.identity import file_hash
from bench.errors import UsageError, suggest
from bench.measurement.encoding import encoding_key
from bench.measurement.import_tables import Given
from bench.measurement.plan import Identity

PREFIX = "imported/"
"""Of the codec's name of every imported row."""

_ROUNDING_BPP, _ROUNDING = 5e-4, 5e-3
"""By how much a rate that a file gives may differ from its size: absolute or in proportion."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A cell that was checked against its original."""

    given: Given
    dataset: str
    image: str
    identity: Identity
    codec: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What identifies its cell."""
        return self.dataset, self.image, self.codec, Setting(**self.given.setting).json

    @property
    def encoding(self) -> str:
        """Key of its row in the table of encodings: the same for the same content."""
        given = self.given
        files = [path for path in (given.bitstream, given.decoded) if path is not None]
        content = [self.size_bytes, given.error, dict(given.scores), *map(file_hash, files)]
        text = json.dumps(content, sort_keys=True)
        return encoding_key(*self.identity, self.codec, text, self.key[3], 0)

    @property
    def bpp(self) -> float:
        """Bits of the file a pixel."""
        _, width, height = self.identity
        return 8 * self.size_bytes / (width * height)

    @property
    def size_bytes(self) -> int:
        """Size of the compressed file, from its rate where only that is known."""
        if self.given.bitstream is not None:
            return self.given.bitstream.stat().st_size
        if self.given.size_bytes is not None:
            return self.given.size_bytes
        _, width, height = self.identity
        return max(1, round((self.given.bpp or 0) * width * height / 8))


def checked(given: Sequence[Given], opened: Mapping[str, Dataset], name: str) -> list[Imported]:
    """Return the cells with their originals; refuse what does not fit them, and doubled cells."""
    if not given:
        raise UsageError("there is nothing to import: no row", "Check the file.")
    codecs = {one.codec for one in given}
    if name and len(codecs) > 1:
        raise UsageError(
            f"--name {name}, but there are {len(codecs)} codecs: {', '.join(sorted(codecs))}",
            "Leave --name out.",
        )
    pictures = {word: one.pictures() for word, one in opened.items()}
    found: dict[tuple[str, str, str, str], Imported] = {}
    for one in given:
        word = one.dataset
        known = {item.name: identity for item, identity in pictures[word].kept}
        image = _original(one, [item.name for item in opened[word].items], word)
        if image not in known:
            raise UsageError(
                f"{one.where}: {image} of {word} {_why_not(image, pictures[word])}",
                "Leave it out.",
            )
        cell = Imported(
            one,
            opened[word].name,
            image,
            known[image],
            PREFIX + _safe(name or one.codec, one.where),
        )
        _check_size(cell)
        if cell.key in found:
            raise UsageError(
                f"{one.where} and {found[cell.key].given.where} are the same cell: "
                f"{image} {cell.key[3]}",
                "Name the setting in a column `setting`.",
            )
        found[cell.key] = cell
    return list(found.values())


def _why_not(image: str, pictures: Pictures) -> str:
    """Return why an image of a dataset takes no part."""
    equal = (first for first, others in pictures.duplicates.items() if image in others)
    if first := next(equal, ""):
        return f"has the same pixels as {first}, which count once"
    return f"cannot be read: {pictures.unreadable.get(image, '')}"


def _safe(name: str, where: str) -> str:
    """Return a name without letters that mean something in the name of a codec."""
    found = re.sub(r"[^A-Za-z0-9._+-]+", "_", name).strip("_")[:100]
    if not found:
        raise UsageError(f"{where} does not say which codec it is", "Name it: --name NAME.")
    return found


def _original(one: Given, known: Sequence[str], dataset: str) -> str:
    """Return the image of the dataset that a cell is of: by its name, or by that without suffix."""
    if one.image in known:
        return one.image
    wanted = Path(one.image).stem
    found = [name for name in known if Path(name).stem == wanted]
    if len(found) != 1:
        many = f"{dataset} has several" if found else f"{dataset} has no such image"
        raise UsageError(
            f"{one.where} is of the image {one.image!r}: {many} here",
            suggest(one.image, list(known)[:8]),
        )
    return found[0]


def _check_size(cell: Imported) -> None:
    """Refuse sides, rates and sizes that contradict the original or one another."""
    given, (_, width, height) = cell.given, cell.identity
    if given.sides and given.sides != (width, height):
        raise UsageError(
            f"{given.where}: {cell.image} has {width}x{height} pixels, not "
            f"{given.sides[0]}x{given.sides[1]}",
            "Import it with the originals that it was made from.",
        )
    if given.size_bytes and given.bpp:
        real = 8 * given.size_bytes / (width * height)
        if abs(real - given.bpp) > max(_ROUNDING_BPP, _ROUNDING * real):
            raise UsageError(
                f"{given.where}: {given.size_bytes} bytes of {width}x{height} pixels are "
                f"{real:.4f} bpp, not {given.bpp:g}",
                "A rate counts the whole file; correct one of them.",
            )
