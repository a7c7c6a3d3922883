"""What others published: drawn dashed, never taken for measurements.

Curves are those of ``bench.analysis.published_names``; pairs, crops and costs of the paper stand in
``reported.toml``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError, suggest
from bench.figures.spec import check_keys
from bench.output.plot_styles import Style, reported_styles

PATH = Path(__file__).with_name("reported.toml")
_ORIGIN = ("source", "read")
HALVES = ("dedicated", "gained")
"""The two curves of a pair: ``Ballé 2018, gained``."""

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pair:
    """Dedicated networks and one gained network on the same backbone: (N, 2) of bpp and dB."""

    id: str
    name: str
    source: str
    read: str
    dedicated: Points
    gained: Points


@cache
def content() -> Mapping[str, Any]:
    """Return the whole file, checked.

    Raises
    ------
    UsageError
        If an entry lacks a key, or has one that means nothing.
    """
    data = tomllib.loads(PATH.read_text(encoding="utf-8"))
    check_keys(PATH, data, required=("pair", "crop", "cost"))
    needed = {
        "pair": ("id", "name", "dedicated", "gained", *_ORIGIN),
        "crop": ("image", "name", "bpp", "psnr_db", "ms_ssim", *_ORIGIN),
        "cost": ("method", "backbone", "levels", "parameters_percent", "macs_percent", *_ORIGIN),
    }
    for kind, keys in needed.items():
        for entry in data[kind]:
            check_keys(f"{PATH}: {kind}", entry, required=keys)
    return data


def looks(names: Iterable[str] = ()) -> dict[str, Style]:
    """Return name -> style of curves of these names and of the halves of pairs: each its own."""
    pairs = [f"{entry['name']}, {half}" for entry in content()["pair"] for half in HALVES]
    return reported_styles([*names, *pairs])


def pair(name: str) -> Pair:
    """Return a published comparison by its id.

    Raises
    ------
    UsageError
        If there is none.
    """
    entry = _find("pair", name)
    words = {key: str(entry[key]) for key in ("id", "name", *_ORIGIN)}
    dedicated, gained = (_points(entry[key]) for key in ("dedicated", "gained"))
    return Pair(**words, dedicated=dedicated, gained=gained)


def _find(kind: str, name: str) -> Mapping[str, Any]:
    known: dict[str, Mapping[str, Any]] = {str(entry["id"]): entry for entry in content()[kind]}
    if name not in known:
        raise UsageError(f"no reported {kind} {name!r}", suggest(name, sorted(known)))
    return known[name]


def _points(rows: list[list[float]]) -> Points:
    return np.asarray(sorted(rows), dtype=np.float64).reshape(-1, 2)
