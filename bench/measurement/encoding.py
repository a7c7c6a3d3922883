"""What is stored of a cell: one encoding with its scores; and the cells that a plan asks for."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field


def encoding_key(
    pixels: str,
    width: int,
    height: int,
    codec: str,
    version: str,
    setting: str,
    format_version: int,
) -> str:
    """Return the sha256 that identifies one encoding: same key, same bytes."""
    parts = [pixels, width, height, codec, version, setting, format_version]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Encoding:
    """One row of ``encodings``, with its scores: metric name -> (version, value, note).

    ``score_error`` says why a metric could not be computed: no fault of the encoding.

    ``label`` names the colour conversion: ceilings are stored by it. What curves are called stands
    in the cells of a plan.
    """

    key: str
    pixels: str
    width: int
    height: int
    codec: str
    version: str
    label: str
    setting: str
    data: bytes | None = None
    encode_s: float | None = None
    decode_s: float | None = None
    error: str = ""
    scores: dict[str, tuple[str, float | None, str]] = field(default_factory=dict)
    ceiling_db: float | None = None
    score_error: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """One wish of a plan: an image of a dataset on a codec's curve at one setting."""

    dataset: str
    image: str
    curve: str
    setting: str
    label: str
    key: str = ""
    error: str = ""
