"""The ablation on disk: Markdown, CSV behind every number, one figure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from bench.codecs.agvae.paper import ablation_curves, ablation_terms, complexity, gain_drift
from bench.codecs.agvae.paper.ablation_curves import Comparison
from bench.codecs.agvae.paper.ablation_terms import Variant
from bench.codecs.agvae.paper.gain_drift import Drift
from bench.errors import CodecError
from bench.files import make_folder, write_atomically
from bench.metrics.columns import column
from bench.output.csv_files import to_csv
from bench.output.families import with_interval
from bench.output.provenance import of_record
from bench.output.table_formats import Cell, Table, number

_COST = complexity.Options(
    backbones=(
        ("bmshj2018-hyperprior", 128, 192, 6),
        ("mbt2018-mean", 128, 192, 6),
        ("bmshj2018-hyperprior", 192, 320, 8),
        ("mbt2018-mean", 192, 320, 8),
    ),
    presets=(("base", 8), ("small", 8)),
)

_DIGITS = {"gain": 6, "inverse": 6, "departure_percent": 3}


def write_all(
    rows: pd.DataFrame,
    found: Sequence[Variant],
    out: Path,
    *,
    provenance: Mapping[str, Any],
    datasets: Mapping[str, str],
) -> list[Path]:
    """Write ``ablation.md`` and ``.tex``, the CSV files and ``plots/ablation.*`` below ``out``.

    ``rows`` has the columns of ``rows.csv``; ``datasets`` is name -> sha256 of the pixels.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    folder = make_folder(out)
    order = [variant.codec for variant in found if variant.networks]
    comparisons = ablation_curves.compare_all(rows, order)
    networks = [n for variant in found for n in variant.networks if n.config.gain]
    products = [table for network in networks if (table := _products(network)) is not None]
    drift_table = pd.concat(products, ignore_index=True) if products else pd.DataFrame()
    drifts = gain_drift.drifts(drift_table) if len(drift_table) else []
    stamp = of_record(
        provenance,
        datasets=datasets,
        weights={n.name: n.model_id for variant in found for n in variant.networks},
    )
    costs = [*complexity.computed(_COST), *complexity.reported()]
    tables = [
        *_rate_tables(comparisons, order),
        terms_table(found),
        _drift_table(drifts),
        _cost_table(costs),
    ]
    text = "# AG-VAE's ablation\n\n" + "\n".join(table.markdown() for table in tables)
    text += "\n" + "".join(f"- {line}\n" for line in remarks(found)) + f"- {stamp.full()}\n"
    files = {
        "ablation.md": text.encode(),
        "ablation.tex": "\n".join(table.latex() for table in tables).encode(),
        "comparisons.csv": to_csv(pd.DataFrame([asdict(c) for c in comparisons])),
        # float32 has no more digits; the product is that of two columns
        "drift.csv": to_csv(drift_table.drop(columns="product", errors="ignore").round(_DIGITS)),
        "cost.csv": to_csv(pd.DataFrame([asdict(c) for c in costs])),
    }
    for name, data in files.items():
        write_atomically(folder / name, data)
    written = [folder / name for name in files]
    codecs = {n.name: variant.codec for variant in found for n in variant.networks}
    return written + _figure(rows, codecs, drift_table, folder, stamp.small_print())


def _products(network: Any) -> pd.DataFrame | None:  # noqa: ANN401 - a manifest
    """Return the gain products of a network; None where its weights are damaged."""
    try:
        return gain_drift.products(network)
    except CodecError:
        return None


def _figure(
    rows: pd.DataFrame,
    codecs: Mapping[str, str],
    drift: pd.DataFrame,
    folder: Path,
    small_print: str,
) -> list[Path]:
    from bench.codecs.agvae.paper import ablation_figure

    if not len(rows) or not codecs:
        return []
    return ablation_figure.write(rows, codecs, drift, folder / "plots", small_print)


def remarks(found: Sequence[Variant]) -> list[str]:
    """Return what must stand under the tables: what is absent and why, whether terms are equal."""
    lines = [f"absent: {v.codec}: {v.reason}" for v in found if not v.networks]
    odd = ablation_terms.inequalities(found)
    lines += [f"NOT ON EQUAL TERMS: {words}" for words in odd]
    networks = [network for variant in found for network in variant.networks]
    if len(networks) > 1 and not odd:
        lines.append(
            "equal terms: every network had the same photographs, crops, steps, schedule and seed"
        )
    notes = {n.name: n.facts.get("note") for n in networks}
    return lines + [f"{name}: {note}" for name, note in notes.items() if note]


def _rate_tables(comparisons: Sequence[Comparison], order: Sequence[str]) -> list[Table]:
    """Return one table per dataset and metric: a line per pair."""
    tables = []
    keys = dict.fromkeys((c.dataset, c.metric) for c in comparisons)
    for dataset, metric in keys:
        mine = [c for c in comparisons if (c.dataset, c.metric) == (dataset, metric)]
        images = max(c.images for c in mine)
        tables.append(
            Table(
                name=f"ablation-{metric}",
                caption=(
                    f"{column(metric).title}, {dataset}, {images} images, real files: rate of each "
                    "variant against every other, in percent; negative needs fewer bits."
                ),
                head=("anchor", "test", "BD-rate (%)", "at equal quality (%)", "points", "note"),
                align="llrrrl",
                rows=[
                    _rate_row(one)
                    for anchor, test in itertools.permutations(order, 2)
                    for one in mine
                    if (one.anchor, one.test) == (anchor, test)
                ],
                notes=(
                    "BD-rate: pchip, mean curves; in brackets the 95 % interval over images.",
                    "At equal quality: mean rate difference where the shorter curve has points.",
                ),
                group=True,
            )
        )
    return tables


def _rate_row(one: Comparison) -> list[Cell]:
    return [
        Cell(one.anchor),
        Cell(one.test),
        Cell(with_interval(one.bd_rate_percent, one.ci_low, one.ci_high)),
        Cell(with_interval(one.matched_percent, one.matched_low, one.matched_high)),
        Cell(str(one.matched_points)),
        Cell(one.note),
    ]


def terms_table(found: Sequence[Variant]) -> Table:
    """Return how each network was trained, counted both ways."""
    rows = []
    for variant in found:
        for network in variant.networks:
            record = ablation_terms.training_of(network)
            per_level = ablation_terms.crops_per_level(network)
            cells = (
                variant.codec,
                network.name,
                _count(record.get("steps")),
                _count(record.get("crops")),
                _count(per_level),
                _count(record.get("time_s")),
                network.status,
            )
            rows.append([Cell(text) for text in cells])
    return Table(
        name="ablation-terms",
        caption="How each network was trained, counted by steps and by crops per level.",
        head=("codec", "weights", "steps", "crops", "crops per level", "time (s)", "status"),
        align="llrrrrl",
        rows=rows,
        notes=(
            "A gained network spreads its crops over all levels, one without gain has one level.",
        ),
        group=True,
    )


def _count(value: object) -> str:
    return f"{value:,.0f}" if isinstance(value, int | float) else ""


def _drift_table(drifts: Sequence[Drift]) -> Table:
    return Table(
        name="ablation-drift",
        caption="Drift of m m' over the levels, which the paper assumes to be constant.",
        head=("weights", "unit", "channels", "median (%)", "95th percentile (%)", "largest (%)"),
        align="llrrrr",
        rows=[
            [
                Cell(drift.network),
                Cell(drift.unit),
                Cell(str(drift.channels)),
                Cell(number(drift.median_percent, 1)),
                Cell(number(drift.high_percent, 1)),
                Cell(number(drift.max_percent, 0)),
            ]
            for drift in drifts
        ],
        notes=("Per channel: largest over smallest product of the levels, less one.",),
        group=True,
    )


def _cost_table(costs: Sequence[complexity.Cost]) -> Table:
    return Table(
        name="ablation-cost",
        caption="What gain units add: parameters and multiply-accumulates (MACs).",
        head=("network", "N, M", "levels", "parameters (%)", "MACs (%)", "status"),
        align="llrrrl",
        rows=[
            [
                Cell(one.network),
                Cell(one.channels),
                Cell(str(one.levels)),
                Cell(number(one.parameters_percent, 3)),
                Cell(number(one.macs_percent, 4)),
                Cell(one.status),
            ]
            for one in costs
        ],
    )
