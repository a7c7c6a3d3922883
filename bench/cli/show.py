"""``bench list``, ``bench tables``, ``bench plots``."""

from __future__ import annotations

import json
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import Anchor, DataDir, Out, References, check_folders

if TYPE_CHECKING:
    from bench.image import Image


def list_(
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            help="Show parameters, ladders, ceilings, sources and reasons as well.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document for programs.")
    ] = False,
    references: Annotated[
        bool,
        typer.Option(
            "--references",
            help="List the published curves for --reference instead, each with its source.",
        ),
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """List codecs, datasets and metrics, and which of them are available."""
    from bench.dataset.open import overview

    check_folders(data_dir=data_dir)
    if references:
        _list_references(as_json=as_json)
        return
    codecs = _codecs(verbose=verbose)
    datasets = overview(data_dir)
    metrics = _metrics()
    if as_json:
        typer.echo(
            json.dumps({"codecs": codecs, "datasets": datasets, "metrics": metrics}, indent=1)
        )
        return
    _print_codecs(codecs, verbose=verbose)
    if verbose:
        from bench import image

        typer.echo(
            f"largest image, loaded or decoded: {image.max_pixels()} pixels; padding to a codec's "
            f"blocks counts (bench --max-megapixels NUMBER, or {image.MAX_MEGAPIXELS})\n"
        )
    about = ("name", "available", "title", *(["licence"] if verbose else []))
    _print_table("datasets (images available here)", datasets, about)
    typer.echo("")
    _print_table("metrics", [m for m in metrics if m["available"] == "yes"], ("name", "title"))
    _print_unavailable([m for m in metrics if m["available"] == "no"], "title", verbose=verbose)


def _list_references(*, as_json: bool) -> None:
    """Print the published curves."""
    from bench.analysis.published_names import published
    from bench.metrics.columns import column

    entries = [
        {
            "id": one.id,
            "name": one.name,
            "dataset": one.dataset,
            "optimised": one.optimised,
            "points": {metric: len(points) for metric, points in one.points.items()},
            "bpp": [round(end, 4) for end in one.rates],
            "source": one.source,
            "read": one.read,
        }
        for one in published().values()
    ]
    if as_json:
        typer.echo(json.dumps({"references": entries}, indent=1))
        return
    for dataset in dict.fromkeys(one.dataset for one in published().values()):
        lines = [
            {
                "id": one.id,
                "metrics": "+".join(column(metric).words for metric in one.points),
                "bpp": "{:.2f} to {:.2f} bpp".format(*one.rates),
                "name": f"{one.name}; {one.source}",
            }
            for one in published().values()
            if one.dataset == dataset
        ]
        title = f"published curves of {dataset} (reported, not measured)"
        _print_table(title, lines, ("id", "metrics", "bpp", "name"))
        typer.echo("")


def _photo() -> Image:
    """Return the photograph on which ``bench list --verbose`` measures ceilings."""
    from bench.dataset import open as dataset

    sample = dataset.open_dataset("sample", download=False)
    return dataset.load_item(next(i for i in sample.items if i.name.startswith("coffee")))


def _codecs(*, verbose: bool) -> list[dict[str, Any]]:
    from bench import registry
    from bench.errors import BenchError, one_line

    image = _photo() if verbose else None
    found: list[dict[str, Any]] = []
    for name, item in registry.discover().items():
        entry: dict[str, Any] = {"name": name, "source": item.source}
        try:
            codec = registry.create(name)
            settings = registry.settings(codec, registry.Spec.parse(name))
            entry |= {
                "available": "yes",
                "title": codec.title,
                "label": codec.label(settings[len(settings) // 2]),
                "rate": registry.rate_name(codec),
                "default": codec.in_default_run,
                "ladder": [s.get(registry.rate_name(codec), "") for s in settings],
                "parameters": {n: p.words for n, p in registry.parameters(codec).items()},
                "note": codec.note(),
            }
            if image is not None:
                from bench.metrics import create

                best = codec.ceiling(image, settings[-1])
                value = None if best is None else round(create("psnr")(image, best), 2)
                entry["ceiling_db"] = "inf" if value == inf else value
        except BenchError as error:
            reason = str(error).removeprefix(f"codec {name} is unavailable: ")
            entry |= {"available": "no", "reason": reason}
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plug-in may raise anything
            entry |= {"available": "no", "reason": f"{type(error).__name__}: {one_line(error)}"}
        found.append(entry)
    return found


def _ceiling(value_db: float | str | None) -> str:
    """Return in words what the colour conversion alone allows; None: not known."""
    if value_db is None:
        return "unknown"
    return "none (its colour conversion loses nothing)" if value_db == "inf" else f"{value_db} dB"


def _print_codecs(codecs: list[dict[str, Any]], *, verbose: bool) -> None:
    """Print a line for each usable codec, those of the default run first; the others together."""
    typer.echo("codecs (* measured by `bench all` when no codec is named)")
    usable = [codec for codec in codecs if codec["available"] == "yes"]
    width = max((len(codec["name"]) for codec in usable), default=0)
    for codec in sorted(usable, key=lambda codec: not codec["default"]):
        star = "*" if codec["default"] else " "
        typer.echo(f"{star} {codec['name']:<{width}}  {codec['label']}")
        if verbose:
            about = [
                f"{codec['title']}; {codec['source']}",
                *([f"note: {codec['note']}"] if codec["note"] else []),
                f"no-codec ceiling {_ceiling(codec['ceiling_db'])}",
                f"{codec['rate'] or 'no rate parameter'}: {codec['ladder']}",
                *(f"{name}: {text}" for name, text in codec["parameters"].items()),
            ]
            typer.echo("\n".join(f"{'':<{width + 4}}{line}" for line in about))
    _print_unavailable([c for c in codecs if c["available"] == "no"], "reason", verbose=verbose)


def _print_unavailable(entries: list[dict[str, Any]], reason: str, *, verbose: bool) -> None:
    """Print the names of what cannot be used; its reasons where they are asked for."""
    if verbose:
        for entry in entries:
            typer.echo(f"  {entry['name']}: unavailable: {entry[reason]}")
    elif entries:
        names = ", ".join(entry["name"] for entry in entries)
        typer.echo(f"  unavailable (bench list --verbose says why): {names}")
    typer.echo("")


def _metrics() -> list[dict[str, str]]:
    from bench import metrics
    from bench.errors import BenchError
    from bench.metrics import columns

    found = [{"name": "bpp", "available": "yes", "title": "bits per pixel of the whole file"}]
    for name in metrics.discover():
        try:
            form = columns.column(metrics.create(name).column)
            title = f"{form.title}, {form.better} is better"
            found.append({"name": name, "available": "yes", "title": title})
        except BenchError as error:
            found.append({"name": name, "available": "no", "title": str(error)})
    return found


def _print_table(title: str, entries: list[dict[str, str]], columns: tuple[str, ...]) -> None:
    typer.echo(title)
    widths = [max(len(str(e[c])) for e in entries) for c in columns[:-1]]
    for entry in entries:
        words = [f"{entry[c]!s:<{w}}" for c, w in zip(columns, widths, strict=False)]
        typer.echo("  " + "  ".join([*words, entry[columns[-1]]]))


def tables(
    out: Out = Path("results/run"), anchor: Anchor = None, reference: References = None
) -> None:
    """Write the tables and CSV files of stored results again."""
    _again(out, tables=True, plots=False, anchor=anchor, references=reference or [])


def plots(
    out: Out = Path("results/run"),
    reference: References = None,
) -> None:
    """Draw the plots of stored results again."""
    _again(out, tables=False, plots=True, anchor=None, references=reference or [])


def _again(
    out: Path,
    *,
    tables: bool,
    plots: bool,
    anchor: str | None,
    references: list[str],
) -> None:
    from bench.analysis.published_names import references as find
    from bench.cli.screen import show_remarks
    from bench.files import locked
    from bench.measurement.results import load_results
    from bench.output.write import write

    published = find(references)
    with locked(out):
        results = load_results(out, unfinished=True)
        show_remarks(results, out)
        written = write(
            results,
            anchor=anchor,
            plots=plots,
            tables=tables,
            references=published,
            force=True,
        )
    if published:
        from bench.output.reported_rates import undrawn

        for line in undrawn(results.rows, published):
            typer.echo(f"bench: {line}", err=True)
    for path in written:
        typer.echo(path)
