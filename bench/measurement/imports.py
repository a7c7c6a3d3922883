"""Results of others as rows of their own: marked as imported, never taken for measured.

The codec of an imported row is called ``imported/NAME``, in every table, plot, page and file.
Originals must be here: names and sizes are checked against them, and where compressed files and
decoded pictures are given, sizes and scores are measured from these. Scores that a file gives are
taken as they are, and the record says so.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from bench import image as images_of
from bench import metrics as metrics_of
from bench.analysis.run_changes import whole_name
from bench.dataset.dataset import Dataset
from bench.dataset.identity import load_item
from bench.dataset.open import FOLDER_PREFIX, open_dataset
from bench.errors import UsageError
from bench.image import Image
from bench.measurement import (
    import_folder,
    import_tables,
    merged_record,
    provenance,
    untrusted,
)
from bench.measurement.encoding import Cell
from bench.measurement.import_checks import PREFIX, Imported, checked
from bench.measurement.merge import check_target
from bench.measurement.merged_record import GIVEN
from bench.measurement.ownership import is_own, seal
from bench.measurement.plan import choose_metrics
from bench.measurement.results import Results, stored_results
from bench.measurement.store import Store
from bench.metrics.columns import column as column_of


def import_results(
    path: Path,
    out: Path,
    *,
    dataset: str = "",
    name: str = "",
    metrics: Sequence[str] = (),
    data_dir: Path | None = None,
    progress: Callable[[str], object] = lambda _: None,
) -> Results:
    """Import results of others into ``out`` and return all that was imported there.

    Importing the same again changes nothing.

    Parameters
    ----------
    path
        A CSV or JSON file, a folder of them, or a folder of compressed files and decoded pictures.
    out
        A new folder, or one of imported results.
    dataset
        Where the files do not say it: name of a dataset, or ``folder:PATH`` of the originals.
    name
        What to call the codec, where the files do not say it or say it otherwise.
    metrics
        Of decoded pictures; all that can be computed here if empty.
    data_dir
        Folder of datasets, searched first.
    progress
        Called with a few words now and then.

    Raises
    ------
    BenchError
        If anything of it cannot be; then nothing was imported.
    """
    if not path.exists():
        raise UsageError(f"there is no file or folder {path}", "Check the path.")
    scored = path.is_dir() and bool(import_folder.pictures(path))
    if scored:
        opened = {dataset: _opened(dataset, data_dir)}
        names = [item.name for item in opened[dataset].items]
        given = import_folder.read(path, names, name or path.resolve().name)
        given = [replace(one, dataset=dataset) for one in given]
        ignored: list[str] = []
    else:
        given, ignored = import_tables.read(_files(path))
        given = [replace(one, dataset=dataset or whole_name(one.dataset)) for one in given]
        opened = {
            word: _opened(word, data_dir, typed=bool(dataset))
            for word in dict.fromkeys(one.dataset for one in given)
        }
    cells = checked(given, opened, name)
    chosen = choose_metrics(metrics)[0] if scored else []
    record = _record(path, cells, chosen, ignored, opened)
    untrusted.check_rows(_frame(cells), path)  # what is stored must be readable
    with Store(out) as store:
        check_target(store, "imported")
        before = _before(store, cells)
        scores = _scores(cells, chosen, store, opened, progress)
        store.adopt(_tables(cells, scores))
        plan = {**before.cells, **{cell.key: _cell(cell) for cell in cells}}
        images = Counter(dataset for dataset, _ in {key[:2] for key in plan})
        records = [*([before.record] if before.record else []), record]
        joined = merged_record.join(records, images, own=before.own)
        shown = {whole_name(word): word for word in joined["datasets"]}
        store.start_run(joined, [replace(c, dataset=shown[c.dataset]) for c in plan.values()])
        versions = {key: about["version"] for key, about in joined["scores"].items()}
        store.fill_scores(versions, "not given")
        store.finish_run()
        return stored_results(store)


def _frame(cells: Sequence[Imported]) -> pd.DataFrame:
    """Return cells as rows, as far as readers of results check them."""
    names = ("dataset", "image", "codec", "setting")
    return pd.DataFrame(
        {
            **dict(zip(names, one.key, strict=True)),
            "label": _label(one.codec),
            "bytes": math.nan if one.given.error else one.size_bytes,
            "bpp": math.nan
            if one.given.error
            else 8 * one.size_bytes / math.prod(one.identity[1:]),
            "error": one.given.error,
            **{c: math.nan if v is None else v for c, v in one.given.scores.items()},
        }
        for one in cells
    )


def _files(path: Path) -> list[Path]:
    """Return the files to read."""
    if path.is_file():
        return [path]
    found = [p for p in sorted(path.rglob("*")) if p.suffix.lower() in {".csv", ".json"}]
    found = [p for p in found if p.is_file() and p.name != "batches.json"]
    if not found:
        raise UsageError(
            f"{path} holds no decoded pictures and no CSV or JSON files", "Check the path."
        )
    return found


def _opened(word: str, data_dir: Path | None, *, typed: bool = True) -> Dataset:
    """Return the dataset of the originals; a folder is opened if the user named it."""
    if word.startswith(FOLDER_PREFIX) and not typed:
        raise UsageError(
            f"the originals are in {word} of whoever made the file",
            "Name your folder of them: --dataset folder:PATH.",
        )
    if not word:
        raise UsageError("it does not say of which dataset it is", "Name it: --dataset kodak.")
    return open_dataset(word, data_dir, download=False)


def _record(
    path: Path,
    cells: Sequence[Imported],
    chosen: Sequence[metrics_of.Metric],
    ignored: Sequence[str],
    opened: Mapping[str, Dataset],
) -> dict[str, Any]:
    """Return the record of an import: what was imported from where, and whose scores it has."""
    date = datetime.now(UTC).date().isoformat()
    rates = any(one.given.bitstream is None and one.given.size_bytes is None for one in cells)
    words = f"from {path.resolve().name} on {date}, " + (
        "sizes and scores measured here from its files" if chosen else "scores as given there"
    )
    words += ", sizes computed from rates" if rates and not chosen else ""
    words += f", without {', '.join(ignored)}" if ignored else ""
    scores: dict[str, Any] = {m.name: {"column": m.column, "version": m.version} for m in chosen}
    for column in dict.fromkeys(c for one in cells for c in one.given.scores):
        scores[column_of(column).metric] = {"column": column, "version": GIVEN}
    datasets = {one.name: _described(one, cells) for one in opened.values()}
    more = {
        "datasets": datasets,
        "curves": sorted({_label(one.codec) for one in cells}),
        "metrics": list(scores),
        "scores": scores,
        "imported": {one.codec: {"words": words, "date": date} for one in cells},
    }
    if chosen:
        return provenance.record(**more)
    return {"date": date, "seal": seal(more), **more}


def _described(dataset: Dataset, cells: Sequence[Imported]) -> dict[str, Any]:
    """Return what the record says of a dataset: of the images that something was imported of."""
    wanted = {one.image for one in cells if one.dataset == dataset.name}
    items = tuple(item for item in dataset.items if item.name in wanted)
    return replace(dataset, items=items).provenance()


def _label(codec: str) -> str:
    return f"imported {codec.removeprefix(PREFIX)}"


def _cell(one: Imported) -> Cell:
    dataset, image, codec, setting = one.key
    return Cell(dataset, image, codec, setting, _label(codec), one.encoding)


@dataclass(frozen=True, slots=True)
class _Before:
    """What a folder of imports holds already; no record: nothing."""

    record: Mapping[str, Any]
    own: bool
    cells: Mapping[tuple[str, str, str, str], Cell]


def _before(store: Store, cells: Sequence[Imported]) -> _Before:
    """Return what was imported before; refuse another content of the same cell."""
    fields = "dataset, image, curve, setting, label, key, COALESCE(error, '')"
    query = f"SELECT {fields} FROM cells WHERE run = ?"  # noqa: S608 - ours
    with store.snapshot() as db:
        (run,) = db.execute("SELECT MAX(id) FROM runs WHERE finished IS NOT NULL").fetchone()
        found = [Cell(*line) for line in db.execute(query, (run,))]
    if run is None:
        return _Before({}, True, {})
    record = dict(stored_results(store).record)
    own = is_own(record)
    about = record.get("datasets") or {}
    record["datasets"] = {whole_name(name): value for name, value in about.items()}
    known = {
        (whole_name(c.dataset), c.image, c.curve, c.setting): replace(
            c, dataset=whole_name(c.dataset)
        )
        for c in found
    }
    for one in cells:
        if one.key in known and known[one.key].key != one.encoding:
            raise UsageError(
                f"{one.codec} {one.key[3]} on {one.image} was imported into {store.folder} with "
                "another size, file or score",
                "Choose another --name, or a new folder for --out.",
            )
    return _Before(record, own, known)


Score = tuple[str, float | None, str | None]
"""Version, value, note."""


def _scores(
    cells: Sequence[Imported],
    chosen: Sequence[metrics_of.Metric],
    store: Store,
    opened: Mapping[str, Dataset],
    progress: Callable[[str], object],
) -> dict[tuple[str, str], Score]:
    """Return (key of an encoding, metric) -> score: given, or computed where it is not stored."""
    found: dict[tuple[str, str], Score] = {}
    for one in cells:
        for column, value in one.given.scores.items():
            note = None if value is not None else "not defined, by the file"
            found[one.encoding, column_of(column).metric] = GIVEN, value, note
    scored = store.scored() if chosen else set()
    by_image: dict[tuple[str, str], list[Imported]] = {}
    for one in cells:
        missing = any((one.encoding, m.name, m.version) not in scored for m in chosen)
        if missing and one.given.decoded is not None:
            by_image.setdefault((one.dataset, one.image), []).append(one)
    datasets = {one.name: one for one in opened.values()}
    for place, ((dataset, image), mine) in enumerate(by_image.items(), 1):
        progress(f"scoring image {place} of {len(by_image)}")
        item = next(item for item in datasets[dataset].items if item.name == image)
        original = load_item(item, mine[0].identity[0])
        pictures = [_decoded(one, original) for one in mine]
        for metric in chosen:
            found |= _scored(metric, original, mine, pictures)
    return found


def _decoded(one: Imported, original: Image) -> Image:
    """Return a decoded picture of the size of its original."""
    assert one.given.decoded is not None
    found = images_of.load(one.given.decoded)
    if found.shape != original.shape:
        sizes = [f"{picture.shape[1]}x{picture.shape[0]}" for picture in (found, original)]
        raise UsageError(
            f"{one.given.decoded} has {sizes[0]} pixels, its original {one.image} {sizes[1]}",
            "Import it with the originals that it was made from.",
        )
    return found


def _scored(
    metric: metrics_of.Metric,
    original: Image,
    cells: Sequence[Imported],
    pictures: Sequence[Image],
) -> dict[tuple[str, str], Score]:
    """Return the scores of one metric for the pictures of one original."""
    try:
        metric.require_defined(original)
        state = metric.prepare(original)
        values: list[tuple[float | None, str | None]] = [
            (float(metric.score(state, picture)), None) for picture in pictures
        ]
    except metrics_of.Undefined as error:
        values = [(None, str(error))] * len(cells)
    return {
        (one.encoding, metric.name): (metric.version, *value)
        for one, value in zip(cells, values, strict=True)
    }


def _tables(
    cells: Sequence[Imported], scores: Mapping[tuple[str, str], Score]
) -> dict[str, Iterable[tuple[Any, ...]]]:
    """Return the rows of the database: each file with the size that it has."""
    encodings, streams = [], {}
    for one in cells:
        digest = None
        if one.given.bitstream is not None:
            data = one.given.bitstream.read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            streams[digest] = data
        failed = bool(one.given.error)
        size = None if failed else one.size_bytes
        about = (*one.identity, one.codec, "imported", _label(one.codec), one.key[3], size, digest)
        encodings.append((one.encoding, *about, None, None, one.given.error or None, 0))
    rows = [(key, metric, *score) for (key, metric), score in scores.items()]
    return {"encodings": encodings, "bitstreams": streams.items(), "scores": rows}
