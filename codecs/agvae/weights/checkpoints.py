"""Released and trained weights: where they lie, what they are, how they are read.

A set of weights is two files of one stem: ``NAME.safetensors`` (see ``weights/quantised.py``) and
``NAME.json``, its manifest. They are looked for in ``$BENCH_WEIGHTS/agvae``, in the package's
``weights`` folder and in the user's cache, in this order; the first of a name wins.
A branch (see ``weights/difference.py``) also needs the base file that its manifest names by sha256,
and predicted weights (see ``weights/predicted.py``) the file that predicts them.
A third file, ``NAME.tables.npz``, may hold coding tables (see ``bitstream/coding_tables.py``).
Nothing here imports torch until tensors are read, so listing codecs stays quick.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.codecs.agvae.model.config import Config
from bench.errors import DecodeError, Unavailable
from bench.files import user_cache

if TYPE_CHECKING:
    from torch import Tensor


MANIFEST_VERSION = 1
Z_TABLES = "z_frequencies"
"""Name of the integer tables of z among the stored tensors."""
SOURCES = "photographs"
"""Folder beside the manifests of lists of photographs, which several of them share."""


@dataclass(frozen=True, slots=True, eq=False)
class Manifest:
    """What is known of one set of weights.

    Attributes
    ----------
    name
        Stem of both files.
    folder
        Where they lie.
    config
        The network's.
    level
        The one level of a network without gain; None with gain.
    metric
        What it was trained for, ``mse`` or ``ms-ssim``.
    model_id
        8 hexadecimal digits: the hash of the decoder's weights.
    status
        ``released``, or ``development`` for weights that will be replaced.
    sha256
        Of the safetensors file.
    facts
        The whole manifest: training data and licence, steps, storage, reached rates, note.
    whole
        The weights of all levels that these, of one of them, are computed from; None: they are a
        file of their own.
    """

    name: str
    folder: Path
    config: Config
    level: float | None
    metric: str
    model_id: str
    status: str
    sha256: str
    facts: Mapping[str, Any]
    whole: Manifest | None = None

    @property
    def path(self) -> Path:
        """The safetensors file."""
        return self.folder / f"{self.name}.safetensors"

    @property
    def tables_path(self) -> Path:
        """The file of counted coding tables, where there are any."""
        return self.folder / f"{self.name}.tables.npz"

    @property
    def tables(self) -> Mapping[str, Any] | None:
        """Facts of the counted coding tables: sha256 of the numbers, size_bytes, data."""
        found: Mapping[str, Any] | None = self.facts.get("coding_tables")
        return found

    @property
    def file_id(self) -> str:
        """8 hexadecimal digits that stand for weights and coding tables, as files carry them."""
        if self.tables is None:
            return self.model_id
        joined = f"{self.model_id} {self.tables['sha256']}"
        return hashlib.sha256(joined.encode()).hexdigest()[:8]

    @property
    def ids(self) -> tuple[str, str]:
        """What files that these weights decode may carry: format 1 has no coding tables."""
        return self.file_id, self.model_id

    @property
    def base(self) -> Mapping[str, Any] | None:
        """Name, model id and sha256 of the file that a branch is stored as differences from."""
        found: Mapping[str, Any] | None = self.facts.get("base")
        return found

    @property
    def predicted_from(self) -> Mapping[str, Any] | None:
        """Name, model id and sha256 of the file that predicts the integers of this one."""
        found: Mapping[str, Any] | None = self.facts.get("predicted_from")
        return found

    @property
    def stands_alone(self) -> bool:
        """Whether no other file is needed to read this one."""
        return self.base is None and self.predicted_from is None

    @property
    def levels(self) -> tuple[float, ...]:
        """Levels that the network was trained at."""
        if self.level is not None:
            return (self.level,)
        return tuple(float(level) for level in range(self.config.levels))

    @property
    def networks(self) -> Sequence[Manifest]:
        """What codecs run: these weights, or those of each level of a conditional network."""
        return _at_each_level(self) if self.config.conditional else (self,)


@lru_cache(maxsize=16)
def _at_each_level(whole: Manifest) -> tuple[Manifest, ...]:
    config = whole.config.at_one_level
    return tuple(replace(whole, config=config, level=k, whole=whole) for k in whole.levels)


def folders() -> list[Path]:
    """Return the folders where weights may lie, most specific first."""
    own, cache = Path(__file__).parent, user_cache() / "weights" / "agvae"
    named = os.environ.get("BENCH_WEIGHTS")
    return [*([Path(named) / "agvae"] if named else []), own, cache]


def manifests() -> list[Manifest]:
    """Return every available set of weights, those found first in front.

    Raises
    ------
    Unavailable
        If a manifest cannot be read.
    """
    found: dict[str, Manifest] = {}
    for manifest in _everywhere():
        found.setdefault(manifest.name, manifest)
    return list(found.values())


def _everywhere(*more: Path) -> Iterator[Manifest]:
    """Yield every set of weights, also those that another of their name hides."""
    for folder in (*more, *folders()):
        for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
            yield _read(path, path.stat().st_mtime_ns)


def read_manifest(path: Path) -> Manifest:
    """Return the manifest at a path, wherever it lies.

    Raises
    ------
    Unavailable
        If it cannot be read.
    """
    try:
        return _read(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise Unavailable(f"{path}: no such manifest", "Check the path.") from error


@lru_cache(maxsize=256)
def _read(path: Path, _modified_ns: int) -> Manifest:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["manifest_version"] != MANIFEST_VERSION:
            raise Unavailable(
                f"{path}: manifest version {facts['manifest_version']}, wanted {MANIFEST_VERSION}",
                "Export the weights again.",
            )
        return Manifest(
            path.stem,
            path.parent,
            Config.from_dict(facts["config"]),
            facts["level"],
            facts["metric"],
            facts["model_id"],
            facts["status"],
            facts["sha256"],
            facts,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unavailable(
            f"{path}: not a manifest of AG-VAE weights ({error})", "Remove or export it again."
        ) from error


def find(
    variant: str, *, preset: str = "base", metric: str = "mse", branch: bool = False
) -> list[Manifest]:
    """Return the networks of a variant, lowest level first: one with gain, several without.

    Those of a conditional network are of one file.

    Branches are found where ``branch`` is true, and nothing else.

    Raises
    ------
    Unavailable
        If a manifest cannot be read, or another file that those found need is not available.
    """
    matching = [
        manifest
        for manifest in manifests()
        if manifest.config.variant == variant
        and manifest.config.preset == preset
        and manifest.metric == metric
        and (manifest.base is not None) == branch
    ]
    by_level = {manifest.level: manifest for manifest in reversed(matching)}
    gained = [by_level[None]] if None in by_level else []
    dedicated = sorted(level for level in by_level if level is not None)
    files = gained or [by_level[level] for level in dedicated]
    for file in files:
        base_of(file)
        predicting(file)
    return [network for file in files for network in file.networks]


def base_of(manifest: Manifest) -> Manifest | None:
    """Return the base file that a branch needs, wherever it lies; None: it is no branch.

    Raises
    ------
    Unavailable
        If no file of that sha256 is available.
    """
    return None if manifest.base is None else _named(manifest, manifest.base, branch=False)


def predicting(manifest: Manifest) -> Manifest | None:
    """Return the file that predicts the integers of another, wherever it lies; None: it needs none.

    Raises
    ------
    Unavailable
        If no file of that sha256 is available.
    """
    if manifest.predicted_from is None:
        return None
    return _named(manifest, manifest.predicted_from, branch=manifest.base is not None)


def _named(manifest: Manifest, needed: Mapping[str, Any], *, branch: bool) -> Manifest:
    """Return the file that a manifest names by sha256, beside it or wherever weights may lie.

    It must be one that nothing predicts, a branch or not.
    """
    name, wanted = str(needed["name"]), needed["sha256"]
    others = dict[Path, str]()
    for other in _everywhere(manifest.folder):
        fits = other.predicted_from is None and (other.base is not None) == branch
        if other.sha256 == wanted and fits and other.path.is_file():
            return other
        if other.name == name:
            others[other.folder] = f"{other.folder} has one of sha256 {other.sha256[:12]}"
    raise Unavailable(
        f"{manifest.name} is stored as differences from {name} of sha256 {wanted[:12]}, which is "
        f"not available: {'; '.join(others.values()) or 'there is no file of that name'}",
        f"Put that {name}.safetensors and its .json into $BENCH_WEIGHTS/agvae, or train the branch "
        f"again: bench train-all --only '{manifest.name}'.",
    )


def by_model_id(model_id: str) -> Manifest:
    """Return the weights that a file was encoded with.

    Raises
    ------
    DecodeError
        If they are not available.
    """
    known = {one: manifest for manifest in reversed(manifests()) for one in manifest.ids}
    if model_id not in known:
        here = ", ".join(f"{key} ({known[key].name})" for key in sorted(known)) or "none"
        raise DecodeError(
            f"the file needs AG-VAE weights {model_id}, which are not available; found {here}",
            "Put them into $BENCH_WEIGHTS/agvae, or encode the image again.",
        )
    return known[model_id]


def load(manifest: Manifest) -> dict[str, Tensor]:
    """Return every tensor of a set of weights, unpacked, by state-dict name.

    Raises
    ------
    Unavailable
        If the file is missing or is not the one that the manifest describes.
    """
    from bench.codecs.agvae.model.mechanisms import at_one_level

    if manifest.whole is None:
        return _of_file(manifest)
    assert manifest.level is not None
    return at_one_level(_kept(manifest.whole), manifest.whole.config, int(manifest.level))


@lru_cache(maxsize=1)
def _kept(manifest: Manifest) -> dict[str, Tensor]:
    """Return what a file holds; the last one's is kept, since a ladder needs all its levels."""
    return _of_file(manifest)


def _of_file(manifest: Manifest) -> dict[str, Tensor]:
    from bench.codecs.agvae.weights import difference, predicted, quantised

    stored = stored_tensors(manifest)
    base = base_of(manifest)
    if base is None:
        return quantised.unpack(stored)
    _check_inside(manifest, stored[difference.BASE], base)
    whole = stored_tensors(base)
    other = predicting(manifest)
    if other is None:
        return difference.unpack(stored, whole, manifest.config)
    _check_inside(manifest, stored[predicted.PREDICTED_FROM], other)
    moved = difference.differences(stored_tensors(other), whole, other.config)
    return difference.unpack(stored, whole, manifest.config, moved)


def _check_inside(manifest: Manifest, inside: Tensor, named: Manifest) -> None:
    """Check that a file's own bytes name the file that its manifest does.

    Raises
    ------
    Unavailable
        If they name another one.
    """
    found = inside.numpy().tobytes().hex()
    if found != named.sha256:
        raise Unavailable(
            f"{manifest.path} holds differences from a file of sha256 {found[:12]}, its manifest "
            f"names {named.sha256[:12]}",
            "The manifest is damaged or was replaced; install the weights again.",
        )


def stored_tensors(manifest: Manifest) -> dict[str, Tensor]:
    """Return the tensors of a set of weights as its own file holds them.

    Whole weights that another file predicts are put together; branches stay differences.

    Raises
    ------
    Unavailable
        If the file is missing or is not the one that the manifest describes.
    """
    from safetensors.torch import load as load_bytes

    from bench.codecs.agvae.weights import packed, predicted

    stored = load_bytes(packed.read(manifest.path, manifest.sha256))
    other = predicting(manifest)
    if other is None or manifest.base is not None:
        return stored
    _check_inside(manifest, stored[predicted.PREDICTED_FROM], other)
    return predicted.unpack(stored, stored_tensors(other))
