"""Tables of a run: CSV for machines, Markdown and LaTeX for readers.

Per dataset four tables: rate and quality per setting, Bjontegaard rates, no-codec ceilings, and
what failed or is unavailable.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from bench.analysis import summary
from bench.analysis.bjontegaard import METHODS
from bench.analysis.published_curves import Reference
from bench.files import file_stems, make_folder, write_atomically
from bench.measurement.complexity import Costs, Line, of_rows
from bench.metrics.columns import column, quality_columns
from bench.output import complexity as complexity_of
from bench.output import reported_rates, speed
from bench.output.coverage import Coverage, coverage, setting_text
from bench.output.csv_files import tidy_rows, write_frame
from bench.output.failure_tables import failure_tables
from bench.output.families import anchor_of, comparison, stem_of
from bench.output.labels import short_labels, versions
from bench.output.provenance import provenance_note
from bench.output.table_formats import DOWN, UP, Cell, Table, number

_BPP_DIGITS = 3
_MEAN = (
    "Every value is the mean of per-image values; decibels of a metric that has its own values are"
    " those of the mean."
)
_BD_NOTES = (
    "BD-rate: mean difference in bitrate at equal quality; negative is better.",
    "Headline: piecewise cubic Hermite interpolation (pchip); akima and cubic beside it.",
    "BD-quality: mean difference at equal bitrate, in the metric's own unit (BD-PSNR for PSNR).",
    "Both compare the curves of mean values. Interval: bootstrap over images.",
    "Overlap: intersection over union of the two curves' quality ranges.",
)
_CEILING_NOTE = (
    "Ceiling: PSNR after the codec's own colour conversion and chroma subsampling and back, nothing"
    " coded; no setting of the codec can exceed it by much."
)


def arrow(metric: str) -> str:
    """Return the arrow of a metric's better direction."""
    return UP if column(metric).higher_is_better else DOWN


@dataclass(frozen=True, slots=True)
class Dataset:
    """What the tables of one dataset are made from; frames hold this dataset's lines only.

    ``names`` is label -> the same without version and shared format, which stand in a note;
    ``costs`` is what its networks cost, ``speeds`` how fast its codecs are.
    """

    name: str
    title: str
    stem: str
    rows: pd.DataFrame
    summary: pd.DataFrame
    bd: pd.DataFrame
    coverage: Coverage
    remarks: Sequence[str]
    provenance: str
    names: Mapping[str, str]
    encoders: Sequence[str]
    costs: Costs = field(default_factory=Costs)
    speeds: speed.Speeds = field(default_factory=speed.Speeds)

    def notes(self, metrics: Iterable[str]) -> list[str]:
        """Return what the reader of a table of some metrics must know, its origin last."""
        return [
            *self.remarks,
            *self.coverage.reasons(metrics),
            *dict.fromkeys(
                f"{about.title}: {about.definition}"
                for metric in metrics
                for about in (column(column(metric).source), column(metric))
                if about.definition
            ),
            *self.encoders,
            self.provenance,
        ]


def _rd_columns(data: Dataset, metrics: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Return column of the summary -> head and digits; rates of their own where images differ."""
    found = {"bpp": (f"bpp {DOWN}", _BPP_DIGITS)}
    rated = set()
    for metric in metrics:
        about = column(metric)
        if data.coverage.counts.get(metric) != data.coverage.common and about.source not in rated:
            rated.add(about.source)
            head = f"bpp {DOWN} ({data.coverage.images(metric)}, {about.words})"
            found[f"bpp_{metric}"] = (head, _BPP_DIGITS)
        found[metric] = (f"{about.title} {arrow(metric)}", about.digits)
    return found


def rd_table(data: Dataset) -> Table:
    """Return the means of every point of every curve."""
    metrics = quality_columns(data.summary)
    columns = _rd_columns(data, metrics)
    rows, held_along = [], []
    for codec, curve in data.summary.groupby("codec", sort=True):
        varying, held = summary.split_settings(curve["setting"])
        if held:
            held_along.append(f"{codec}: {setting_text(held)}")
        for values, record in zip(varying, curve.to_dict("records"), strict=True):
            cells = [Cell(number(record[name], digits)) for name, (_, digits) in columns.items()]
            name = data.names[str(record["label"])]
            rows.append([Cell(name), Cell(setting_text(values)), *cells])
    return Table(
        name=f"{data.stem}-rd",
        caption=f"{data.title}: rate and quality, means over {data.coverage.images()}",
        head=["Codec", "Setting", *(head for head, _ in columns.values())],
        align="ll" + "r" * len(columns),
        rows=rows,
        notes=[
            _MEAN,
            *([f"At every point of {'; '.join(held_along)}."] if held_along else []),
            *data.notes(metrics),
        ],
        group=True,
    )


def bd_table(data: Dataset) -> Table:
    """Return Bjontegaard rates by metric, best first, the anchor among them."""
    pairs = zip(data.summary["codec"], data.summary["label"], strict=True)
    labels = {str(codec): data.names[str(label)] for codec, label in pairs}
    anchor = str(data.bd["anchor"].iloc[0]) if len(data.bd) else ""
    against = f" against {labels.get(anchor, anchor)}" if anchor else ""
    rows = []
    metrics = [str(metric) for metric in dict.fromkeys(data.bd["metric"])]
    for metric in metrics:
        block = data.bd[data.bd["metric"] == metric]
        name = column(metric).title
        if data.coverage.counts.get(metric) != data.coverage.common:
            name += f", {data.coverage.images(metric)}"
        by_method = {method: block[block["method"] == method] for method in METHODS}
        lines = [_bd_line(codec, by_method) for codec in dict.fromkeys(block["codec"])]
        lines.append((0.0, [anchor, "0.0", "", "", "0.0", "0.0", "", "anchor"]))
        lines.sort(key=lambda line: (math.isnan(line[0]), line[0]))
        comparable = sum(not math.isnan(rate) for rate, _ in lines) > 1  # more than the anchor
        for place, (_, texts) in enumerate(lines):
            codec, rate, *others = texts
            best = comparable and place == 0
            shown = [Cell(labels.get(codec, codec)), Cell(rate, best=best)]
            more = complexity_of.texts(data.costs, codec) if data.costs.codecs else []
            more += speed.texts(data.speeds, codec) if data.speeds.codecs else []
            rows.append([Cell(name), *shown, *map(Cell, [*others[:-1], *more, others[-1]])])
    heads = [*complexity_of.HEADS] if data.costs.codecs else []
    heads += speed.HEADS if data.speeds.codecs else ()
    return Table(
        name=f"{data.stem}-bd-rate",
        caption=f"{data.title}: BD-rate{against}, {data.coverage.images()}",
        head=[
            *("Metric", "Codec", f"BD-rate (%) {DOWN}", "95 % interval", "BD-quality"),
            *("akima (%)", "cubic (%)", "overlap (%)"),
            *heads,
            "Note",
        ],
        align=f"llrrrrrr{'r' * len(heads)}l",
        rows=rows,
        notes=[
            *_BD_NOTES,
            *(complexity_of.NOTES if data.costs.codecs else ()),
            *speed.notes(data.speeds, labels, data.rows),
            *data.notes(metrics),
        ],
        group=True,
    )


def _bd_line(codec: str, by_method: Mapping[str, pd.DataFrame]) -> tuple[float, list[str]]:
    """Return BD-rate and texts of one codec, in the order of the columns after the metric."""
    found = {
        method: frame[frame["codec"] == codec].iloc[0]
        for method, frame in by_method.items()
        if (frame["codec"] == codec).any()
    }
    head = found["pchip"]
    rates = {method: float(line["bd_rate_percent"]) for method, line in found.items()}
    low, high = float(head["ci_low"]), float(head["ci_high"])
    interval = "" if math.isnan(low) else f"{_signed(low)} to {_signed(high)}"
    others = [_signed(rates.get(method, math.nan)) for method in ("akima", "cubic")]
    quality = number(float(head["bd_quality"]), column(str(head["metric"])).digits, sign=True)
    overlap = number(float(head["overlap_percent"]), 0)
    note = next((str(line["note"]) for line in found.values() if line["note"]), "")
    rate = rates["pchip"]
    return rate, [codec, _signed(rate), interval, quality, *others, overlap, note]


def _signed(value: float) -> str:
    return number(value, 1, sign=True)


def ceiling_table(data: Dataset, ceilings: pd.DataFrame | None) -> Table:
    """Return the PSNR that each codec's colour conversion alone allows."""
    rows = []
    if ceilings is not None and len(ceilings):
        frame = ceilings
        if "dataset" in frame.columns:
            frame = frame[frame["dataset"] == data.name]
        best = frame["ceiling_psnr_db"].max()
        for line in frame.sort_values(["codec", "label"]).to_dict("records"):
            value = float(line["ceiling_psnr_db"])
            name = data.names.get(str(line["label"]), str(line["label"]))
            rows.append([Cell(name), Cell(number(value, 2), best=value == best)])
    return Table(
        name=f"{data.stem}-ceilings",
        caption=f"{data.title}: no-codec ceilings",
        head=["Codec", f"{column('psnr_db').title} {UP}"],
        align="lr",
        rows=rows,
        notes=[
            _CEILING_NOTE,
            *([] if rows else ["No ceiling was measured."]),
            *data.encoders,
            data.provenance,
        ],
    )


def write_all(  # noqa: PLR0913 - what a run has, and how it is shown
    rows: pd.DataFrame | summary.Selection,
    out: Path,
    *,
    provenance: Mapping[str, Any],
    ceilings: pd.DataFrame | None = None,
    unavailable: Sequence[tuple[str, str]] = (),
    families: Mapping[str, pd.DataFrame] | None = None,
    anchor: str | None = None,
    references: Sequence[Reference] = (),
    complexity: Sequence[Line] = (),
    speeds: Mapping[str, speed.Speeds] | None = None,
    mark: str = "",
) -> list[Path]:
    """Write the CSV files into ``out`` and the tables into ``out/tables``; return their paths.

    Parameters
    ----------
    rows
        One row per measured cell, the columns of ``rows.csv``.
    out
        Made if missing.
    provenance
        Plain data as of ``provenance.record``: date, commit, cpu, cores, versions.
    ceilings
        ``codec, label, ceiling_psnr_db``, with or without ``dataset``.
    unavailable
        (codec, reason) of the codecs that could not run.
    families
        A codec -> rows of it and its variants, which have tables of their own.
    anchor
        Codec that the Bjontegaard rates are against; see ``summary.bd_table``.
    references
        Published curves that the Bjontegaard rates are against as well, in tables of their own.
    complexity
        What was counted of networks; of those of the rows it stands beside the Bjontegaard rates.
    speeds
        Dataset -> how fast the codecs of its rows are; it stands there too.
    mark
        Stands behind the name of every dataset in captions.

    Raises
    ------
    OutputError
        If a file cannot be written.
    UsageError
        If no row is of the codec ``anchor``.
    """
    families, chosen = families or {}, summary.Selection.of(rows)
    rows = chosen.rows
    parts = {"": _datasets(chosen, anchor, provenance, mark, complexity, speeds or {})} | {
        family: _datasets(summary.Selection(mine), anchor_of(family, mine), provenance, mark)
        for family, mine in families.items()
    }
    every = [data for part in parts.values() for data in part]
    make_folder(out)
    folder = make_folder(out / "tables")
    whole = pd.concat([rows, *families.values()]) if families else rows
    written = write_frame(summary.sort_rows(tidy_rows(whole)), out, "rows")
    written += write_frame(pd.concat([data.summary for data in every]), out, "summary")
    deltas = pd.concat([data.bd for data in every])
    written += write_frame(deltas.drop(columns=["cause", "bd_quality"]), out, "bd_rate")
    reported = reported_rates.rates(chosen, references)
    if len(reported):
        written += write_frame(reported, out, reported_rates.STEM)
    for data in parts.pop(""):
        groups = {
            "rd": [rd_table(data)],
            "bd_rate": [bd_table(data), *_reported_table(data, reported)],
            "ceilings": [ceiling_table(data, ceilings)],
            "failures": failure_tables(data, unavailable),
        }
        for kind, tables in groups.items():
            written += write_tables(tables, folder / f"{data.stem}_{kind}")
    for family, part in parts.items():
        for data in part:
            written += write_tables(_family_tables(data), folder / f"{data.stem}_{stem_of(family)}")
    return written


def _reported_table(data: Dataset, reported: pd.DataFrame) -> list[Table]:
    """Return the table of rates against published curves, if there are any of the dataset."""
    lines = reported[reported["dataset"] == data.name]
    pairs = zip(data.summary["codec"], data.summary["label"], strict=True)
    names = {str(codec): data.names[str(label)] for codec, label in pairs}
    notes = data.notes(dict.fromkeys(str(metric) for metric in lines["metric"]))
    found = reported_rates.table(lines, names, title=data.title, stem=data.stem, notes=notes)
    return [found] if len(lines) else []


def _datasets(
    chosen: summary.Selection,
    anchor: str | None,
    provenance: Mapping[str, Any],
    mark: str,
    complexity: Sequence[Line] = (),
    speeds: Mapping[str, speed.Speeds] = MappingProxyType({}),
) -> list[Dataset]:
    """Return what the tables of each dataset of some rows are made from, by name."""
    rows = chosen.rows
    means, deltas = summary.summarise(chosen), summary.bd_table(chosen, anchor, quality=True)
    names = sorted(str(name) for name in rows["dataset"].unique())
    stems, coverages = file_stems(names), coverage(chosen)
    shown, encoders = _encoders(rows)
    return [
        Dataset(
            name=name,
            title=f"{name}{mark}",
            stem=stems[name],
            rows=rows[rows["dataset"] == name],
            summary=means[means["dataset"] == name],
            bd=deltas[deltas["dataset"] == name],
            coverage=coverages[name],
            remarks=[f"{line}." for line in provenance.get("remarks") or ()],
            provenance=provenance_note(provenance),
            names=shown[name],
            encoders=encoders[name],
            costs=of_rows(complexity, rows[rows["dataset"] == name]),
            speeds=speeds.get(name, speed.Speeds()),
        )
        for name in names
    ]


def _family_tables(data: Dataset) -> list[Table]:
    """Return a family's rates against its anchor, its points, and what failed if anything did."""
    title = f"{data.title}, variants"
    name = f"{data.stem}-variants"
    rd = rd_table(replace(data, title=title, stem=name))
    tables = [comparison(data.rows, data.bd, name=f"{name}-rates", title=title), rd]
    return tables + [table for table in failure_tables(data, ())[:2] if table.rows]


def _encoders(
    rows: pd.DataFrame,
) -> tuple[dict[str, Mapping[str, str]], dict[str, Sequence[str]]]:
    """Return dataset -> label -> short label, and dataset -> notes with what labels leave out."""
    names: dict[str, Mapping[str, str]] = {}
    notes: dict[str, Sequence[str]] = {}
    for dataset, group in rows.groupby("dataset"):
        labels = sorted({str(label) for label in group["label"]})
        short, common = short_labels(labels)
        names[str(dataset)] = dict(zip(labels, short, strict=True))
        shared = [f"All of them: {common}."] if common else []
        found = versions(labels)
        notes[str(dataset)] = [*shared, *([f"Encoders: {'; '.join(found)}."] if found else [])]
    return names, notes


def write_tables(tables: Sequence[Table], path: Path) -> list[Path]:
    """Write ``path.md`` and ``path.tex``; the stem may have dots of its own."""
    markdown, latex = (path.with_name(path.name + suffix) for suffix in (".md", ".tex"))
    write_atomically(markdown, "\n".join(table.markdown() for table in tables).encode())
    write_atomically(latex, "\n".join(table.latex() for table in tables).encode())
    return [markdown, latex]
