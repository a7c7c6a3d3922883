"""What curves are called: a short name, its format and effort; the versions go to a note.

A label is ``Codec.label``: ``AVIF 4:4:4 8-bit, speed 6 (libavif 1.4.2, aom 3.14.1)``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import pandas as pd

from bench.output.coverage import count_text

_FORMAT = re.compile(r"RGB|\d+-bit|4:\d:\d")
_VERSION = re.compile(r"\s*\(([^()]*)\)\s*$")


def name_of(label: str) -> str:
    """Return what a label calls the codec.

    >>> name_of("JPEG XL 4:4:4 8-bit, effort 7 (libjxl 0.12)")
    'JPEG XL'
    """
    words = _VERSION.sub("", label).split()
    stop = next((i for i, word in enumerate(words) if _FORMAT.fullmatch(word.rstrip(","))), None)
    return " ".join(words[:stop]).rstrip(",")


def version_of(label: str) -> str:
    """Return the version that a label ends with; empty where it has none."""
    found = _VERSION.search(label)
    return found[1] if found else ""


def versions(labels: Iterable[str]) -> list[str]:
    """Return each version once, behind the names of its codecs.

    >>> versions(["AVIF 4:4:4 8-bit, speed 6 (aom 3)", "AVIF 4:4:4 8-bit, speed 4 (aom 3)"])
    ['AVIF: aom 3']
    """
    found: dict[str, dict[str, None]] = {}
    for label in labels:
        if version := version_of(label):
            found.setdefault(version, {})[name_of(label)] = None
    return [f"{', '.join(names)}: {version}" for version, names in found.items()]


def short_labels(labels: Sequence[str]) -> tuple[list[str], str]:
    """Return labels without versions and without the format that all share, and that format.

    That a network sees RGB is understood. Two labels that differ in their versions keep them.

    >>> short_labels(["JPEG 4:2:0 8-bit (turbo 3.2.0)", "AVIF 4:4:4 8-bit, speed 6 (aom 3)"])
    (['JPEG 4:2:0', 'AVIF 4:4:4, speed 6'], '8-bit')
    """
    heads = [_VERSION.sub("", label).partition(", ") for label in labels]
    words = [[word for word in head.split() if word != "RGB"] for head, _, _ in heads]
    common = [
        word
        for word in (words[0] if len(set(labels)) > 1 else ())
        if _FORMAT.fullmatch(word) and all(word in line for line in words)
    ]
    short = [
        " ".join(word for word in line if word not in common) + comma + effort
        for line, (_, comma, effort) in zip(words, heads, strict=True)
    ]
    meant: dict[str, set[str]] = {}
    for text, label in zip(short, labels, strict=True):
        meant.setdefault(text, set()).add(label)
    told = [
        text if len(meant[text]) == 1 else label for text, label in zip(short, labels, strict=True)
    ]
    return told, " ".join(common)


def short_names(rows: pd.DataFrame) -> dict[str, str]:
    """Return codec -> its short label, of rows that have ``codec`` and ``label``."""
    labels = rows.drop_duplicates("codec").set_index("codec")["label"]
    short, _ = short_labels([str(label) for label in labels])
    return dict(zip(map(str, labels.index), short, strict=True))


def lanes_text(processes: int, threads: int) -> str:
    """Return ``1 thread``, ``8 threads`` or ``8 processes``."""
    return f"{processes} processes" if processes > 1 else count_text(threads, "thread")
