"""Runs of several machines as one: the cells of all, each with what was stored of it.

Nothing is measured. Two runs fit together where a name means the same in both: an image the same
pixels, a curve the same version of its codec, a metric the same definition; and where a cell that
both have, has the same bytes and the same scores in both. What does not fit is refused, with the
first case of each kind. The last bits of a score depend on the processor: scores count as the same
where they differ by less than ``run_changes.tolerance``, and the first run's is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.analysis.run_changes import tolerance, whole_name
from bench.errors import OutputError, UsageError
from bench.measurement import merged_record
from bench.measurement.encoding import Cell
from bench.measurement.ownership import is_own
from bench.measurement.results import Results, load_results, stored_results
from bench.measurement.sqlite import connect_to_read
from bench.measurement.store import DATABASE, TARGET, TARGET_BPP, Store

_ENCODING = (
    "key, pixels, width, height, codec, version, label, setting, bytes, bitstream, encode_s,"
    " decode_s, error"
)
_OF_SEARCH = frozenset({TARGET, TARGET_BPP})
"""Scores that no metric has: what the search for a target found."""

Key = tuple[str, str, str, str]
"""Dataset, image, curve, setting of a cell."""


@dataclass(frozen=True, slots=True)
class Source:
    """One run that takes part.

    Attributes
    ----------
    folder
        Where it lies.
    results
        Its rows and its record.
    own
        Whether this user made it.
    cells
        Key -> cell of its plan.
    encodings
        Key of an encoding -> its row of the table, without the run.
    scores
        (key of an encoding, metric) -> version, value, note: of the metrics of the plan.
    """

    folder: Path
    results: Results
    own: bool
    cells: Mapping[Key, Cell]
    encodings: Mapping[str, tuple[Any, ...]]
    scores: Mapping[tuple[str, str], tuple[str, float | None, str | None]]

    @property
    def name(self) -> str:
        """What messages call it."""
        return str(self.folder)

    def renamed(self, datasets: Mapping[str, str]) -> Source:
        """Return it with other names of its datasets, in cells and record."""
        cells = {
            (datasets.get(key[0], key[0]), *key[1:]): replace(
                cell, dataset=datasets.get(cell.dataset, cell.dataset)
            )
            for key, cell in self.cells.items()
        }
        record = dict(self.results.record)
        about = record.get("datasets") or {}
        record["datasets"] = {datasets.get(name, name): value for name, value in about.items()}
        return replace(self, cells=cells, results=replace(self.results, record=record))


def merge(folders: Sequence[Path], out: Path, *, prefer_first: bool = False) -> Results:
    """Write the results of several folders as one into ``out`` and return them.

    The same merge may be done again, and one that was interrupted; the folders are only read.

    Parameters
    ----------
    folders
        Two or more that ``bench all`` or ``merge`` wrote, with their databases.
    out
        A new folder, or one that a merge wrote.
    prefer_first
        Where cells differ, keep those of the first folder that has them instead of refusing; where
        a codec has another version, its whole curve. The record says what was left out.

    Raises
    ------
    UsageError
        If the folders are fewer than two or not distinct, or do not fit together.
    OutputError
        If one holds no finished run, or ``out`` holds other results or cannot be written.
    """
    _check_folders(folders, out)
    sources = _one_name([_source(folder) for folder in folders])
    _check_meanings(sources)
    kept, left_out = _kept(sources, prefer_first=prefer_first)
    with Store(out) as store:
        check_target(store, "merged")
        images = {(key[0], key[1]) for cells in kept for key in cells}
        record = merged_record.build(
            [(one.folder.resolve().name, one.results) for one in sources],
            Counter(dataset for dataset, _ in images),
            own=all(one.own for one in sources),
            left_out=left_out,
        )
        for one, part in zip(sources, kept, strict=True):
            _copy(one, {cell.key for cell in part.values() if cell.key}, store, record["scores"])
        names = {whole_name(name): name for name in record["datasets"]}
        cells = [replace(c, dataset=names[c.dataset]) for part in kept for c in part.values()]
        store.start_run(record, cells)
        store.fill_scores(
            {name: about["version"] for name, about in record["scores"].items()},
            "not computed in the run that measured it",
        )
        store.finish_run()
        return stored_results(store)


def _check_folders(folders: Sequence[Path], out: Path) -> None:
    """Refuse folders that are too few, named twice, or the target."""
    places = [folder.resolve() for folder in folders]
    if len(places) < 2:
        raise UsageError("a merge needs two folders of results or more", "Name them.")
    twice = next((f for f, count in Counter(places).items() if count > 1), None)
    if twice:
        raise UsageError(f"{twice} is named twice", "Name each folder once.")
    if out.resolve() in places:
        raise UsageError(
            f"--out {out} is one of the folders that are merged, which are only read",
            "Choose a new folder.",
        )


def check_target(store: Store, kind: str) -> None:
    """Refuse a folder that holds results of another kind than ``kind``, a key of the record.

    Raises
    ------
    OutputError
        If that is so.
    """
    with store.snapshot() as db:
        records = [json.loads(text) for (text,) in db.execute("SELECT record FROM runs")]
    if not all(record.get(kind) for record in records):
        raise OutputError(
            f"{store.folder} holds results that were not {kind}", "Choose a new folder for --out."
        )


def _source(folder: Path) -> Source:
    """Return the last finished run of a folder, checked as results of anybody are."""
    results = load_results(folder)
    if results.database is None:
        raise OutputError(
            f"{folder} has no {DATABASE}: rows without their files cannot be merged",
            "Copy the database beside them.",
        )
    try:
        with contextlib.closing(connect_to_read(results.database)) as db:
            return _read(folder, results, db)
    except sqlite3.Error as error:
        raise OutputError(f"cannot read {results.database}: {error}", "Copy it again.") from error


def _read(folder: Path, results: Results, db: sqlite3.Connection) -> Source:
    (run,) = db.execute("SELECT MAX(id) FROM runs WHERE finished IS NOT NULL").fetchone()
    fields = "dataset, image, curve, setting, label, COALESCE(key, ''), COALESCE(error, '')"
    cells = {
        line[:4]: Cell(*line)
        for line in db.execute(f"SELECT {fields} FROM cells WHERE run = ?", (run,))  # noqa: S608
    }
    wanted = {cell.key for cell in cells.values()}
    encodings = {
        line[0]: line
        for line in db.execute(f"SELECT {_ENCODING} FROM encodings")  # noqa: S608 - ours
        if line[0] in wanted
    }
    metrics = {m: about["version"] for m, about in (results.record.get("scores") or {}).items()}
    query = "SELECT key, metric, version, value, note FROM scores"
    scores = {
        (key, metric): (version, value, note)
        for key, metric, version, value, note in db.execute(query)
        if key in wanted and (metrics.get(metric) == version or metric in _OF_SEARCH)
    }
    return Source(folder, results, is_own(results.record), cells, encodings, scores)


def _one_name(sources: Sequence[Source]) -> list[Source]:
    """Return the runs with one name for one dataset: of parts the whole's, of folders the first's.

    A folder of another machine is the same dataset where it holds the very same pictures under the
    same names.
    """
    first: dict[str, str] = {}
    found = []
    for source in sources:
        names = {}
        for name, about in (source.results.record.get("datasets") or {}).items():
            whole = whole_name(name)
            images = about.get("images")
            if whole.startswith("folder:") and isinstance(images, Mapping):
                whole = first.setdefault(json.dumps(images, sort_keys=True), whole)
            names[name] = whole
        found.append(source.renamed(names))
    return found


def _check_meanings(sources: Sequence[Source]) -> None:
    """Refuse runs in which one name means two things: an image, or a metric."""
    pixels: dict[tuple[str, str], tuple[str, str]] = {}
    versions: dict[str, tuple[dict[str, str], str]] = {}
    for one in sources:
        for name, about in (one.results.record.get("scores") or {}).items():
            if about["version"] == merged_record.GIVEN:
                continue
            before, whose = versions.setdefault(name, (about, one.name))
            if before != about:
                raise UsageError(
                    f"{name} was computed by version {before['version']} in {whose} and by "
                    f"{about['version']} in {one.name}",
                    "Score one of them again: `bench all` with its --out.",
                )
        for (dataset, image, _, _), cell in one.cells.items():
            found = one.encodings[cell.key][1] if cell.key in one.encodings else ""
            before_, whose = pixels.setdefault((dataset, image), (found, one.name))
            if found and before_ and before_ != found:
                raise UsageError(
                    f"{image} of {dataset} holds other pixels in {whose} than in {one.name}",
                    "Results of different pictures under one name cannot be merged.",
                )
            if found and not before_:
                pixels[dataset, image] = found, one.name
    _check_duplicates(pixels)


def _check_duplicates(pixels: Mapping[tuple[str, str], tuple[str, str]]) -> None:
    """Refuse a picture that two runs have under two names: it would count twice."""
    names: dict[tuple[str, str], tuple[str, str]] = {}
    for (dataset, image), (found, whose) in pixels.items():
        before, owner = names.setdefault((dataset, found), (image, whose))
        if found and before != image:
            raise UsageError(
                f"{image} of {dataset} in {whose} has the pixels of {before} in {owner}",
                "Measure it under one name: it would count twice.",
            )


def _kept(
    sources: Sequence[Source], *, prefer_first: bool
) -> tuple[list[dict[Key, Cell]], list[str]]:
    """Return the cells that are taken of each run, and sentences on what is not."""
    kept: list[dict[Key, Cell]] = []
    conflicts: list[str] = []
    owners: dict[Key, int] = {}
    versions: dict[tuple[str, str], tuple[frozenset[str], int]] = {}
    for place, one in enumerate(sources):
        other = _other_versions(sources, place, versions)
        conflicts += other.values()
        mine = {}
        for key, cell in one.cells.items():
            if (key[0], key[2]) in other:
                continue
            owner = owners.setdefault(key, place)
            if owner == place:
                mine[key] = cell
            elif why := _difference(sources[owner], one, key):
                conflicts.append(why)
        kept.append(mine)
    if conflicts and not prefer_first:
        more = f" and {len(conflicts) - 1} more conflicts" if len(conflicts) > 1 else ""
        raise UsageError(
            f"the runs do not fit together: {conflicts[0]}{more}",
            "--prefer-first keeps what the first folder has and says what was left out.",
        )
    return kept, conflicts


def _other_versions(
    sources: Sequence[Source],
    place: int,
    known: dict[tuple[str, str], tuple[frozenset[str], int]],
) -> dict[tuple[str, str], str]:
    """Return (dataset, curve) -> what differs, of curves that an earlier run has otherwise."""
    one = sources[place]
    labels: dict[tuple[str, str], set[str]] = {}
    for (dataset, _, curve, _), cell in one.cells.items():
        if cell.key in one.encodings:
            version = one.encodings[cell.key][5]
            labels.setdefault((dataset, curve), set()).add(f"{cell.label} {version}".strip())
    found: dict[tuple[str, str], str] = {}
    for pair, words in labels.items():
        before, owner = known.setdefault(pair, (frozenset(words), place))
        if words != before:
            found[pair] = (
                f"{pair[1]} is {', '.join(sorted(before))} in {sources[owner].name} and "
                f"{', '.join(sorted(words))} in {one.name}"
            )
    return found


def _difference(one: Source, two: Source, key: Key) -> str:
    """Return how a cell differs in two runs; empty where it does not."""
    what = f"{key[2]} {key[3]} on {key[1]} of {key[0]}"
    first, second = one.cells[key], two.cells[key]
    both = [(side.cells[key].error, side.encodings.get(side.cells[key].key)) for side in (one, two)]
    errors = [error or ((row[12] or "") if row else "") for error, row in both]
    if bool(errors[0]) != bool(errors[1]):
        failing = one if errors[0] else two
        return f"{what} failed in {failing.name} alone ({errors[0] or errors[1]})"
    streams = [row[9] if row else None for _, row in both]
    if streams[0] != streams[1]:
        return f"{what} has other bytes in {one.name} than in {two.name}"
    for metric, about in (one.results.record.get("scores") or {}).items():
        scores = [s.scores.get((k.key, metric)) for s, k in ((one, first), (two, second))]
        values = [score[1] for score in scores if score]
        if len(values) == 2 and _apart(values[0], values[1], about["column"]):
            return f"{what} has {metric} {values[0]} in {one.name} and {values[1]} in {two.name}"
    return ""


def _apart(one: float | None, two: float | None, column: str) -> bool:
    if one is None or two is None:
        return one is not two
    return one != two and not abs(one - two) <= tolerance(column)


def _copy(
    source: Source, keys: set[str], store: Store, metrics: Mapping[str, Mapping[str, Any]]
) -> None:
    """Copy encodings, files, scores and ceilings of some cells, each file checked by its hash."""
    encodings = [(*source.encodings[key], 0) for key in sorted(keys & source.encodings.keys())]
    streams = dict.fromkeys(str(row[9]) for row in encodings if row[9])
    pictures = {(row[1], row[6]) for row in encodings}
    scores = [
        (key, metric, metrics.get(metric, {}).get("version", values[0]), *values[1:])
        for (key, metric), values in source.scores.items()
        if key in keys
    ]
    assert source.results.database is not None
    with contextlib.closing(connect_to_read(source.results.database)) as db:
        ceilings = [
            line
            for line in db.execute("SELECT pixels, label, psnr_db FROM ceilings")
            if line[:2] in pictures
        ]
        store.adopt(
            {
                "encodings": encodings,
                "bitstreams": _streams(db, streams, source),
                "scores": scores,
                "ceilings": ceilings,
            }
        )


def _streams(
    db: sqlite3.Connection, wanted: Mapping[str, None], source: Source
) -> Iterator[tuple[str, bytes]]:
    for digest in wanted:
        row = db.execute("SELECT data FROM bitstreams WHERE sha256 = ?", (digest,)).fetchone()
        if row is None or hashlib.sha256(row[0]).hexdigest() != digest:
            raise OutputError(
                f"{source.results.database} lost the file {digest[:12]}", "Copy it again."
            )
        yield digest, row[0]
