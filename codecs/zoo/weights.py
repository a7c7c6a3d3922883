"""Weights of CompressAI's zoo: where they lie, whether they are whole, how to fetch them.

They are CompressAI's (BSD-3-Clause-Clear) and never in this package. A file's name ends in the
first 8 hex digits of its own sha256, by which it is verified.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bench.codecs import _compressai
from bench.errors import DatasetError, Unavailable
from bench.files import user_cache

METRICS = ("mse", "ms-ssim")


@dataclass(frozen=True, slots=True)
class Weights:
    """A file of weights on this machine.

    Attributes
    ----------
    path
        Where it lies.
    fingerprint
        First 4 bytes of its sha256, as its name says.
    published
        Whether CompressAI publishes a file of this name.
    """

    path: Path
    fingerprint: bytes
    published: bool


def places() -> list[Path]:
    """Return where weights are looked for: ``$BENCH_WEIGHTS``, our cache, torch hub's cache."""
    named = os.environ.get("BENCH_WEIGHTS")
    # As torch.hub.get_dir, which to call would import torch.
    caches = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    hub = Path(os.environ.get("TORCH_HOME", caches / "torch")).expanduser() / "hub"
    ours = [Path(named).expanduser() / "compressai"] if named else []
    return [*ours, download_dir(), hub / "checkpoints"]


def download_dir() -> Path:
    """Return where ``fetch_weights`` puts what it downloads."""
    return user_cache() / "weights" / "compressai"


def at_hand(stems: Sequence[str]) -> dict[tuple[str, int], Weights]:
    """Return the available files by metric and quality.

    Of two files for the same pair the published one wins, then the one in the earlier place.

    Parameters
    ----------
    stems
        What the names begin with, one for each of ``METRICS``.
    """
    found: dict[tuple[str, int], Weights] = {}
    for place in places():
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            for key, weights in _parse(path, stems):
                if key not in found or (weights.published and not found[key].published):
                    found[key] = weights
    return found


def _parse(path: Path, stems: Sequence[str]) -> Iterator[tuple[tuple[str, int], Weights]]:
    for metric, stem in zip(METRICS, stems, strict=True):
        parts = re.fullmatch(rf"{stem}-(\d)-([0-9a-f]{{8}})\.pth\.tar", path.name)
        if parts:
            fingerprint = bytes.fromhex(parts[2])
            yield (metric, int(parts[1])), Weights(path, fingerprint, path.name in _table())


@cache
def _table() -> str:
    """Return the source text that names every published file; to import it takes torch."""
    module = _compressai.installed().locate_file("compressai/zoo/image.py")
    return Path(str(module)).read_text(encoding="utf-8")


def verify(path: Path, name: str) -> None:
    """Return if the sha256 of ``path`` begins as ``name`` says.

    Raises
    ------
    Unavailable
        If it does not.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()[:8]
    wanted = name.removesuffix(".pth.tar")[-8:]
    if found != wanted:
        raise Unavailable(
            f"{path} is damaged: its sha256 begins with {found}, wanted {wanted}",
            "Delete it and fetch it again.",
        )


def load(arch: str, weights: Weights) -> Any:  # noqa: ANN401 - an untyped torch module
    """Return the network of ``arch`` in evaluation mode, the entropy coder's tables included.

    Raises
    ------
    Unavailable
        If the file is damaged, or no state dictionary of ``arch``.
    """
    import torch

    verify(weights.path, weights.path.name)
    try:
        net = build(arch, torch.load(weights.path, "cpu", weights_only=True))
    except Exception as error:
        raise Unavailable(
            f"{weights.path} is no state dictionary of {arch} ({type(error).__name__}: {error})",
            "Delete it and fetch it again.",
        ) from error
    return net.eval()


def build(arch: str, state: dict[str, Any]) -> Any:  # noqa: ANN401 - an untyped torch module
    """Return the network of ``arch``; tables of the entropy coder that ``state`` has are kept."""
    zoo = _compressai.load("zoo.image")
    net = zoo.model_architectures[arch].from_state_dict(zoo.load_pretrained(state))
    net.update()
    return net


def published(arch: str, metric: str) -> dict[int, str]:
    """Return the addresses of CompressAI's weights by quality; none if it publishes none."""
    table = _compressai.load("zoo.image").model_urls.get(arch, {}).get(metric, {})
    return {int(quality): str(url) for quality, url in table.items()}


def fetch_weights(
    arch: str,
    quality: int,
    metric: str = "mse",
    progress: Callable[[int, int], object] | None = None,
) -> Path:
    """Return the file of published weights, downloaded and verified if it is not available.

    Parameters
    ----------
    arch
        CompressAI's name, such as ``mbt2018-mean``.
    quality
        1 to 8, or 6 for Cheng's models.
    metric
        One of ``METRICS``.
    progress
        Called with bytes done and bytes in all.

    Raises
    ------
    Unavailable
        If there are no such weights, or they cannot be downloaded.
    OutputError
        If the folder cannot be written.
    """
    from bench.dataset.download import download, reach

    urls = published(arch, metric)
    if quality not in urls:
        raise Unavailable(
            f"CompressAI publishes no {arch} of quality {quality} for {metric}",
            f"Its qualities: {', '.join(map(str, urls)) or 'none'}.",
        )
    url = urls[quality]
    name = url.rpartition("/")[2]
    for place in places():
        if (place / name).is_file():
            return place / name
    path = download_dir() / name
    try:
        reach(url)
        download(url, path, lambda file: verify(file, name), progress or (lambda *_: None))
    except DatasetError as error:
        raise Unavailable(
            f"cannot download {name}: {error.what}",
            f"Connect to the network, or put the file into {places()[0]}",
        ) from error
    return path
