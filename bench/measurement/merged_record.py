"""The record of several runs that became one: where each came from, and what they share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from bench.errors import OutputError
from bench.measurement.ownership import seal
from bench.measurement.results import Results
from bench.measurement.store import Store

_WORDS = ("date", "commit", "cpu", "gpu", "system", "executable", "cores", "device", "jobs")
_OF_A_RUN = ("date", "commit", "versions", "cpu", "cores", "gpu", "system", "started", "finished")

_OF_ONE = frozenset(
    {"started", "finished", "cells", "later", "seal", "merged", "left_out", "scheduler", "rungs"}
)
"""What holds for one run and not for several."""

GIVEN = "given"
"""Version of a score that was imported: not computed here, so it fits any version."""

Named = tuple[str, Results]
"""What to call a run, and the run."""


def build(
    sources: Sequence[Named],
    images: Mapping[str, int],
    *,
    own: bool = False,
    left_out: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the record of a merge: ``join``, and in ``merged`` the origin of each run.

    Parameters
    ----------
    sources
        The runs, with one name for one dataset.
    images, own
        As of ``join``.
    left_out
        Sentences on what was left out.
    """
    records = [results.record for _, results in sources]
    measured = {str(c) for _, results in sources for c in results.every_row["codec"].unique()}
    return {
        **join(records, images, own=own, measured=measured),
        "merged": [one for source in sources for one in _origins(*source)],
        "left_out": list(left_out),
    }


def join(
    records: Sequence[Mapping[str, Any]],
    images: Mapping[str, int],
    *,
    own: bool = False,
    measured: Collection[str] = (),
) -> dict[str, Any]:
    """Return one record of several.

    What they have in common stands as in one of them; where they differ, the values of both are
    joined.

    Parameters
    ----------
    records
        With one name for one dataset.
    images
        Dataset -> how many images there are results of.
    own
        Whether this user made every run: only then are the record's folders the reader's own.
    measured
        Codecs that have results.
    """
    shown = {
        _shown(name, about, images.get(name, 0)): about
        for name, about in _datasets(records).items()
    }
    words = {key: _first(records, key) for key in ("codec_words", "metric_words")}
    named: dict[str, Any] = {"datasets": shown, **words}
    return {
        **_others(records),
        **{key: _joined(record.get(key) for record in records) for key in _WORDS},
        "versions": _versions(records),
        "seal": seal(named) if own else "",
        **named,
        "curves": _listed(records, "curves"),
        "families": _families(records),
        "notes": _first(records, "notes"),
        "metrics": list(_first(records, "scores")),
        "scores": scores_of(records),
        "unavailable": _unavailable(records, measured),
        "messages": _listed(records, "messages"),
        "differences": _listed(records, "differences"),
    }


def _others(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what else the records say: tables and lists joined, of anything else the first."""
    found: dict[str, Any] = {}
    for key in dict.fromkeys(key for record in records for key in record):
        values = [record[key] for record in records if record.get(key)]
        if key in _OF_ONE or not values:
            continue
        if all(isinstance(value, Mapping) for value in values):
            found[key] = _first(records, key)
        elif all(isinstance(value, list) for value in values):
            found[key] = _listed(records, key)
        else:
            found[key] = values[0]
    return found


def scores_of(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return metric -> column and version; a version that was computed goes before a given one."""
    found = _first(records, "scores")
    for record in records:
        for name, about in (record.get("scores") or {}).items():
            if found[name]["version"] == GIVEN:
                found[name] = about
    return found


def _origins(name: str, results: Results) -> list[dict[str, Any]]:
    """Return what is kept of a run's origin; of a merge, those of its runs."""
    record = results.record
    if before := record.get("merged"):
        return list(before)
    rows = results.every_row
    parts = {
        "cells": len(rows),
        **{f"{key}s": sorted(map(str, rows[key].unique())) for key in ("codec", "dataset")},
    }
    return [{"name": name} | {key: record[key] for key in _OF_A_RUN if record.get(key)} | parts]


def _joined(values: Iterable[Any]) -> str:
    """Return distinct values in words, ``2026-11-28 and 2026-11-30``."""
    return " and ".join(dict.fromkeys(str(value) for value in values if value))


def _versions(records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    parts = [record.get("versions") or {} for record in records]
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: _joined(part.get(name) for part in parts) for name in names}


def _first(records: Sequence[Mapping[str, Any]], key: str) -> dict[str, Any]:
    """Return the entries of a table of all records; the first that has one counts."""
    found: dict[str, Any] = {}
    for record in records:
        found = {**(record.get(key) or {}), **found}
    return found


def _listed(records: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    found: list[Any] = []
    for record in records:
        found += [value for value in record.get(key) or [] if value not in found]
    return found


def _families(records: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for record in records:
        for name, members in (record.get("families") or {}).items():
            known = found.setdefault(name, [])
            known += [member for member in members if member not in known]
    return found


def _unavailable(
    records: Sequence[Mapping[str, Any]], measured: Collection[str]
) -> list[list[str]]:
    """Return codecs and metrics that no run could measure."""
    scored = set(_first(records, "scores"))
    return [
        [name, reason]
        for name, reason in _listed(records, "unavailable")
        if not {word.strip() for word in name.split(",")} <= {*measured, *scored}
    ]


def _datasets(records: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return each dataset with the images of all runs."""
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        for name, about in (record.get("datasets") or {}).items():
            found[name] = _union(found[name], about) if name in found else dict(about)
    return found


def _union(one: Mapping[str, Any], two: Mapping[str, Any]) -> dict[str, Any]:
    parts = ("images", "sizes", "duplicates")
    if not all(isinstance(about.get("images"), Mapping) for about in (one, two)):
        return dict(one)
    joined = {key: {**(two.get(key) or {}), **(one.get(key) or {})} for key in parts}
    if joined["images"] == one["images"]:
        return dict(one)
    lines = [
        f"{image} {' '.join(map(str, joined['sizes'].get(image, ())))} {digest}\n"
        for image, digest in sorted(joined["images"].items())
    ]
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    note = _joined(about.get("note") for about in (one, two))
    return {**one, **joined, "note": note, "pixels_sha256": digest}


def _shown(name: str, about: Mapping[str, Any], images: int) -> str:
    """Return the name for tables, which says so where images are left out."""
    images += sum(len(names) for names in (about.get("duplicates") or {}).values())
    expected = about.get("expected") or images
    return name if images >= expected else f"{name} ({images} of {expected})"


def refuse_mixed(store: Store) -> None:
    """Refuse to measure into a folder of merged or imported results, which would be lost.

    Raises
    ------
    OutputError
        If ``store`` is of such a folder.
    """
    with store.snapshot() as db:
        records = [json.loads(text) for (text,) in db.execute("SELECT record FROM runs")]
    if any(record.get("merged") or record.get("imported") for record in records):
        raise OutputError(
            f"{store.folder} holds merged or imported results; nothing was measured",
            "Choose another --out, then merge both with `bench merge`.",
        )
