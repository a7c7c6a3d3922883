"""A folder of compressed files with decoded pictures, as JPEG AI collects them.

``CODEC/bit/CODEC_00016_TE_1744x2000_8bit_sRGB_200.bits`` has its picture in
``CODEC/rec/CODEC_00016_TE_1744x2000_8bit_sRGB_200.png``, and is of ``00016_TE_1744x2000.png``. More
generally, a picture belongs to the file of the same name that is no picture, in the same folder or
in another one, and to the original whose name it holds as whole words. What else the name holds,
and the folders between, tell the settings apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.codec import Scalar
from bench.dataset.manifest import list_images
from bench.errors import UsageError
from bench.measurement.import_tables import Given, scalar

_PICTURES = frozenset({".png", ".ppm", ".pnm", ".bmp", ".tif", ".tiff"})
_PLACES = frozenset(
    {"bit", "bits", "bin", "bitstream", "bitstreams", "compressed", "encoded"}
    | {"rec", "recs", "recon", "reconstructed", "dec", "decoded", "png", "pictures"}
)
"""Folders that tell compressed from decoded, and say nothing of the setting."""


def pictures(folder: Path) -> list[Path]:
    """Return the decoded pictures of a folder."""
    return [path for path in list_images(folder) if path.suffix.lower() in _PICTURES]


def read(folder: Path, originals: Sequence[str], codec: str) -> list[Given]:
    """Return a cell for each decoded picture.

    Parameters
    ----------
    folder
        Of one codec.
    originals
        Names of the images of the dataset.
    codec
        What to call it.

    Raises
    ------
    UsageError
        If a picture has no compressed file or several, a compressed file no picture, or a picture
        no original or several.
    """
    decoded = {_key(path, folder): path for path in pictures(folder)}
    streams = _streams(folder, decoded)
    places = {key: _place(key, originals, folder) for key in decoded}
    words = {key: _words(rest) for key, (_, rest) in places.items()}
    shared = set.intersection(*map(set, words.values())) if words else set()
    shared |= {word for found in words.values() for word in found if re.fullmatch(r"\d+x\d+", word)}
    return [
        Given(
            str(path),
            places[key][0],
            codec,
            "",
            _setting([word for word in words[key] if word not in shared]),
            bitstream=streams[key],
            decoded=path,
        )
        for key, path in decoded.items()
    ]


def _key(path: Path, folder: Path) -> str:
    """Return what a compressed file and its picture have in common: folders and stem."""
    parts = path.relative_to(folder).parts[:-1]
    return "/".join([*(part for part in parts if part.casefold() not in _PLACES), path.stem])


def _streams(folder: Path, decoded: Mapping[str, Path]) -> dict[str, Path]:
    """Return the compressed file of each picture."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden or not path.is_file() or path.suffix.lower() in {*_PICTURES, ".txt", ".md"}:
            continue
        key = _key(path, folder)
        if key in found:
            raise UsageError(
                f"{path} and {found[key]} both belong to one picture", "Keep one of them."
            )
        if key not in decoded:
            raise UsageError(
                f"{path} has no decoded picture of its name", "Add it, or remove the file."
            )
        found[key] = path
    lonely = next((decoded[key] for key in decoded if key not in found), None)
    if lonely:
        raise UsageError(f"{lonely} has no compressed file of its name", "Add it: its size counts.")
    return found


def _place(key: str, originals: Sequence[str], folder: Path) -> tuple[str, str]:
    """Return the original that a name holds, and the rest of the name with its folders."""
    parents, _, stem = key.rpartition("/")
    held = {}
    for name in originals:
        known = re.escape(name.rpartition(".")[0] if "." in name else name)
        if match := re.search(rf"(?:^|(?<=[^A-Za-z0-9])){known}(?![A-Za-z0-9])", stem):
            held[name] = match
    longest = max((len(match[0]) for match in held.values()), default=0)
    best = [name for name, match in held.items() if len(match[0]) == longest]
    if len(best) != 1:
        found = f"is of several originals: {', '.join(best[:3])}" if best else "is of no original"
        raise UsageError(
            f"{folder / key} {found}",
            f"A name holds that of its original; the dataset has {', '.join(originals[:3])}, ...",
        )
    match = held[best[0]]
    return best[0], f"{parents}/{stem[: match.start()]}_{stem[match.end() :]}"


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[_/\- ]+", text) if word]


def _setting(words: Sequence[str]) -> dict[str, Scalar]:
    """Return the words that tell a curve's points apart: ``{"point": 200}``."""
    return {"point": scalar("_".join(words))} if words else {}
