"""No test image among the training photographs: equal pixels, near-duplicates, shared fragments.

Three tests, each against every dataset in ``datasets/``:

1. equal pixels, by sha256, against every hash that a manifest publishes: needs no test image;
2. near-duplicates (rescaled, recompressed, mirrored, turned), by perceptual hash, against
   ``fingerprints.json`` beside this file and the test images available;
3. fragments (a crop of a test image, or the reverse), by matched features, against those available.

The first two cost a second and guard every run; the third is part of ``bench train --check``.
``write_fingerprints(at_hand())`` stores the hashes of all test images on this machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.codecs.agvae.training.photographs import Photo, Photos
from bench.dataset import manifest as manifests
from bench.errors import BenchError, DatasetError
from bench.image import Image, pixels_sha256

FINGERPRINTS = Path(__file__).parent / "fingerprints.json"
NEAR_BITS = 10
"""Perceptual hashes of 63 bits that differ in so few are of one picture; strangers differ in 31."""

_SIDE, _KEPT = 32, 8


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A test image: dataset and name, the sha256 of its pixels, its perceptual hash if known."""

    dataset: str
    image: str
    rgb_sha256: str | None
    bits: int | None = None


@dataclass(frozen=True, slots=True)
class Suspect:
    """A training photograph that shows what a test image shows.

    ``reason`` is ``the same pixels``, ``3 bits apart`` or ``41 matched features``.
    """

    photo: str
    dataset: str
    image: str
    reason: str


@dataclass(slots=True)
class Verdict:
    """What was checked against one dataset, and what was found.

    Attributes
    ----------
    dataset
        Its name.
    images
        How many it has.
    by_pixels, by_hash, by_fragments
        How many of them each test could use.
    nearest
        The nearest pair: bits apart, training photograph, test image.
    suspects
        What was found; usually empty.
    """

    dataset: str
    images: int
    by_pixels: int = 0
    by_hash: int = 0
    by_fragments: int = 0
    nearest: tuple[int, str, str] | None = None
    suspects: list[Suspect] = field(default_factory=list)


def perceptual_hash(image: Image) -> int:
    """Return 63 bits: the signs of the lowest cosine coefficients of the gray picture.

    Unlike with a median as the threshold, the hash of a mirrored or turned picture follows from
    the hash itself: see ``orientations``.
    """
    from PIL import Image as PILImage

    gray = PILImage.fromarray(image).convert("L").resize((_SIDE, _SIDE), PILImage.Resampling.BOX)
    basis = _cosines()
    low = basis @ np.asarray(gray, np.float64) @ basis.T
    return _to_int(low > 0)


@cache
def _cosines() -> NDArray[np.float64]:
    """Return the first rows of the DCT-II, (8, 32)."""
    position = (np.arange(_SIDE) + 0.5) * np.pi / _SIDE
    return np.cos(np.arange(_KEPT)[:, None] * position)


def _to_int(signs: NDArray[np.bool_]) -> int:
    """Return the signs (8, 8), without that of the mean, as one number."""
    return int.from_bytes(np.packbits(signs.reshape(-1)).tobytes(), "big") & (2**63 - 1)


def orientations(bits: int) -> list[int]:
    """Return the hashes of a picture in all eight orientations, the first as it is."""
    signs = np.unpackbits(np.frombuffer(bits.to_bytes(8, "big"), np.uint8)).reshape(_KEPT, _KEPT)
    odd = np.arange(_KEPT) % 2
    found = []
    for turned in (signs, signs.T):
        for flip_rows in (0, 1):
            for flip_columns in (0, 1):
                flipped = turned ^ (flip_rows * odd[:, None]) ^ (flip_columns * odd)
                found.append(_to_int(flipped.astype(bool)))
    return found


def known() -> list[Fingerprint]:
    """Return every test image that something is known of: manifests and ``fingerprints.json``."""
    stored: dict[str, dict[str, str]] = {}
    if FINGERPRINTS.is_file():
        stored = json.loads(FINGERPRINTS.read_text(encoding="utf-8"))
    found = []
    for name in manifests.names():
        files = {file.stem: file.rgb_sha256 for file in manifests.read(name).files}
        bits = stored.get(name, {})
        for image in dict.fromkeys([*files, *bits]):
            hashed = int(bits[image], 16) if image in bits else None
            found.append(Fingerprint(name, image, files.get(image), hashed))
    return found


def at_hand(data_dir: Path | None = None) -> list[tuple[str, str, Image]]:
    """Return (dataset, image, pixels) of every test image on this machine; none on a bare one."""
    try:
        from bench.dataset import open as datasets

        found = [
            (name, item.name, datasets.load_item(item))
            for name in manifests.names()
            for item in datasets.at_hand(name, data_dir).items
        ]
    except ImportError:  # a GPU machine may lack the libraries that datasets need
        return []
    return found


def fingerprints_of(images: Iterable[tuple[str, str, Image]]) -> list[Fingerprint]:
    """Return the fingerprints of test images."""
    return [
        Fingerprint(dataset, name, pixels_sha256(pixels), perceptual_hash(pixels))
        for dataset, name, pixels in images
    ]


def write_fingerprints(images: Iterable[tuple[str, str, Image]], path: Path = FINGERPRINTS) -> int:
    """Store the perceptual hashes of test images, others kept; return how many there are."""
    from bench.files import write_atomically

    stored: dict[str, dict[str, str]] = {}
    if path.is_file():
        stored = json.loads(path.read_text(encoding="utf-8"))
    for print_ in fingerprints_of(images):
        assert print_.bits is not None
        stored.setdefault(print_.dataset, {})[print_.image] = f"{print_.bits:016x}"
    ordered = {name: dict(sorted(stored[name].items())) for name in sorted(stored)}
    write_atomically(path, (json.dumps(ordered, indent=1) + "\n").encode())
    return sum(map(len, ordered.values()))


def check(photos: Photos, prints: Sequence[Fingerprint]) -> dict[str, Verdict]:
    """Return a verdict per dataset, by equal pixels and by near-duplicate hash.

    ``prints`` are of test images, from ``known`` and ``fingerprints_of``.
    """
    verdicts = {name: Verdict(name, manifests.read(name).images) for name in manifests.names()}
    hashes = np.array(
        [orientations(perceptual_hash(photo.pixels)) for photo in photos.members], np.uint64
    )
    by_pixels = {photo.rgb_sha256: photo for photo in photos.members}
    for print_ in _merged(prints):
        verdict = verdicts.setdefault(print_.dataset, Verdict(print_.dataset, 0))
        if print_.rgb_sha256 is not None:
            verdict.by_pixels += 1
            if print_.rgb_sha256 in by_pixels:
                same = by_pixels[print_.rgb_sha256].name
                verdict.suspects.append(
                    Suspect(same, print_.dataset, print_.image, "the same pixels")
                )
        if print_.bits is not None and len(hashes):
            verdict.by_hash += 1
            _compare(verdict, print_, hashes, photos.members)
    return verdicts


def _merged(prints: Iterable[Fingerprint]) -> list[Fingerprint]:
    """Return one fingerprint per test image, of all that is known of it."""
    merged: dict[tuple[str, str], Fingerprint] = {}
    for print_ in prints:
        key = (print_.dataset, print_.image)
        old = merged.get(key, print_)
        pixels = old.rgb_sha256 or print_.rgb_sha256
        bits = print_.bits if old.bits is None else old.bits
        merged[key] = Fingerprint(*key, pixels, bits)
    return list(merged.values())


def _compare(
    verdict: Verdict,
    print_: Fingerprint,
    hashes: NDArray[np.uint64],
    members: Sequence[Photo],
) -> None:
    """Add the nearest training photograph of a test image to a verdict."""
    assert print_.bits is not None
    apart = np.unpackbits((hashes ^ np.uint64(print_.bits)).view(np.uint8), axis=1)
    distances = apart.reshape(*hashes.shape, 64).sum(2).min(1)
    for i in np.flatnonzero(distances <= NEAR_BITS):
        reason = f"{distances[i]} bits apart"
        verdict.suspects.append(Suspect(members[i].name, print_.dataset, print_.image, reason))
    nearest = int(distances.argmin())
    pair = (int(distances[nearest]), members[nearest].name, print_.image)
    verdict.nearest = min(verdict.nearest or pair, pair)


def refuse(verdicts: Iterable[Verdict]) -> None:
    """Raise unless every verdict is clean.

    Raises
    ------
    DatasetError
        With the first training photograph that shows a test image.
    """
    suspects = [suspect for verdict in verdicts for suspect in verdict.suspects]
    if suspects:
        first = suspects[0]
        more = f" (and {len(suspects) - 1} more)" if len(suspects) > 1 else ""
        raise DatasetError(
            f"training photo {first.photo} shows the test image {first.image} of {first.dataset}: "
            f"{first.reason}{more}",
            "Take it out of --data: `bench train --check` lists all.",
        )


def guard(photos: Photos) -> None:
    """Refuse photographs among which a known test image is; what every run does first.

    Raises
    ------
    DatasetError
        If there is one.
    """
    try:
        prints = known()
    except BenchError as error:  # no manifests: then there is nothing to compare with
        raise DatasetError(
            f"cannot check the training photographs against the test images: {error.what}",
            error.next_step,
        ) from error
    refuse(check(photos, prints).values())
