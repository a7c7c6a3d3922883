"""What is fuzzed: ``image.load`` over its formats, and every codec that can run here."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from formats import FORMATS, PLAIN, Format
from PIL import Image as PILImage

from bench import image, registry
from bench.errors import BenchError, Unavailable

SETTINGS = {
    "bpg": ({}, {"md5": True}, {"subsampling": "4:2:0", "depth": 10, "md5": True}),
    "jpeg": ({}, {"progressive": True}, {"subsampling": "4:4:4", "optimize": True}),
    "heic": ({"preset": "ultrafast"}, {"preset": "ultrafast", "subsampling": "4:2:0"}),
    "avif": ({"speed": 10}, {"speed": 10, "subsampling": "4:2:0"}),
}
SLOW = ("agvae", "compressai")
LOADED = {
    "png": ("PNG", {}),
    "jpeg": ("JPEG", {}),
    "webp": ("WEBP", {"lossless": True}),
    "gif": ("GIF", {}),
    "bmp": ("BMP", {}),
    "ppm": ("PPM", {}),
    "tiff": ("TIFF", {"compression": "tiff_lzw"}),
    "tiff-deflate": ("TIFF", {"compression": "tiff_deflate"}),
    "tiff-raw": ("TIFF", {}),
}


@dataclass(frozen=True, slots=True)
class Target:
    """One decoder under test.

    Attributes
    ----------
    decode
        Bytes to pixels; raises nothing but BenchError.
    corpus
        Good files.
    form
        How they are taken apart.
    checked
        Whether a damaged file whose checksum was not repaired must not give other pixels.
    """

    decode: Callable[[bytes], image.Image]
    corpus: list[bytes]
    form: Format
    checked: bool = False


def _pictures() -> list[image.Image]:
    rng = np.random.default_rng(11)
    smooth = np.add.outer(np.arange(29), np.arange(37))[..., None] * np.array([2, 3, 1])
    return [
        (smooth % 256).astype(np.uint8),
        rng.integers(0, 256, (16, 16, 3), dtype=np.uint8),
        np.full((9, 65, 3), 77, np.uint8),
    ]


def names() -> list[str]:
    """Return every target's name, ``load-png`` or ``codec-bpg``, quick ones and slow ones alike."""
    found = [f"load-{name}" for name in LOADED]
    for name in sorted(registry.discover(), key=lambda name: name.startswith(SLOW)):
        if name.startswith("agvae") and name not in ("agvae", "agvae-small"):
            continue  # the same decoder with other weights
        try:
            registry.create(name)
        except Unavailable:
            continue
        found.append(f"codec-{name}")
    return found


def make(name: str) -> Target:
    """Return a target by its name."""
    kind, _, word = name.partition("-")
    return _loading(word) if kind == "load" else _codec(word)


def _loading(word: str) -> Target:
    format_name, options = LOADED[word]
    path = Path(tempfile.mkdtemp(prefix="fuzz-")) / "x"

    def load(data: bytes) -> image.Image:
        path.write_bytes(data)
        return image.load(path)

    corpus = []
    for pixels in _pictures():
        kinds = [PILImage.fromarray(pixels)]
        if format_name in ("PNG", "GIF", "TIFF", "BMP") and "deflate" not in word:
            kinds += [kinds[0].convert("L"), kinds[0].quantize(16), kinds[0].convert("1")]
        for picture in kinds:
            buffer = BytesIO()
            picture.save(buffer, format_name, **options)
            corpus.append(buffer.getvalue())
    return Target(load, corpus, FORMATS.get(word, PLAIN), word == "png")


def _codec(name: str) -> Target:
    codec = registry.create(name)
    ladder = registry.settings(codec, registry.Spec.parse(name))
    rungs = [ladder[0], ladder[-1]] if not name.startswith("agvae") else [ladder[0]]
    quick = {"refine": 1} if "refine" in registry.parameters(codec) else {}
    corpus = [
        codec.encode(pixels, rung.replace(**(options | quick)))
        for pixels in _pictures()
        for rung in rungs
        for options in SETTINGS.get(name, ({},))
    ]
    family = "agvae" if name.startswith("agvae") else name
    family = "zoo" if name.startswith("compressai") else family

    def decode(data: bytes) -> image.Image:
        try:
            sizes = codec.ledger(data)
            assert sum(sizes.values()) == len(data), "the parts of a ledger sum to the file"
            assert min(sizes.values()) >= 0, "no part of a ledger has less than no bytes"
            codec.facts(data)
        except BenchError:
            pass
        return codec.decode(data)

    return Target(decode, corpus, FORMATS.get(family, PLAIN), family in ("agvae", "zoo"))
