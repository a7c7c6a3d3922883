"""The page itself: sections, scripts, styles, numbers and pictures in one HTML file."""

from __future__ import annotations

import base64
import functools
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from bench import metrics as metrics_of
from bench.analysis import summary
from bench.analysis.published_curves import Reference
from bench.analysis.published_names import references as references_of
from bench.errors import UsageError, suggest
from bench.files import check_writable, write_atomically
from bench.image import Image
from bench.measurement import complexity
from bench.measurement.heap import keep_freed_memory
from bench.measurement.provenance import bench_version, git_commit
from bench.measurement.results import Results, load_results
from bench.metrics.columns import column
from bench.output import speed
from bench.output.reported_rates import undrawn
from bench.report import (
    bit_allocation,
    dataset_view,
    equal_section,
    family_section,
    page_data,
    reproduce,
    summary_section,
    tables,
)
from bench.report import results as data
from bench.report.choice import choose_images
from bench.report.gallery import Gallery
from bench.report.html import render, script_json
from bench.report.image_viewer import Builder
from bench.report.rate_matching import Exact

BUDGET_MB = 24.0
"""Size of the page, in 10^6 bytes, that pictures fill up to."""

_LEDGER_BYTES = 1_000  # of the page, for a point of the rate ledger

_ASSETS = files("bench.report") / "assets"
_STYLES = ("vendor/uPlot.min.css", "base.css", "tables.css", "curves.css", "viewer.css")
_SCRIPTS = (
    *("vendor/uPlot.iife.min.js", "core.js", "theme.js", "help.js", "tables.js"),
    *("chart.js", "chart_input.js", "curves.js", "drill.js", "family.js"),
    *("pictures.js", "heat.js", "stage.js", "viewer.js", "viewer_input.js"),
    *("address.js", "main.js"),
)
_MARKERS = {
    "o": "circle(46%)",
    "s": "inset(8%)",
    "^": "polygon(50% 4%,98% 92%,2% 92%)",
    "v": "polygon(2% 8%,98% 8%,50% 96%)",
    "<": "polygon(4% 50%,92% 2%,92% 98%)",
    ">": "polygon(96% 50%,8% 2%,8% 98%)",
    "D": "polygon(50% 0,100% 50%,50% 100%,0 50%)",
    "P": "polygon(33% 0,67% 0,67% 33%,100% 33%,100% 67%,67% 67%,67% 100%,33% 100%,33% 67%,0 67%,"
    "0 33%,33% 33%)",
    "X": "polygon(20% 0,50% 30%,80% 0,100% 20%,70% 50%,100% 80%,80% 100%,50% 70%,20% 100%,0 80%,"
    "30% 50%,0 20%)",
    "h": "polygon(50% 0,95% 25%,95% 75%,50% 100%,5% 75%,5% 25%)",
}


@dataclass(frozen=True, slots=True)
class Options:
    """What may be chosen about a page.

    Attributes
    ----------
    images
        Images of the viewer; empty: a telling few.
    rates
        Target rates of the viewer in bpp, the most important first; empty: ``RATES``, or of a
        run that searched, the files at each of its targets.
    exact_rates
        Encode for the viewer at just these rates, instead of showing stored rungs near them.
    budget_mb
        Size of the page in 10^6 bytes that pictures fill up to.
    anchor
        Codec that BD-rates are against; see ``summary.bd_table``.
    title
        Of the page; default: codecs and datasets.
    data_dir
        Searched first for the original images.
    pictures
        Folders that original images may be taken from, ``folder:PATH``, beside those of runs that
        this user made.
    references
        Published curves, drawn dashed: ids or files; see ``published_names.references``.
    encode_again
        Encode files that are not stored again, however long it takes; else only quick codecs.
    """

    images: Sequence[str] = ()
    rates: Sequence[float] = ()
    exact_rates: bool = False
    budget_mb: float = BUDGET_MB
    anchor: str | None = None
    title: str = ""
    data_dir: Path | None = None
    pictures: Sequence[str] = ()
    references: Sequence[str | Path] = ()
    encode_again: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was written.

    Attributes
    ----------
    path, size_bytes, time_s
        The page, its size, how long it took.
    pictures
        How many it holds.
    left_out
        What it does not hold, and why.
    encoded
        How many files had to be encoded again, because no bitstreams were stored.
    """

    path: Path
    size_bytes: int
    time_s: float
    pictures: int
    left_out: Sequence[str] = field(default=())
    encoded: int = 0


def write(
    folder: Path,
    path: Path,
    options: Options | None = None,
    progress: Callable[[str], object] = lambda _: None,
) -> Outcome:
    """Write the page of the results in ``folder`` to ``path``.

    Raises
    ------
    OutputError
        If there are no results, or the page cannot be written.
    UsageError
        If the anchor is not among the codecs, or a reference cannot be read.
    """
    options, started = options or Options(), time.perf_counter()
    keep_freed_memory()
    progress("reading rows")
    results = load_results(folder, unfinished=True)

    @functools.cache
    def original(dataset: str, image: str) -> Image:
        return results.original(dataset, image, options.data_dir, options.pictures)

    references = references_of(options.references)
    _check(results, path, options)
    chosen = {
        name: choose_images(results.rows[results.rows["dataset"] == name], options.images)
        for name in results.datasets
    }
    slow = {} if options.encode_again else data.slow_codecs(results.rows, chosen)
    streams = data.Bitstreams(results, original, slow)
    if results.ceilings.empty:
        progress("no-codec ceilings")
        ceilings = data.measured_ceilings(results, chosen, original)
        results = replace(results, ceilings=ceilings)
    every = results.every_row
    about = data.about_codecs(sorted(every["codec"].unique()), results.record)
    looks = dataset_view.looks(every, about)
    contexts = _contexts(results, options, looks, progress)
    parts = _parts(results, contexts, looks, references, options)
    spare = int(1e6 * options.budget_mb) - len(_assemble(parts, results, contexts, Gallery()))
    points = len(every.drop_duplicates(["dataset", "codec", "setting"]))
    builder = Builder(
        results.rows,
        streams,
        spare - 20_000 - _LEDGER_BYTES * points,
        Exact(streams, list(results.record.get("metrics") or metrics_of.default_names())),
        every_exact=options.exact_rates,
        pairs={context.name: context.pair for context in contexts if context.pair},
        progress=progress,
    )
    gallery = builder.fill(chosen, options.rates)
    contexts = [  # now, since a codec may know what the bytes of a file that it decoded are for
        replace(c, ledger=bit_allocation.build(c.rows, chosen[c.name], streams, progress))
        for c in contexts
    ]
    parts = _parts(results, contexts, looks, references, options)
    page = _assemble(parts, results, contexts, gallery)
    write_atomically(path, page)
    return Outcome(
        path,
        len(page),
        time.perf_counter() - started,
        len(gallery.shots),
        [*gallery.left_out, *undrawn(results.rows, references)],
        streams.encoded,
    )


def _check(results: Results, path: Path, options: Options) -> None:
    """Refuse what cannot be done, before a file is decoded."""
    check_writable(path)
    summary.check_anchor(results.rows, options.anchor)
    known = sorted({str(image) for image in results.rows["image"]})
    for image in options.images:
        if image not in known:
            raise UsageError(f"no result of the image {image!r}", suggest(image, known))


def _contexts(
    results: Results,
    options: Options,
    looks: Mapping[str, dataset_view.Look],
    progress: Callable[[str], object],
) -> list[dataset_view.Context]:
    """Return what the sections need, dataset by dataset, but for the rate ledger."""
    progress("Bjontegaard deltas")
    bd = summary.bd_table(results.rows, options.anchor, quality=True)
    speeds = speed.of_run(results)
    counted = complexity.load(results.folder)
    found = []
    for index, name in enumerate(results.datasets):
        rows = results.rows[results.rows["dataset"] == name]
        context = dataset_view.make(
            index,
            rows,
            every_bd=bd,
            every_ceiling=results.ceilings,
            ledger=bit_allocation.Ledger(),
            looks=looks,
            speeds=speeds[name],
        )
        costs = complexity.of_rows(counted[0], rows, counted[1])
        equal = equal_section.of_rows(rows, options.anchor, results.folder)
        words = reproduce.words(results, "codec_words")
        found.append(replace(context, costs=costs, equal=equal, words=words))
    return found


def _parts(
    results: Results,
    contexts: Sequence[dataset_view.Context],
    looks: Mapping[str, dataset_view.Look],
    references: Sequence[Reference],
    options: Options,
) -> dict[str, Any]:
    """Return all of the page that does not depend on its pictures."""
    glossary = _glossary(contexts)
    families = [
        list(family_section.of_dataset(context, results.families, looks)) for context in contexts
    ]
    equal = [equal_section.section(context) for context in contexts]
    found = [[family.context for family in mine] for mine in families]
    return {
        "exact": options.exact_rates,
        "looks": looks,
        "numbers": page_data.build(contexts, looks, references, found) | {"glossary": glossary},
        "title": options.title or summary_section.page_title(contexts),
        "style": Markup("".join(_read(name) for name in _STYLES) + _colours(looks)),  # noqa: S704
        "masthead": summary_section.masthead(contexts, results, options.title),
        "views": [
            {
                "index": context.index,
                "summary": summary_section.summary(context),
                "rates": summary_section.rates(context, references),
                "bytes": tables.ledger(context),
                "codecs": tables.codecs(context),
                "families": Markup("").join(map(family_section.section, mine, range(len(mine)))),
                "equal": hit,
            }
            for context, mine, hit in zip(contexts, families, equal, strict=True)
        ],
        "families": any(families),
        "equal": any(equal),
        "provenance": summary_section.provenance(results, contexts, glossary),
        "footer": f"bench {bench_version()} {git_commit()}".strip(),
        "script": Markup("".join(f"{_read(name)}\n" for name in _SCRIPTS)),  # noqa: S704
    }


def _assemble(
    parts: Mapping[str, Any],
    results: Results,
    contexts: Sequence[dataset_view.Context],
    gallery: Gallery,
) -> bytes:
    """Return the whole page: ``_parts`` and the pictures."""
    searched = any(scene.targets for scene in gallery.scenes)
    shown = page_data.pictures(contexts, gallery, parts["looks"])
    page = render(
        "page.html",
        **parts,
        targets=searched,
        pictures_lead=summary_section.pictures_lead(exact=parts["exact"], targets=searched),
        failures=summary_section.failures(contexts, results.unavailable, gallery.left_out),
        data=script_json(parts["numbers"] | shown),
        pictures=[base64.b64encode(shot.data).decode() for shot in gallery.shots],
    )
    # half a surrogate pair, which a file's name may hold, is no UTF-8
    return page.encode("utf-8", "backslashreplace")


def _glossary(contexts: Sequence[dataset_view.Context]) -> dict[str, dict[str, str]]:
    """Return the words that explain themselves, those of metrics of other packages too."""
    found: dict[str, dict[str, str]] = tomllib.loads(_read("glossary.toml"))
    for metric in {metric for context in contexts for metric in context.metrics}:
        about = column(metric)
        found.setdefault(about.family, {"title": about.words, "text": about.definition})
    return found


def _read(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _colours(looks: Mapping[str, dataset_view.Look]) -> str:
    """Return the style rules of every codec, light and dark."""

    def declare(pairs: Sequence[tuple[str, str]]) -> str:
        return "".join(f"--k{i}:{c};--t{i}:{t};" for i, (c, t) in enumerate(pairs))

    light = declare([look.light for look in looks.values()])
    dark = declare([look.dark for look in looks.values()])
    rules = [
        f":root{{{light}}}",
        f"@media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{dark}}}}}",
        f":root[data-theme=dark]{{{dark}}}",
    ]
    for look in looks.values():
        shape = _MARKERS.get(look.style.marker, _MARKERS["o"])
        rules.append(f".k{look.index}{{--k:var(--k{look.index});--t:var(--t{look.index})}}")
        rules.append(f".codec.k{look.index}::before{{clip-path:{shape}}}")
    return "".join(rules)
