"""From a figure set to files: PDF, SVG, PNG, the CSV behind each, LaTeX."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd

from bench.analysis.published_curves import Reference
from bench.errors import BenchError, UsageError, suggest
from bench.figures import registry
from bench.figures.cache import Cache
from bench.figures.latex import Item, document
from bench.figures.results import Context
from bench.figures.spec import Entry, FigureSet, load
from bench.files import make_folder, write_atomically
from bench.measurement.results import DATABASE, ROWS, Results, load_results
from bench.output.csv_files import to_csv
from bench.output.figure import Product, Skipped
from bench.output.sheet import FORMATS, RC, write_figure

CACHE = "figures_cache"
INDEX = "figures.json"
TEX = "figures.tex"


@dataclass(slots=True)
class Built:
    """What ``build`` did.

    Attributes
    ----------
    folder
        Where the files are.
    written
        Every file, the index and ``figures.tex`` included.
    skipped
        (id, reason) of what could not be made here.
    """

    folder: Path
    written: list[Path] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def build(
    word: str,
    results: Path,
    *,
    only: Sequence[str] = (),
    out: Path | None = None,
    data_dir: Path | None = None,
    fresh: bool = False,
    references: Sequence[Reference] = (),
    progress: Callable[[str], object] = lambda _: None,
) -> Built:
    """Make the figures of a set, each as PDF, SVG and PNG with its CSV, tables as LaTeX.

    Parameters
    ----------
    word
        Name of a set, or path of its TOML file.
    results
        Folder that ``bench all`` wrote; measurements of the figures' own are kept in it.
    only
        Ids; all if empty. What is asked for by id and cannot be made is an error.
    out
        Default: ``figures`` in the folder of results.
    data_dir
        Folder of datasets, searched first.
    fresh
        Measure again what the figures measured themselves.
    references
        Published curves to draw beside those of the set.
    progress
        Called with a few words now and then.

    Raises
    ------
    UsageError
        If the set or an id is unknown, an option illegal, or the folder of results missing; and
        for a figure named in ``only`` that cannot be made.
    OutputError
        If a file cannot be written.
    """
    figure_set = load(word)
    registry.check(figure_set)
    chosen = _choose(figure_set, only)
    if not results.is_dir():  # a mistyped path would cost minutes of measuring, and a new folder
        raise UsageError(
            f"there is no folder of results {results}", f"Run `bench all --out {results}` first."
        )
    context = Context(
        figure_set,
        _load(results),
        Cache(results / CACHE, fresh=fresh),
        data_dir,
        progress,
        references,
    )
    built = Built(make_folder(out or results / "figures"))
    records = _stored_records(built.folder, figure_set)
    shown: set[str] = set()
    with mpl.rc_context(RC):
        for entry in chosen:
            progress(entry.id)
            try:
                product = registry.make(context, entry)
            except (Skipped, BenchError) as error:
                if only or not isinstance(error, Skipped):
                    raise
                built.skipped.append((entry.id, str(error)))
                records[entry.id] = _record(entry, skipped=str(error))
                _remove(entry, built.folder)
                continue
            records[entry.id] = _write(entry, product, built)
            shown |= set(product.data.get("series", ()))
    built.skipped += [
        (one.name, f"no figure that was made shows this curve of {one.dataset}")
        for one in references
        if one.name not in shown
    ]
    _write_index(figure_set, [records[e.id] for e in figure_set.entries if e.id in records], built)
    return built


def _load(folder: Path) -> Results:
    """Return the results in a folder; none where it has none: some figures measure themselves."""
    if (folder / DATABASE).is_file() or (folder / ROWS).is_file():
        return load_results(folder)
    return Results(folder, pd.DataFrame(columns=["dataset", "codec"]), pd.DataFrame(), {})


def _choose(figure_set: FigureSet, only: Sequence[str]) -> list[Entry]:
    known = {entry.id: entry for entry in figure_set.entries}
    for word in only:
        if word not in known:
            raise UsageError(
                f"set {figure_set.name} has no figure {word!r}", suggest(word, list(known))
            )
    return [entry for entry in figure_set.entries if not only or entry.id in only]


def _record(entry: Entry, **more: Any) -> Item:  # noqa: ANN401 - fields of Item
    return Item(entry.id, entry.paper, entry.title, more.pop("caption", entry.caption), **more)


def _write(entry: Entry, product: Product, built: Built) -> Item:
    """Write the files of one figure; return its line of the index."""
    title = f"{entry.title} ({entry.paper})" if entry.paper else entry.title
    origin = product.stamp.full()
    paths: list[Path] = []
    if product.figure is not None:
        stem = built.folder / entry.id
        paths += write_figure(product.figure, stem, FORMATS, title=title, origin=origin)
    files: dict[str, bytes] = {}
    files["csv"] = product.stamp.comment().encode() + to_csv(product.data)
    if product.table is not None:
        head = "".join(f"% {line[2:]}\n" for line in product.stamp.comment().splitlines())
        files["tex"] = (head + product.table.latex()).encode()
        files["md"] = f"{product.table.markdown()}\n- {origin}\n".encode()
    for suffix, data in files.items():
        paths.append(built.folder / f"{entry.id}.{suffix}")
        write_atomically(paths[-1], data)
    built.written += paths
    caption = " ".join([entry.caption, *product.notes]).strip()
    names = tuple(path.name for path in paths)
    return _record(entry, caption=caption, files=names, origin=origin)


def _remove(entry: Entry, folder: Path) -> None:
    """Remove an earlier run's files of a figure that can no longer be made: they would be stale."""
    for suffix in (*FORMATS, "csv", "tex", "md"):
        (folder / f"{entry.id}.{suffix}").unlink(missing_ok=True)


def _stored_records(folder: Path, figure_set: FigureSet) -> dict[str, Item]:
    """Return the index lines of an earlier run whose data are still there.

    Pictures may have been left out, as from a repository; the CSV tells that the figure was made.
    """
    try:
        content = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if content["set"] != figure_set.name:
            return {}
        lines = [Item(**{**line, "files": tuple(line["files"])}) for line in content["figures"]]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    data = {r.id: [name for name in r.files if name.endswith(".csv")] for r in lines}
    return {r.id: r for r in lines if all((folder / name).is_file() for name in data[r.id])}


def _write_index(figure_set: FigureSet, records: Sequence[Item], built: Built) -> None:
    content = {
        "set": figure_set.name,
        "title": figure_set.title,
        "source": figure_set.source,
        "figures": [asdict(record) for record in records],
    }
    index, tex = built.folder / INDEX, built.folder / TEX
    write_atomically(index, json.dumps(content, indent=1).encode() + b"\n")
    write_atomically(tex, document(figure_set, records).encode())
    built.written += [index, tex]
